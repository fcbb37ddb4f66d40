"""Tests of `FairShare`.

If one destination fills a worker, the worker opens extra room for other destinations.
"""

import pytest
from tests.clock import Clock
from workers.delivery.fair_share import (
    EXTRA_ROOM_AFTER_S,
    SEARCH_PAUSE_S,
    FairShare,
)

BUSY = "d:1:busy"


@pytest.fixture
def fair_share(clock: Clock) -> FairShare:
    """The `FairShare` of a worker with room for four events, all of one destination."""
    fair_share = FairShare(4, percent=50, clock=clock)
    for _ in range(4):
        fair_share.add(BUSY)
    return fair_share


def test_extra_room_opens_after_a_time_without_an_ended_delivery(
    fair_share: FairShare, clock: Clock
):
    at_first = fair_share.extra_room
    clock.now_s += EXTRA_ROOM_AFTER_S

    assert (at_first, fair_share.extra_room) == (0, 2)


def test_extra_room_closes_for_a_moment_if_no_other_destination_needs_it(
    fair_share: FairShare, clock: Clock
):
    clock.now_s += EXTRA_ROOM_AFTER_S
    fair_share.pause_search()
    afterwards = fair_share.extra_room
    clock.now_s += SEARCH_PAUSE_S

    assert (afterwards, fair_share.extra_room) == (0, 2)
