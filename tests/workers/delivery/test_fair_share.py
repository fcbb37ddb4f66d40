"""Shares: extra room in a full worker, for others than the one that fills it."""

import pytest
from workers.delivery.fair_share import REST_S, STUCK_AFTER_S, Shares

ILL = "d:1:ill"


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shares(clock: Clock) -> Shares:
    """Those of a worker with room for four, which one destination has filled."""
    shares = Shares(4, percent=50, clock=clock)
    for _ in range(4):
        shares.take(ILL)
    return shares


def test_others_have_extra_room_once_nothing_comes_free(shares: Shares, clock: Clock):
    at_first = shares.extra
    clock.now_s += STUCK_AFTER_S

    assert (at_first, shares.extra) == (0, 2)


def test_extra_room_is_looked_into_now_and_then_while_nobody_else_is_there(
    shares: Shares, clock: Clock
):
    clock.now_s += STUCK_AFTER_S
    shares.find_nobody()
    afterwards = shares.extra
    clock.now_s += REST_S

    assert (afterwards, shares.extra) == (0, 2)
