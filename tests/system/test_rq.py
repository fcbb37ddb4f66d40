"""RQ's own tools and workers beside ours."""

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
    "data that is no JSON": lambda client, key: client.hset(key, "data", b"\x80\x04."),
    "a status that is none": lambda client, key: client.hset(
        key, mapping={"data": "[]", "status": "lost"}
    ),
    "a time-out that is none": lambda client, key: client.hset(
        key, mapping={"data": "[]", "timeout": "soon"}
    ),
    "too few arguments": lambda client, key: client.hset(
        key, "data", '["workers.deliver.deliver",null,[["1"]],{}]'
    ),
    "arguments of other kinds": lambda client, key: client.hset(
        key, "data", '["workers.deliver.deliver",null,[1,2,3],{}]'
    ),
    "a string for a hash": lambda client, key: client.set(key, "job"),
}


def rq_info(cell: Cell) -> str:
    """What `rq info --raw` prints."""
    result = subprocess.run(
        ["rq", "info", "--raw"],
        env=cell.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def states(cell: Cell) -> dict[int, str]:
    """Each worker's state, as people see it, by process."""
    line = rf"^worker \S+ \(.* (\d+)\) (\w+) {QUEUE}\."
    found = re.findall(line, rq_info(cell), re.MULTILINE)
    return {int(pid): state for pid, state in found}


def test_rq_info_lists_every_worker_busy_while_it_delivers(
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


def test_rq_info_shows_how_many_envelopes_wait(new_cell: Callable[..., Cell]):
    cell = new_cell(SCHED_ENVELOPE_SIZE="10", SCHED_OFFER_LEASE_MS="60000")
    cell.start("ticker")

    cell.create_many(100, over_s=0)
    wait_until(lambda: cell.client.llen(KEY) == 2)

    assert re.search(rf"^queue {QUEUE} 2,", rq_info(cell), re.M)


def test_a_stock_worker_delivers_beside_ours(new_cell: Callable[..., Cell]):
    cell = new_cell()
    cell.start("ticker", "worker", "stock")
    accepted = cell.create_many(400, over_s=4)

    cell.wait_drained()

    tally = cell.tally(accepted)
    by_stock = sum(
        int(count)
        for count in re.findall(r"deliveries: .*?(\d+) events", cell["stock"].printed)
    )
    print(tally, f"by the stock worker at most {by_stock}")
    assert tally.is_sound, tally
    assert tally.duplicates == 0
    assert 0 < by_stock < 400
    assert "Job OK" in cell["stock"].printed


def test_r01_a_stock_worker_alone_loses_nothing_when_its_work_horse_is_killed(
    new_cell: Callable[..., Cell],
):
    cell = new_cell(**SHORT_LEASES)
    cell.start("ticker", "stock")
    accepted = cell.create_many(20, over_s=0, query="delay_ms=1000")
    wait_until(lambda: len(cell.receiver.arrivals) == 20)

    for horse in cell["stock"].children():
        os.kill(horse, signal.SIGKILL)
    cell.note_in_flight()

    cell.wait_drained()
    tally = cell.tally(accepted)
    print(tally)
    assert tally.is_sound, tally
    assert tally.in_flight == 20
    assert cell["stock"].is_running()


def test_in_burst_mode_a_worker_delivers_what_waits_and_ends(
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
    assert cell.waiting() == 0


def test_a_worker_ends_after_as_many_jobs_as_it_was_told(
    new_cell: Callable[..., Cell],
):
    cell = new_cell(SCHED_OFFER_LEASE_MS="60000", SCHED_ENVELOPE_SIZE="10")
    cell.start("ticker")
    cell.create_many(20, over_s=0)
    wait_until(lambda: cell.client.llen(KEY) == 2)

    cell.start("of one job")
    exit_code = cell["of one job"].wait()

    assert exit_code == 0
    assert len(cell.receiver.arrivals) == 10


def test_a_worker_ends_that_was_idle_for_as_long_as_it_was_told(
    new_cell: Callable[..., Cell],
):
    cell = new_cell()

    cell.start("idle no longer")

    assert cell["idle no longer"].wait() == 0


def test_a_worker_of_two_queues_says_that_it_takes_from_one(
    new_cell: Callable[..., Cell],
):
    cell = new_cell()

    cell.start("of two queues")

    assert cell["of two queues"].wait() == 1
    assert "works on the queue deliveries only" in cell["of two queues"].printed


def test_r13_jobs_that_cannot_be_read_cost_nothing_but_themselves(
    new_cell: Callable[..., Cell],
):
    cell = new_cell(**SHORT_LEASES)
    cell.start("ticker", "worker")
    accepted = cell.create_many(200, over_s=3)
    for number, spoil in enumerate([*GARBAGE.values()] * 5):
        job_id = f"garbage-{number}"
        spoil(cell.client, Job.key_for(job_id))
        cell.client.rpush(KEY, job_id)

    cell.wait_drained()

    tally = cell.tally(accepted)
    print(tally)
    assert tally.is_sound, tally
    assert tally.duplicates == 0
    assert cell["worker"].is_running()
    assert cell.client.llen(KEY) == 0
    left = cell.client.keys("rq:job:*")
    assert [key for key in left if b"garbage" not in key] == []
