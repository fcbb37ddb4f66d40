"""Tests of which failed attempts are retried, and when."""

import pytest
from dataclasses import dataclass
from email.utils import formatdate
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.delivery.request import Decision
from scheduler_api.core.delivery.retry import (
    LONGEST_WAIT_MS,
    decide,
    is_success,
    planned_delay_ms,
    retry_after_ms,
)
from scheduler_api.core.model import Outcome
from tests import attempts

NOW_MS = 1_700_000_000_000
DELAYS_MS = (10, 20)


@dataclass(frozen=True)
class Reply:
    """The result of an attempt."""

    status: int | None = 500
    error: str | None = None
    detail: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    started_ms: int = NOW_MS - 500
    total_ms: float = 500.0


def next_delay_ms(
    failures: int, reply: Reply, *, delays_ms: tuple[int, ...]
) -> int | None:
    begun = attempts.begun("any", failures=failures)
    return planned_delay_ms(begun, reply, delays_ms=delays_ms)


def _retry_after(value: str, status: int = 503) -> Reply:
    return Reply(status, headers=(("date", "x"), ("RETRY-After", value)))


def test_each_retry_has_its_own_delay_and_there_are_no_more() -> None:
    delays = [next_delay_ms(n, Reply(), delays_ms=DELAYS_MS) for n in range(4)]

    assert delays == [10, 20, None, None]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("blocked", "blocked"),
        ("group-missing", "group-missing"),
        ("bad-url", "exhausted"),
        ("bad-header", "exhausted"),
    ],
)
def test_a_permanent_error_is_not_retried(error: str, reason: str) -> None:
    decision = decide(attempts.begun("any"), Reply(None, error), lambda *_: 10)

    assert decision == Decision(Outcome.DEAD, reason=reason)


def test_a_failure_is_retried_while_there_are_retries_left() -> None:
    begun = attempts.begun("any")

    retried, dead = (decide(begun, Reply(), lambda *_, ms=ms: ms) for ms in (10, None))

    assert retried == Decision(Outcome.RETRY, delay_ms=10)
    assert dead == Decision(Outcome.DEAD, reason="exhausted")


@pytest.mark.parametrize(("left_ms", "outcome"), [(510, "retry"), (509, "dead")])
def test_a_retry_that_would_begin_after_the_end_is_not_planned(
    left_ms: int, outcome: str
) -> None:
    begun = attempts.begun("any", left_ms=left_ms)

    decision = decide(begun, Reply(), lambda *_: 10)

    assert decision.outcome == outcome
    assert decision.reason == ("" if outcome == "retry" else "end")


@pytest.mark.parametrize("error", ["timeout", "dns", "connect", "tls", "protocol"])
def test_temporary_errors_are_retried(error: str) -> None:
    reply = Reply(status=None, error=error)

    assert next_delay_ms(0, reply, delays_ms=DELAYS_MS) == 10


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_in_seconds_is_the_delay(status: int) -> None:
    assert next_delay_ms(0, _retry_after("7", status), delays_ms=DELAYS_MS) == 7_000


@pytest.mark.parametrize("status", [200, 301, 400, 410, 500, 502, 504])
def test_retry_after_is_ignored_for_other_statuses(status: int) -> None:
    assert next_delay_ms(0, _retry_after("7", status), delays_ms=DELAYS_MS) == 10


def test_retry_after_does_not_add_a_retry() -> None:
    assert next_delay_ms(2, _retry_after("7"), delays_ms=DELAYS_MS) is None


def test_a_date_in_retry_after_is_relative_to_the_end_of_the_attempt() -> None:
    date = formatdate(NOW_MS / 1000 + 30, usegmt=True)

    assert next_delay_ms(0, _retry_after(date), delays_ms=DELAYS_MS) == 30_000


@pytest.mark.parametrize(
    ("value", "wait_ms"),
    [
        ("0", 0),
        (" 5 ", 5_000),
        ("86400", LONGEST_WAIT_MS),
        ("86401", LONGEST_WAIT_MS),
        ("999999999999999", LONGEST_WAIT_MS),
        ("Wed, 01 Jan 2098 00:00:00 GMT", LONGEST_WAIT_MS),
        ("Wed, 01 Jan 1998 00:00:00 GMT", 0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30_000),
        ("Tue, 14 Nov 2023 22:13:50", 30_000),
        ("Tue, 14 Nov 2023 23:13:50 +0100", 30_000),
    ],
)
def test_retry_after_is_parsed(value: str, wait_ms: int) -> None:
    assert retry_after_ms(value, now_ms=NOW_MS) == wait_ms


@pytest.mark.parametrize(
    "value",
    [
        *("", "-5", "1.5", "1e3", "soon", "5 s", "٣", "\x00"),
        *("9" * 5000, "Wed, 99 Foo 2098 99:99:99 GMT", "Wed, " * 1000),
        "Wed, 01 Jan 99999 00:00:00 GMT",
        "Wed, 01 Jan 0001 00:00:00 +9999",
    ],
)
def test_an_invalid_retry_after_is_ignored(value: str) -> None:
    assert retry_after_ms(value, now_ms=NOW_MS) == 0


@given(st.text(max_size=80))
def test_no_value_of_retry_after_causes_an_error(value: str) -> None:
    assert 0 <= retry_after_ms(value, now_ms=NOW_MS) <= LONGEST_WAIT_MS


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (200, None, True),
        (299, None, True),
        (199, None, False),
        (300, None, False),
        (None, None, False),
        (None, "dns", False),
        (200, "timeout", False),
    ],
)
def test_only_complete_responses_with_status_200_to_299_are_successful(
    status: int | None, error: str | None, expected: bool
) -> None:
    assert is_success(Reply(status, error)) is expected
