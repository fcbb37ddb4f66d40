"""Settings are read once, refused by name, and shown without secrets."""

import pytest
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.settings import VARIABLES, Settings, environment_table, from_env

README = Path(__file__).parents[1] / "README.md"
NEEDED = {
    "REDIS_URL": "redis://:hunter2@store.example:6380/1",
    "SECRET_KEY": "0123456789abcdef",
}


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        from_env(NEEDED | environ)
    return str(caught.value)


def test_the_procfile_needs_three_variables_only():
    settings = from_env(NEEDED | {"PORT": "9000"})

    assert settings.port == 9000
    assert settings.allow_networks == ()
    assert (settings.lease_ms, settings.offer_lease_ms) == (15_000, 3_000)
    assert settings.prefix == "{s1}:"


def test_what_is_missing_is_named():
    with pytest.raises(SettingsError) as caught:
        from_env({})

    assert str(caught.value).splitlines() == [
        "REDIS_URL: missing, expected"
        " redis://[:password@]host[:port][/db], rediss://… or unix://…",
        "SECRET_KEY: missing, expected"
        " at least 16 random characters, as `openssl rand -hex 32` gives",
    ]


def test_all_faults_are_told_at_once():
    text = refusal(PORT="http", SCHED_WINDOW="0", SCHED_WIDNOW="7")

    assert text.splitlines() == [
        "SCHED_WIDNOW: there is no such setting, SCHED_WINDOW?",
        "PORT: expected a whole number from 1 to 65535, got 'http'",
        "SCHED_WINDOW: expected a whole number from 1 to 10000, got '0'",
    ]


def test_names_of_clients_are_not_ours():
    settings = from_env(NEEDED | {"SCHEDULER_API": "x", "SCHEDULER_API_TOKEN": "y"})

    assert settings == from_env(NEEDED)


def test_an_empty_value_is_an_absent_one():
    assert from_env(NEEDED | {"SCHED_WINDOW": ""}).window == 100


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("REDIS_URL", "http://store.example", "rediss://"),
        ("REDIS_URL", "redis://", "redis://"),
        ("REDIS_URL", "redis://store.example:port", "redis://"),
        ("SECRET_KEY", "short", "at least 16"),
        ("PORT", "0", "from 1 to 65535"),
        ("PORT", "+80", "a whole number"),
        ("PORT", "٣", "a whole number"),
        ("SCHED_CELL", "a}b", "letters"),
        ("SCHED_HOST", "http://0.0.0.0", "an address"),
        ("SCHED_ALLOW_NETWORKS", "10.0.0.1/8", "host bits"),
        ("SCHED_ALLOW_NETWORKS", "10/8;127/8", "separated by commas"),
        ("SCHED_JITER_LEGACY_SIGNATURE", "maybe", "true or false"),
        ("SCHED_DESTINATION_PORTS", "443;80", "separated by commas"),
        ("SCHED_DESTINATION_PORTS", "0", "ports such as 443,8443"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str, expected: str):
    text = refusal(**{name: value})

    assert text.startswith(f"{name}: expected")
    assert expected in text


def test_ports_are_read_as_operators_write_them():
    settings = from_env(NEEDED | {"SCHED_DESTINATION_PORTS": " 443, 8443,"})

    assert settings.destination_ports == (443, 8443)
    assert "SCHED_DESTINATION_PORTS=443,8443" in settings.log_line()


def test_a_wrong_secret_is_not_repeated():
    assert "hunter2" not in refusal(REDIS_URL="rdis://:hunter2@store.example")
    assert "short-secret" not in refusal(SECRET_KEY="short-secret")


def test_what_must_hold_between_two_values_is_checked():
    assert refusal(SCHED_QUIET_MS="14999").startswith("SCHED_QUIET_MS: expected")


def test_secrets_are_in_no_log():
    settings = from_env(NEEDED)

    for text in (repr(settings), str(settings), settings.log_line()):
        assert "hunter2" not in text
        assert NEEDED["SECRET_KEY"] not in text


def test_the_log_line_holds_what_is_not_default():
    settings = from_env(
        NEEDED
        | {
            "SCHED_WINDOW": "100",
            "SCHED_ENVELOPE_SIZE": "50",
            "SCHED_ALLOW_NETWORKS": "10.0.0.0/8, ::1/128",
        }
    )

    assert settings.log_line() == (
        "REDIS_URL=redis://***@store.example:6380/1 SECRET_KEY=***"
        " SCHED_ALLOW_NETWORKS=10.0.0.0/8,::1/128 SCHED_ENVELOPE_SIZE=50"
    )
    assert settings.allow_networks == (ip_network("10.0.0.0/8"), ip_network("::1/128"))


def test_every_setting_has_one_variable_with_a_default_that_it_accepts():
    names = [v.field for v in VARIABLES]

    assert sorted(names) == sorted(f.name for f in fields(Settings))
    assert names[:2] == ["redis_url", "secret_key"]
    for v in VARIABLES:
        if v.default:
            assert getattr(from_env(NEEDED), v.field) == v.parse(v.default)


def test_no_two_parts_declare_the_same_setting():
    declared = [each.name for part in Settings.__bases__ for each in fields(part)]

    assert len(declared) == len({*declared}) == len({v.name for v in VARIABLES})


def test_the_readme_has_the_table():
    assert environment_table() in README.read_text()
