"""Tests of complete systems on a store that is full, or takes no writes."""

import pytest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from scheduler_api.core.store import keys
from scheduler_api.core.store.epoch import establish
from tests.system.cell import Cell
from tests.system.processes import wait_until
from typing import cast

SCHEDULED = "rq:scheduler:scheduled_jobs"

pytestmark = pytest.mark.slow


@contextmanager
def full(cell: Cell, *, used_percent: int) -> Iterator[None]:
    """Context manager that sets the memory limit so that this share of it is used."""
    used = cell.client.info("memory")["used_memory"]
    cell.client.config_set("maxmemory", used * 100 // used_percent)
    yield
    cell.client.config_set("maxmemory", 0)


def test_r32_processes_start_and_deliver_at_the_memory_limit(
    new_cell: Callable[..., Cell],
):
    cell = new_cell()
    establish(cell.client, cell.prefix)
    accepted = cell.create_many(20, over_s=0)

    with full(cell, used_percent=200):
        cell.launch("ticker", "worker")
        cell.wait_drained()
        exit_code = cell["worker"].terminate()

    tally = cell.tally(accepted)
    assert tally.is_sound, tally
    assert tally.duplicates == 0
    assert exit_code == 0


def test_r10_the_web_process_refuses_events_above_the_high_water_mark_without_a_ticker(
    new_cell: Callable[..., Cell],
):
    cell = new_cell()
    cell.start("web")
    assert cell.post("accepted", in_ms=1_000).status == 200
    # Large, so that a few more connections make no difference.
    cell.client.setrange("filler", 20_000_000, b"x")

    with full(cell, used_percent=95):
        wait_until(lambda: cell.post("refused", in_ms=1_000).status == 503)
        answer = cell.request("GET", "/readyz")

    [degraded] = cast(list[str], answer.body["degraded"])
    assert degraded.startswith("the store is full: new events are refused")
    assert answer.body["missing"] == ["ticker", "worker"]


def test_chores_outlive_a_store_that_is_a_replica_for_some_time(
    new_cell: Callable[..., Cell],
):
    cell = new_cell()
    cell.start("chores")
    pid = cell["chores"].pid
    cell.client.replicaof("127.0.0.1", 1)
    wait_until(lambda: "read only replica" in cell["chores"].output)
    cell.client.replicaof("NO", "ONE")

    cell.start("clock")
    wait_until(
        lambda: cell.client.zadd(SCHEDULED, {"chore-check": 1}, xx=True, ch=True)
    )

    wait_until(lambda: cell.client.exists(keys.chore(cell.prefix, "check")))
    assert cell["chores"].pid == pid
    assert cell["chores"].is_running()
