"""Tests of `Pacer`: a worker waits for the first results of a route."""

import asyncio
import pytest
from tests.clock import Clock
from workers.delivery.pacer import PAUSE_S, WAIT_S, Pacer

ROUTE, OTHER = "d:1:a.b", "d:1:a.c"
LIMIT = 3


@pytest.fixture
def pacer(clock: Clock) -> Pacer:
    """A pacer with as many attempts in flight at one route as the limit."""
    pacer = Pacer(LIMIT, clock=clock)
    for _ in range(LIMIT):
        pacer.add(ROUTE)
    return pacer


def test_a_route_without_results_is_paused_at_the_limit(pacer: Pacer):
    assert pacer.must_wait
    assert pacer.paused_routes == [ROUTE]


def test_attempts_at_several_routes_are_counted_apart(clock: Clock):
    pacer = Pacer(LIMIT, clock=clock)
    for _ in range(LIMIT - 1):
        pacer.add(ROUTE)
        pacer.add(OTHER)

    assert not pacer.must_wait


def test_a_success_ends_the_wait_and_prevents_the_next(pacer: Pacer):
    pacer.note(ROUTE, succeeded=True)
    after_success = pacer.must_wait
    for _ in range(LIMIT):
        pacer.remove(ROUTE)
        pacer.add(ROUTE)

    assert (after_success, pacer.must_wait) == (False, False)


def test_a_failure_after_successes_brings_the_wait_back(pacer: Pacer):
    pacer.note(ROUTE, succeeded=True)
    pacer.note(ROUTE, succeeded=False)
    pacer.remove(ROUTE)
    pacer.add(ROUTE)

    assert pacer.must_wait


def test_a_result_that_makes_room_ends_the_wait(pacer: Pacer):
    pacer.remove(ROUTE)

    assert not pacer.must_wait


def test_a_route_that_never_responds_is_paused_once(pacer: Pacer, clock: Clock):
    clock.now_s += WAIT_S
    paused = (pacer.must_wait, pacer.paused_routes)
    clock.now_s += PAUSE_S
    pacer.add(ROUTE)

    assert paused == (False, [ROUTE])
    assert (pacer.must_wait, pacer.paused_routes) == (False, [])


def test_a_worker_waits_for_a_report_that_may_change_a_breaker(clock: Clock):
    pacer = Pacer(LIMIT, clock=clock)
    pacer.set_reporting(True)
    during = pacer.must_wait
    pacer.set_reporting(False)

    assert (during, pacer.must_wait) == (True, False)


def test_a_wait_ends_as_soon_as_there_is_a_result(
    pacer: Pacer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("workers.delivery.pacer.WAIT_S", 3_600)

    async def work() -> None:
        waiting = asyncio.create_task(pacer.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        pacer.note(ROUTE, succeeded=True)
        await waiting

    asyncio.run(asyncio.wait_for(work(), 10))


def test_without_a_limit_a_worker_never_waits(clock: Clock):
    pacer = Pacer(0, clock=clock)
    for _ in range(100):
        pacer.add(ROUTE)
    pacer.set_reporting(True)

    assert not pacer.must_wait
