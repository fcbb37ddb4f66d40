"""Tests of the rest between two claims."""

import pytest
from workers.claim_pace import BUSY_PER_S, REST_S, ClaimPace


def rest_after_a_second(per_s: int, *, events: int = 1) -> float:
    """Return the rest after claims that offer so many events each, for a second."""
    pace, claims = ClaimPace(), per_s // events
    rests = [pace.rest_s(events, 100 + n / claims) for n in range(claims)]
    return rests[-1]


@pytest.mark.parametrize("events", [1, 5])
def test_the_ticker_rests_only_at_a_high_rate(events: int) -> None:
    assert rest_after_a_second(BUSY_PER_S // 2, events=events) == 0
    assert rest_after_a_second(BUSY_PER_S * 2, events=events) == REST_S


def test_the_ticker_rests_no_more_after_a_burst() -> None:
    pace = ClaimPace()
    assert pace.rest_s(1_000, 100.0) == REST_S
    assert pace.rest_s(1, 101.0) == 0
