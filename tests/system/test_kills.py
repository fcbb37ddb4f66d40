"""Tests of processes that are killed, frozen or stopped under load."""

import pytest
from collections.abc import Callable
from pathlib import Path
from tests.system import fan_outs, outages, terminations, workloads
from tests.system.cell import SHORT_LEASES, Cell
from tests.system.supervised import Supervised

pytestmark = pytest.mark.slow


@pytest.fixture
def cell(new_cell: Callable[..., Cell]) -> Cell:
    """A system with short leases."""
    return new_cell(**SHORT_LEASES)


def test_r01_r03_killing_worker_and_ticker_loses_nothing(cell: Cell):
    report = terminations.worker_and_ticker_kills(
        cell, events=400, over_s=5, workers=3, tickers=3
    )

    print(report)
    assert report.problems == []


def test_r01_attempts_of_a_killed_worker_are_repeated_within_lease_plus_5_s(cell: Cell):
    report = terminations.interruption(cell, events=50)

    print(report)
    assert report.problems == []


def test_r04_a_ticker_that_was_frozen_fires_nothing_twice(cell: Cell):
    report = outages.frozen_ticker(cell, per_s=100, frozen_s=4)

    print(report)
    assert report.problems == []
    assert report.tally.duplicates == 0


def test_r05_accepted_events_survive_a_kill_of_the_web_process(cell: Cell):
    report = terminations.web_kills(cell, kills=3)

    print(report)
    assert report.problems == []
    assert report.tally.duplicates == 0


def test_r12_a_worker_frozen_beyond_its_lease_does_not_send_its_request(cell: Cell):
    report = outages.frozen_worker(cell)

    print(report)
    assert report.problems == []
    assert report.tally.duplicates == 0


def test_r13_an_event_that_kills_its_worker_becomes_a_dead_letter(
    new_cell: Callable[..., Cell],
):
    cell = new_cell(
        SCHED_LEASE_MS="1000", SCHED_RENEW_INTERVAL_MS="250", SCHED_QUIET_MS="1000"
    )

    report = terminations.poison_event(cell, neighbours=50)

    print(report)
    assert report.problems == []


def test_r13_isolated_events_do_not_delay_others(cell: Cell):
    report = terminations.isolated_events(cell, suspects=30, others=300)

    print(report)
    assert report.problems == []


def test_r19_a_stopped_worker_finishes_requests_within_its_grace(
    new_cell: Callable[..., Cell],
):
    cell = new_cell(**SHORT_LEASES, SCHED_DRAIN_GRACE_S="3")

    report = terminations.drain(cell, events=200, outlasting=5)

    print(report)
    assert report.problems == []


def test_r19_a_rolling_restart_under_load_causes_no_errors(cell: Cell):
    report = terminations.rolling_restart(cell)

    print(report)
    assert report.problems == []
    assert report.tally.duplicates == 0


def test_r23_each_endpoint_of_a_group_gets_each_run_despite_kills(cell: Cell):
    assert fan_outs.worker_kills(cell, runs=8, endpoints=100, kills=2) == []


def test_an_every_second_schedule_misses_no_second_despite_kills(cell: Cell):
    report = workloads.schedule_every_second(cell, seconds=10)

    print(report)
    assert report.problems == []


def test_scripts_up_restarts_every_process_that_is_killed(tmp_path: Path):
    with Supervised(tmp_path, **SHORT_LEASES) as system:
        report = terminations.supervised_kills(system, kills=7)

    print(report)
    assert report.problems == []
