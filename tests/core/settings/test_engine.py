"""Tests of settings that limit each other, and of values derived from settings."""

import pytest
from scheduler_api.core.settings.engine import EngineSettings, SettingsError
from typing import Any


def settings(**changes: Any) -> EngineSettings:
    needed = {"redis_url": "redis://localhost", "secret_key": "0123456789abcdef"}
    return EngineSettings(**(needed | changes))


def refusal(**changes: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(**changes)
    return str(caught.value)


def test_a_renewal_has_three_more_tries_before_the_lease_ends():
    text = refusal(renew_interval_ms=3751)

    assert text == (
        "SCHED_RENEW_INTERVAL_MS: expected at most a quarter of SCHED_LEASE_MS"
        " (3750), got 3751"
    )
    assert settings(renew_interval_ms=3750)


def test_the_quiet_time_covers_a_lease():
    text = refusal(lease_grace_ms=14_999)

    assert text == "SCHED_QUIET_MS: expected at least SCHED_LEASE_MS (15000), got 14999"


def test_all_keys_begin_with_the_cell():
    assert settings(cell="blue").prefix == "{blue}:"


@pytest.mark.parametrize(
    ("url", "changes", "found"),
    [
        ("rediss://h", {"store_ca": "/a b"}, "rediss://h?ssl_ca_certs=%2Fa+b"),
        (
            "rediss+sentinel://h/m?ssl_keyfile=k",
            {"store_tls_verify": False},
            "rediss+sentinel://h/m?ssl_keyfile=k&ssl_cert_reqs=none",
        ),
        ("rediss://h", {}, "rediss://h"),
        ("redis://h", {"store_tls_verify": False}, "redis://h"),
    ],
)
def test_the_url_of_the_store_has_the_options_for_tls(
    url: str, changes: dict[str, Any], found: str
):
    assert settings(redis_url=url, **changes).store_url == found


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("redis://:p@store.example:6380/1", [("store.example", 6380)]),
        ("rediss://[::1]", [("::1", 6379)]),
        ("redis+sentinel://a,b:26380/m", [("a", 26379), ("b", 26380)]),
        ("unix:///run/valkey.sock", []),
    ],
)
def test_the_addresses_of_the_store_are_known(
    url: str, addresses: list[tuple[str, int]]
):
    assert list(settings(redis_url=url).store_addresses) == addresses
