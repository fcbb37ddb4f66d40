"""Tests that `tenant usage` says what tenants have, next to their limits."""

import json
import pytest
from scheduler_api.core.model import Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.statistics import DAY_MS, MINUTE_MS, Counts
from scheduler_api.core.tenants.quotas import Quotas
from tests.commands.cells import PREFIX, TENANT, OperatedCell, new_cell

BANK = "https://bank.example/pay"


@pytest.fixture
def cell(valkey: str) -> OperatedCell:
    return new_cell(valkey)


def usage(cell: OperatedCell, tenant: str = TENANT) -> dict[str, object]:
    [found] = cell.read_json(f"tenant usage {tenant}")["tenants"]
    return found


def test_pending_events_and_stored_bytes_are_shown_next_to_their_limits(
    cell: OperatedCell,
):
    cell.create(BANK)
    limits = "--pending-events 1000 --stored-bytes 2000000"
    assert cell.run(f"tenant limits 1 {limits}").exit_code == 0
    found = usage(cell)

    assert found["pending"] == {"used": 1, "limit": 1_000}
    assert found["storedBytes"]["limit"] == 2_000_000
    assert 0 < found["storedBytes"]["used"] < 1_000
    assert "1 of 1,000" in cell.read("tenant usage 1")
    assert " B of 2 MB" in cell.read("tenant usage")


def test_requests_and_running_attempts_are_counted_if_they_are_limited(
    cell: OperatedCell,
):
    unlimited = usage(cell)
    assert cell.run("tenant limits 1 --requests-per-s 20").exit_code == 0
    cell.cell.client.set(keys.requests_now(PREFIX, TENANT), 7)
    result = cell.run("tenant usage 1 --json", SCHED_TENANT_PARALLELISM="5")

    assert unlimited["requestsPerSecond"] == {"used": None, "limit": None}
    assert unlimited["running"] == {"used": None, "limit": None}
    assert usage(cell)["requestsPerSecond"] == {"used": 7, "limit": 20}
    assert '"limit": 5' in result.output


def test_attempts_of_the_last_day_are_those_of_the_tenant(cell: OperatedCell):
    assert cell.run("tenant create Eve").exit_code == 0
    worker = cell.engine.worker()
    worker.add_counts({TENANT: Counts(delivered=3, failed=2)})
    every = cell.read_json("tenant usage")["tenants"]

    assert "5, 2 failed" in cell.read("tenant usage 1")
    assert usage(cell)["lastDay"] == {"attempts": 5, "failed": 2}
    assert [each["name"] for each in every] == ["Ada", "Eve"]
    assert every[1]["lastDay"] == {"attempts": 0, "failed": 0}


def test_attempts_of_more_than_a_day_ago_are_not_those_of_the_last_day(
    cell: OperatedCell,
):
    now_ms, margin_ms = cell.cell.now_ms(), 5 * MINUTE_MS
    recent = cell.engine.worker(now_ms - DAY_MS + margin_ms)
    recent.add_counts({TENANT: Counts(delivered=3, failed=2)})
    old = cell.engine.worker(now_ms - DAY_MS - margin_ms)
    old.add_counts({TENANT: Counts(delivered=30, failed=20)})

    assert usage(cell)["lastDay"] == {"attempts": 5, "failed": 2}


def test_the_quotas_of_an_api_are_shown_if_there_are_any(cell: OperatedCell):
    quotas, owner = Quotas(cell.cell), Owner(TENANT, "jiter")
    for ahead_ms in (0, 0, 40 * DAY_MS):
        quotas.count_event(owner, cell.cell.now_ms() + ahead_ms, limit=9)
    limited = {"SCHED_JITER_EVENTS_PER_MONTH": "9000"}

    result = cell.run("tenant usage --json", **limited)

    assert usage(cell)["quotas"] == {}
    assert json.loads(result.output)["tenants"][0]["quotas"] == {
        "jiter": {
            "requestsPerMinute": {"used": None, "limit": None},
            "eventsPerMonth": {"used": 2, "limit": 9_000},
        }
    }
    assert "2 of 9,000" in cell.run("tenant usage", **limited).output


def test_an_unknown_tenant_is_refused(cell: OperatedCell):
    assert cell.run("tenant usage 9").exit_code == 2
