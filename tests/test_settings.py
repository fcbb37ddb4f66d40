"""Tests of settings: parsing, error messages, defaults, and masked secrets."""

import pytest
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path
from scheduler_api.core.settings.engine import EngineSettings, SettingsError
from scheduler_api.dialects.events_v1.settings import EventsV1Settings
from scheduler_api.dialects.jiter.settings import JiterSettings
from scheduler_api.dialects.outbound import DIALECTS
from scheduler_api.settings import VARIABLES, environment_table, from_env

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
REQUIRED = {
    "REDIS_URL": "redis://:hunter2@store.example:6380/1",
    "SECRET_KEY": "0123456789abcdef",
}


def error_message(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        from_env(REQUIRED | environ)
    return str(caught.value)


def test_three_variables_are_enough_for_the_procfile():
    settings = from_env(REQUIRED | {"PORT": "9000"})

    assert settings.port == 9000
    assert settings.allow_networks == ()
    assert (settings.lease_ms, settings.offer_lease_ms) == (15_000, 3_000)
    assert settings.prefix == "{s1}:"


def test_missing_variables_are_named():
    with pytest.raises(SettingsError) as caught:
        from_env({})

    assert str(caught.value).splitlines() == [
        "REDIS_URL: missing, expected"
        " redis://[:password@]host[:port][/db], rediss://…, unix://…"
        " or redis+sentinel://…",
        "SECRET_KEY: missing, expected"
        " at least 16 random characters, as `openssl rand -hex 32` gives",
    ]


def test_all_faults_are_reported_at_once():
    text = error_message(PORT="http", SCHED_WINDOW="0", SCHED_WIDNOW="7")

    assert text.splitlines() == [
        "SCHED_WIDNOW: there is no such setting, SCHED_WINDOW?",
        "PORT: expected an integer from 1 to 65535, got 'http'",
        "SCHED_WINDOW: expected an integer from 1 to 10000, got '0'",
    ]


def test_variables_of_clients_are_ignored():
    settings = from_env(REQUIRED | {"SCHEDULER_API": "x", "SCHEDULER_API_TOKEN": "y"})

    assert settings == from_env(REQUIRED)


def test_an_empty_value_counts_as_absent():
    assert from_env(REQUIRED | {"SCHED_WINDOW": ""}).max_in_flight == 100


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("REDIS_URL", "http://store.example", "rediss://"),
        ("REDIS_URL", "redis://", "redis://"),
        ("REDIS_URL", "redis://store.example:port", "redis://"),
        ("REDIS_URL", "redis+sentinel://store.example", "redis+sentinel://"),
        ("SECRET_KEY", "short", "at least 16"),
        ("SCHED_STORE_CA", "/no/such.pem", "a PEM file"),
        ("SCHED_STORE_CA", __file__, "a PEM file"),
        ("PORT", "0", "from 1 to 65535"),
        ("PORT", "+80", "an integer"),
        ("PORT", "٣", "an integer"),
        ("SCHED_CELL", "a}b", "letters"),
        ("SCHED_HOST", "http://0.0.0.0", "an address"),
        ("SCHED_METRICS_ADDRESS", "9180", "an address and port"),
        ("SCHED_METRICS_ADDRESS", "127.0.0.1:0", "an address and port"),
        ("SCHED_METRICS_ADDRESS", "http://127.0.0.1:9180", "an address and port"),
        ("SCHED_METRICS_ADDRESS", "::1:9180", "brackets"),
        ("SCHED_METRICS_ADDRESS", "127.0.0.1:8080", "another port than PORT"),
        ("SCHED_ALLOW_NETWORKS", "10.0.0.1/8", "host bits"),
        ("SCHED_ALLOW_NETWORKS", "10/8;127/8", "separated by commas"),
        ("SCHED_JITER_LEGACY_SIGNATURE", "maybe", "true or false"),
        ("SCHED_DESTINATION_PORTS", "443;80", "separated by commas"),
        ("SCHED_DESTINATION_PORTS", "0", "ports such as 443,8443"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(name: str, value: str, expected: str):
    text = error_message(**{name: value})

    assert text.startswith(f"{name}: expected")
    assert expected in text


def test_ports_may_have_blanks_and_a_trailing_comma():
    settings = from_env(REQUIRED | {"SCHED_DESTINATION_PORTS": " 443, 8443,"})

    assert settings.destination_ports == (443, 8443)
    assert settings.non_defaults()["SCHED_DESTINATION_PORTS"] == "443,8443"


def test_error_messages_contain_no_secret():
    assert "hunter2" not in error_message(REDIS_URL="rdis://:hunter2@store.example")
    assert "short-secret" not in error_message(SECRET_KEY="short-secret")


def test_settings_that_depend_on_each_other_are_checked():
    assert error_message(SCHED_QUIET_MS="14999").startswith("SCHED_QUIET_MS: expected")


def test_secrets_are_masked_in_logs():
    settings = from_env(REQUIRED)

    for text in (repr(settings), str(settings), str(settings.non_defaults())):
        assert "hunter2" not in text
        assert REQUIRED["SECRET_KEY"] not in text


def test_of_the_operators_urls_only_the_origin_is_shown():
    url = "https://user:hunter2@hooks.example:8443/services/hunter2?key=hunter2"
    names = ("SCHED_ALERT_URL", "SCHED_FAILURE_DIGEST_URL")
    shown = from_env(REQUIRED | dict.fromkeys(names, url)).non_defaults()

    assert {shown[name] for name in names} == {"https://hooks.example:8443/***"}


def test_settings_that_are_not_defaults_are_shown():
    settings = from_env(
        REQUIRED
        | {
            "SCHED_WINDOW": "100",
            "SCHED_ENVELOPE_SIZE": "50",
            "SCHED_ALLOW_NETWORKS": "10.0.0.0/8, ::1/128",
        }
    )

    assert settings.non_defaults() == {
        "REDIS_URL": "redis://***@store.example:6380/1",
        "SECRET_KEY": "***",
        "SCHED_ALLOW_NETWORKS": "10.0.0.0/8,::1/128",
        "SCHED_ENVELOPE_SIZE": "50",
    }
    assert settings.allow_networks == (ip_network("10.0.0.0/8"), ip_network("::1/128"))


def test_what_processes_share_is_shown_without_secrets():
    older = "an older secret key"
    settings = from_env(
        REQUIRED
        | {"SCHED_WINDOW": "7", "SCHED_LEASE_MS": "14000"}
        | {"SCHED_OLDER_SECRET_KEYS": older}
    )
    shared = settings.shared()

    assert shared.keys() == {"SECRET_KEY", "SCHED_OLDER_SECRET_KEYS", "SCHED_LEASE_MS"}
    assert shared["SCHED_LEASE_MS"] == "14000"
    assert not {REQUIRED["SECRET_KEY"], older} & {*shared.values()}
    assert shared["SECRET_KEY"] == from_env(REQUIRED).shared()["SECRET_KEY"]


def test_every_setting_has_a_variable_that_accepts_its_default():
    settings = from_env(REQUIRED)

    assert [v.name for v in VARIABLES][:2] == ["REDIS_URL", "SECRET_KEY"]
    for kind in (EngineSettings, *(each.settings for each in DIALECTS)):
        own = settings if kind is EngineSettings else settings.of(kind)
        variables = {v.field: v for v in VARIABLES if v.settings is kind}
        assert variables.keys() == {f.name for f in fields(kind)} - {"dialects"}
        for v in variables.values():
            if v.default:
                assert getattr(own, v.field) == v.parse(v.default)


def test_no_two_settings_have_the_same_variable():
    assert len({v.name for v in VARIABLES}) == len(VARIABLES)


def test_each_dialect_gets_its_own_settings():
    settings = from_env(
        REQUIRED | {"SCHED_JITER_TIMEOUT_MS": "1234", "SCHED_V1_TIMEOUT_MS": "4321"}
    )

    assert settings.of(JiterSettings).timeout_ms == 1234
    assert settings.of(EventsV1Settings).timeout_ms == 4321
    assert settings.non_defaults()["SCHED_JITER_TIMEOUT_MS"] == "1234"


def test_the_documentation_contains_the_table():
    assert environment_table() in PAGE.read_text()


def test_the_documentation_names_the_settings_that_processes_need_not_share():
    local = ", ".join(f"`{v.name}`" for v in VARIABLES if v.local)

    assert local in " ".join(PAGE.read_text().split())
