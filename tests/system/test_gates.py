"""Tests of queues, limits and failing destinations, with real processes."""

import pytest
from collections.abc import Callable
from tests.system import failing, gates
from tests.system.cell import SHORT_LEASES, Cell

pytestmark = pytest.mark.slow

NewCell = Callable[..., Cell]


def test_a_queue_keeps_its_order_when_workers_are_killed(new_cell: NewCell):
    report = gates.queue_order(new_cell(**SHORT_LEASES), events=80, every_s=1)

    print(report)
    assert report.problems == []


def test_events_for_a_paused_destination_wait_until_it_is_resumed(new_cell: NewCell):
    report = gates.paused_destination(new_cell(), events=60)

    print(report)
    assert report.problems == []


def test_three_workers_respect_rate_and_parallelism(new_cell: NewCell):
    report = gates.rate_and_parallelism(new_cell(), events=150, rate=50, parallelism=5)

    print(report)
    assert report.problems == []


def test_messages_that_need_two_full_gates_are_not_starved(new_cell: NewCell):
    cell = new_cell(SCHED_DESTINATION_PARALLELISM="5")

    report = gates.starvation(cell, few=20, others=300)

    print(report)
    assert report.problems == []


def test_r16_a_hanging_destination_does_not_delay_another(new_cell: NewCell):
    cell = new_cell(SCHED_BREAKER_ATTEMPTS="0")

    report = failing.hanging_destination(cell, events=300, over_s=3, slack_ms=100)

    print(report)
    assert report.problems == []


def test_a_failing_destination_gets_few_requests_and_all_events_once_it_recovers(
    new_cell: NewCell,
):
    cell = new_cell(
        SCHED_BREAKER_HOLD_MS="500",
        SCHED_BREAKER_LONGEST_HOLD_MS="1000",
        SCHED_WINDOW="20",
    )

    report = failing.destination_outage(cell, events=200, away_s=4)

    print(report)
    assert report.problems == []
