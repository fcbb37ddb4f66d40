"""Processes that die, freeze, or are told to end, under load."""

import pytest
from collections.abc import Callable
from pathlib import Path
from tests.system import fan_outs, outages, terminations, workloads
from tests.system.cell import SHORT_LEASES, Cell
from tests.system.supervised import Supervised

pytestmark = pytest.mark.slow


@pytest.fixture
def cell(new_cell: Callable[..., Cell]) -> Cell:
    """A system whose leases are short."""
    return new_cell(**SHORT_LEASES)


def test_r01_r03_kills_of_worker_and_ticker_lose_nothing(cell: Cell):
    report = terminations.worker_and_ticker_kills(
        cell, events=400, over_s=5, workers=3, tickers=3
    )

    print(report)
    assert report.problems == []


def test_r01_what_was_in_flight_is_sent_again_within_lease_plus_5_s(cell: Cell):
    report = terminations.interruption(cell, events=50)

    print(report)
    assert report.problems == []


def test_r04_a_frozen_ticker_that_goes_on_fires_nothing_twice(cell: Cell):
    report = outages.frozen_ticker(cell, per_s=100, frozen_s=4)

    print(report)
    assert report.problems == []
    assert report.tally.duplicates == 0


def test_r05_what_the_api_accepted_outlives_its_process(cell: Cell):
    report = terminations.web_kills(cell, kills=3)

    print(report)
    assert report.problems == []
    assert report.tally.duplicates == 0


def test_r12_a_frozen_worker_never_writes_what_it_had_not_written(cell: Cell):
    report = outages.frozen_worker(cell)

    print(report)
    assert report.problems == []
    assert report.tally.duplicates == 0


def test_r13_what_kills_its_process_dies_alone(new_cell: Callable[..., Cell]):
    cell = new_cell(
        SCHED_LEASE_MS="1000", SCHED_RENEW_INTERVAL_MS="250", SCHED_QUIET_MS="1000"
    )

    report = terminations.poison_event(cell, neighbours=50)

    print(report)
    assert report.problems == []


def test_r13_what_travels_alone_holds_up_nobody(cell: Cell):
    report = terminations.isolated_events(cell, suspects=30, others=300)

    print(report)
    assert report.problems == []


def test_r19_a_worker_told_to_end_finishes_what_it_can(new_cell: Callable[..., Cell]):
    cell = new_cell(**SHORT_LEASES, SCHED_DRAIN_GRACE_S="3")

    report = terminations.drain(cell, events=200, outlasting=5)

    print(report)
    assert report.problems == []


def test_r19_replacing_each_process_under_load_shows_nowhere(cell: Cell):
    report = terminations.rolling_restart(cell)

    print(report)
    assert report.problems == []
    assert report.tally.duplicates == 0


def test_r23_each_endpoint_of_a_group_gets_each_run_once(cell: Cell):
    assert fan_outs.worker_kills(cell, runs=8, endpoints=100, deaths=2) == []


def test_a_schedule_of_every_second_misses_none_over_kills(cell: Cell):
    report = workloads.schedule_every_second(cell, seconds=10)

    print(report)
    assert report.problems == []


def test_whatever_dies_the_one_command_goes_on(tmp_path: Path):
    with Supervised(tmp_path, **SHORT_LEASES) as system:
        report = terminations.supervised_kills(system, kills=7)

    print(report)
    assert report.problems == []
