"""Queues, limits and ill destinations, with real processes."""

import pytest
from collections.abc import Callable
from tests.system import failing, gates
from tests.system.cell import SHORT_LEASES, Cell

pytestmark = pytest.mark.slow

NewCell = Callable[..., Cell]


def test_a_queue_keeps_its_order_over_kills(new_cell: NewCell):
    report = gates.queue_order(new_cell(**SHORT_LEASES), events=80, every_s=1)

    print(report)
    assert report.problems == []


def test_a_paused_destination_holds_what_is_due_until_it_is_resumed(new_cell: NewCell):
    report = gates.paused_destination(new_cell(), events=60)

    print(report)
    assert report.problems == []


def test_rate_and_parallelism_hold_over_three_workers(new_cell: NewCell):
    report = gates.rate_and_parallelism(new_cell(), events=150, rate=50, parallelism=5)

    print(report)
    assert report.problems == []


def test_two_full_limits_starve_nobody_who_needs_both(new_cell: NewCell):
    cell = new_cell(SCHED_DESTINATION_PARALLELISM="5")

    report = gates.starvation(cell, few=20, others=300)

    print(report)
    assert report.problems == []


def test_a_hanging_destination_does_not_hold_up_another(new_cell: NewCell):
    cell = new_cell(SCHED_BREAKER_ATTEMPTS="0")

    report = failing.hanging_destination(cell, events=300, over_s=3, slack_ms=100)

    print(report)
    assert report.problems == []


def test_an_ill_destination_is_left_in_peace_and_then_caught_up(new_cell: NewCell):
    cell = new_cell(
        SCHED_BREAKER_HOLD_MS="500",
        SCHED_BREAKER_LONGEST_HOLD_MS="1000",
        SCHED_WINDOW="20",
    )

    report = failing.destination_outage(cell, events=200, away_s=4)

    print(report)
    assert report.problems == []
