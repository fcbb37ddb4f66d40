"""Tests of the delay before a failed message is retried."""

import pytest
from email.utils import formatdate
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.dialects.qstash.retry_delay import (
    configured_ms,
    default_ms,
    parse_wait_ms,
    requested_ms,
)

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000


def wait_ms(value: str) -> int | None:
    return parse_wait_ms(value, now_ms=NOW_MS)


def date(in_s: int) -> str:
    return formatdate(NOW_MS / 1000 + in_s, usegmt=True)


@pytest.mark.parametrize(
    ("value", "expected_ms"),
    [
        ("0", 0),
        ("30", 30_000),
        (" 30 ", 30_000),
        ("1.5", 1_500),
        ("0.0001", 1),
        ("86400", DAY_MS),
        ("6m5s", 365_000),
        ("1h", 3_600_000),
        ("1h0m0.5s", 3_600_500),
        ("120ms", 120),
        ("1us", 1),
        ("1500µs", 2),
        ("1500\u03bcs", 2),
        ("2000000ns", 2),
        (".5s", 500),
        ("24h", DAY_MS),
        (date(30), 30_000),
        (date(0), 0),
        (date(-30), 0),
        (date(86_400), DAY_MS),
    ],
)
def test_a_delay_is_seconds_a_date_or_a_go_duration(
    value: str, expected_ms: int
) -> None:
    assert wait_ms(value) == expected_ms


@pytest.mark.parametrize(
    "value",
    ["86401", "24h1ms", "1700000000", "9" * 64, "9" * 65, date(86_401), "25h"],
)
def test_more_than_a_day_is_ignored(value: str) -> None:
    assert wait_ms(value) is None


@pytest.mark.parametrize(
    "value", ["", "-1", "soon", "1d", "1 h", "5s x", "1e3", "Wed, 21", "\u0663", "µs"]
)
def test_other_values_are_ignored(value: str) -> None:
    assert wait_ms(value) is None


@given(st.text(max_size=70))
def test_property_any_value_is_a_delay_or_ignored(value: str) -> None:
    wait = wait_ms(value)

    assert wait is None or 0 <= wait <= DAY_MS


def test_the_first_header_with_a_valid_value_wins() -> None:
    headers = [
        ("x-ratelimit-reset-tokens", "4"),
        ("X-RateLimit-Reset-Requests", "3s"),
        ("X-RateLimit-Reset", "2"),
        ("Retry-After", "1"),
    ]

    delays = [requested_ms(headers[:n], now_ms=NOW_MS) for n in (1, 2, 3, 4)]

    assert delays == [4_000, 3_000, 2_000, 1_000]


def test_a_header_with_an_invalid_value_is_skipped() -> None:
    headers = [("Retry-After", "1700000000"), ("X-RateLimit-Reset", "0")]

    assert requested_ms(headers, now_ms=NOW_MS) == 0


def test_the_first_of_repeated_headers_counts() -> None:
    headers = [("Retry-After", "1"), ("retry-after", "2")]

    assert requested_ms(headers, now_ms=NOW_MS) == 1_000


def test_a_response_without_these_headers_has_no_delay() -> None:
    assert requested_ms([("Date", date(0))], now_ms=NOW_MS) is None


def test_the_default_delay_grows_to_a_day() -> None:
    delays = [default_ms(retried) for retried in (0, 1, 2, 3, 4, 5, 999)]

    assert delays == [12_182, 148_413, 1_808_042, 22_026_466, DAY_MS, DAY_MS, DAY_MS]


def test_an_expression_overrides_the_default() -> None:
    delays = [configured_ms(retried, "1000*(1+retried)") for retried in (0, 1, 2)]

    assert delays == [1_000, 2_000, 3_000]


@pytest.mark.parametrize("expression", [None, "1000 / retried", "sqrt(-1)", "log(2)"])
def test_an_expression_without_a_value_means_the_default(
    expression: str | None,
) -> None:
    assert configured_ms(0, expression) == 12_182
