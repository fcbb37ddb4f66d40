"""Tests of deliveries in a system without disturbances."""

import pytest
from collections.abc import Callable
from tests.system import workloads
from tests.system.cell import Cell

pytestmark = pytest.mark.slow


def test_events_at_random_times_arrive_once_and_never_early(
    new_cell: Callable[..., Cell],
):
    report = workloads.on_time(new_cell(), events=2_000, over_s=10)

    print(report)
    assert report.problems == []
    assert report.tally.duplicates == 0


def test_r24_a_backlog_drains_oldest_first_with_flat_memory(
    new_cell: Callable[..., Cell],
):
    report = workloads.backlog(new_cell(), events=8_000)

    print(report)
    assert report.problems == []
    assert report.tally.duplicates == 0


def test_a_window_smaller_than_a_batch_still_delivers(
    new_cell: Callable[..., Cell],
):
    cell = new_cell(SCHED_WINDOW="2")
    cell.start("ticker", "worker")
    cell.create_many(100, over_s=0, query="delay_ms=5")

    cell.wait_drained(within_s=10)
