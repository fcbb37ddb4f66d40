"""Tests with RQ's own command line tools, worker options and stock worker."""

import os
import pytest
import re
import redis
import signal
import subprocess
from collections.abc import Callable
from rq.job import Job
from scheduler_api.core.store.rq_envelopes import QUEUE
from tests.system.cell import SHORT_LEASES, Cell
from tests.system.processes import wait_until

pytestmark = pytest.mark.slow

KEY = f"rq:queue:{QUEUE}"
GARBAGE: dict[str, Callable[[redis.Redis, str], object]] = {
    "no hash": lambda client, key: None,
    "no data": lambda client, key: client.hset(key, "origin", QUEUE),
    "data not JSON": lambda client, key: client.hset(key, "data", b"\x80\x04."),
    "unknown status": lambda client, key: client.hset(
        key, mapping={"data": "[]", "status": "lost"}
    ),
    "invalid timeout": lambda client, key: client.hset(
        key, mapping={"data": "[]", "timeout": "soon"}
    ),
    "too few arguments": lambda client, key: client.hset(
        key, "data", '["workers.deliver.deliver",null,[["1"]],{}]'
    ),
    "arguments of wrong types": lambda client, key: client.hset(
        key, "data", '["workers.deliver.deliver",null,[1,2,3],{}]'
    ),
    "string instead of hash": lambda client, key: client.set(key, "job"),
}


def rq_info(cell: Cell) -> str:
    """The output of `rq info --raw`."""
    result = subprocess.run(
        ["rq", "info", "--raw"],
        env=cell.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def states(cell: Cell) -> dict[int, str]:
    """The state of each worker in `rq info`, by process id."""
    pattern = rf"^worker \S+ \(.* (\d+)\) (\w+) {QUEUE}\."
    matches = re.findall(pattern, rq_info(cell), re.MULTILINE)
    return {int(pid): state for pid, state in matches}


def test_rq_info_lists_every_worker_and_shows_it_busy_while_it_delivers(
    new_cell: Callable[..., Cell],
):
    cell = new_cell()
    cell.start("ticker", "worker-1", "worker-2")
    both = {cell["worker-1"].pid, cell["worker-2"].pid}
    wait_until(lambda: states(cell) == dict.fromkeys(both, "idle"))
    cell["worker-2"].freeze()

    cell.create_many(10, over_s=0, query="delay_ms=3000")

    wait_until(lambda: states(cell)[cell["worker-1"].pid] == "busy")
    assert states(cell).keys() == both
    cell.wait_drained()
    wait_until(lambda: states(cell)[cell["worker-1"].pid] == "idle")


def test_rq_info_counts_the_attempts_of_a_worker(new_cell: Callable[..., Cell]):
    cell = new_cell()
    cell.start("ticker", "worker")
    cell.create_many(3, over_s=0, query="status=500&first=1")
    cell.wait_drained()

    wait_until(lambda: "deliveries. jobs: 3 finished, 3 failed" in rq_info(cell))


def test_rq_info_counts_waiting_envelopes(new_cell: Callable[..., Cell]):
    cell = new_cell(SCHED_ENVELOPE_SIZE="10", SCHED_OFFER_LEASE_MS="60000")
    cell.start("ticker")

    cell.create_many(100, over_s=0)
    wait_until(lambda: cell.client.llen(KEY) == 2)

    assert re.search(rf"^queue {QUEUE} 2,", rq_info(cell), re.M)


def test_a_stock_worker_and_a_delivery_worker_share_the_deliveries(
    new_cell: Callable[..., Cell],
):
    cell = new_cell()
    cell.start("ticker", "worker", "stock")
    accepted = cell.create_many(400, over_s=4)

    cell.wait_drained()

    tally = cell.tally(accepted)
    by_stock = sum(
        int(count)
        for count in re.findall(r"deliveries: .*?(\d+) events", cell["stock"].output)
    )
    print(tally, f"by the stock worker at most {by_stock}")
    assert tally.is_sound, tally
    assert tally.duplicates == 0
    assert 0 < by_stock < 400
    assert "Job OK" in cell["stock"].output


def test_r01_a_stock_worker_loses_nothing_when_its_work_horse_is_killed(
    new_cell: Callable[..., Cell],
):
    cell = new_cell(**SHORT_LEASES)
    cell.start("ticker", "stock")
    accepted = cell.create_many(20, over_s=0, query="delay_ms=1000")
    wait_until(lambda: len(cell.receiver.arrivals) == 20)

    for pid in cell["stock"].children():
        os.kill(pid, signal.SIGKILL)
    cell.record_in_flight()

    cell.wait_drained()
    tally = cell.tally(accepted)
    print(tally)
    assert tally.is_sound, tally
    assert tally.in_flight > 0
    assert cell["stock"].is_running()


def test_a_worker_in_burst_mode_delivers_waiting_events_and_exits(
    new_cell: Callable[..., Cell],
):
    cell = new_cell(SCHED_OFFER_LEASE_MS="60000")
    cell.start("ticker")
    accepted = cell.create_many(50, over_s=0, query="delay_ms=500")
    wait_until(lambda: cell.client.llen(KEY) == 1)

    cell.start("burst")
    exit_code = cell["burst"].wait()

    tally = cell.tally(accepted)
    assert exit_code == 0
    assert len(tally.late_ms) == 50
    assert cell.pending() == 0


def test_a_worker_exits_after_its_maximum_of_jobs(
    new_cell: Callable[..., Cell],
):
    cell = new_cell(SCHED_OFFER_LEASE_MS="60000", SCHED_ENVELOPE_SIZE="10")
    cell.start("ticker")
    cell.create_many(20, over_s=0)
    wait_until(lambda: cell.client.llen(KEY) == 2)

    cell.start("one job")
    exit_code = cell["one job"].wait()

    assert exit_code == 0
    assert len(cell.receiver.arrivals) == 10


def test_a_worker_exits_after_its_maximum_idle_time(
    new_cell: Callable[..., Cell],
):
    cell = new_cell()

    cell.start("short idle time")

    assert cell["short idle time"].wait() == 0


def test_a_worker_for_two_queues_exits_and_names_the_only_supported_queue(
    new_cell: Callable[..., Cell],
):
    cell = new_cell()

    cell.start("two queues")

    assert cell["two queues"].wait() == 1
    assert "works on the queue deliveries only" in cell["two queues"].output


def test_r13_unreadable_jobs_do_not_affect_deliveries(
    new_cell: Callable[..., Cell],
):
    cell = new_cell(**SHORT_LEASES)
    cell.start("ticker", "worker")
    accepted = cell.create_many(200, over_s=3)
    for number, write in enumerate([*GARBAGE.values()] * 5):
        job_id = f"garbage-{number}"
        write(cell.client, Job.key_for(job_id))
        cell.client.rpush(KEY, job_id)

    cell.wait_drained()

    tally = cell.tally(accepted)
    print(tally)
    assert tally.is_sound, tally
    assert tally.duplicates == 0
    assert cell["worker"].is_running()
    assert cell.client.llen(KEY) == 0
    jobs = cell.client.keys("rq:job:*")
    assert [key for key in jobs if b"garbage" not in key] == []
