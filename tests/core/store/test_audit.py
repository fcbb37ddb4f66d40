"""Tests of the audit log: one record per change, even if a call is repeated."""

import pytest
import redis
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.store import audit, keys
from scheduler_api.core.store.audit import MAX_RECORDS, Change, Record
from scheduler_api.core.store.cell import Cell
from tests.core.engine import OWNER, PREFIX
from tests.core.function_calls import repeating

TENANT = OWNER.tenant


@pytest.fixture
def cell(store_client: redis.Redis) -> Cell:
    return Cell(store_client, PREFIX)


def change(action: str) -> Change:
    return Change(TENANT, "ci", action, "line")


def log(cell: Cell) -> list[Record]:
    return audit.newest(cell, TENANT, count=100)


def test_a_record_has_time_actor_object_and_both_states(cell: Cell):
    queues = Queues(cell)
    queues.put(OWNER, "line", parallelism=2, paused=False)
    before_ms = cell.now_ms()

    queues.set_paused(OWNER, "line", paused=True, change=change("queue.pause"))

    [record] = log(cell)
    assert before_ms <= record.at_ms <= cell.now_ms()
    assert record.change == change("queue.pause")
    assert record.before == {"parallelism": 2, "paused": False}
    assert record.after == {"parallelism": 2, "paused": True}


def test_a_call_without_a_person_or_without_effect_is_not_recorded(cell: Cell):
    queues = Queues(cell)
    queues.put(OWNER, "line", parallelism=2, paused=False)
    queues.set_paused(OWNER, "line", paused=True)

    queues.set_paused(OWNER, "line", paused=True, change=change("queue.pause"))
    queues.delete(OWNER, "other", change=change("queue.delete"))

    assert log(cell) == []


def test_a_repeated_call_is_recorded_once(cell: Cell):
    queues = Queues(cell)
    for action in ("queue.put", "queue.delete"):
        with repeating(cell.client, same_answer=False):
            if action == "queue.put":
                line = {"parallelism": 1, "paused": False}
                queues.put(OWNER, "line", **line, change=change(action))
            else:
                queues.delete(OWNER, "line", change=change(action))

    deleted, put = log(cell)
    assert (put.change.action, put.before) == ("queue.put", None)
    assert (deleted.change.action, deleted.after) == ("queue.delete", None)


def test_pins_are_recorded(cell: Cell):
    flow_keys, pin = FlowKeys(cell), change("flow.pin")
    flow_keys.pin(OWNER, "line", rate=3, period_ms=5_000, parallelism=2, change=pin)
    unpin = change("flow.unpin")
    flow_keys.unpin(OWNER, "line", parallelism=True, rate=True, change=unpin)

    limits = {"parallelism": 2, "rate": 3, "period_ms": 5_000, "paused": False}
    pins = {"parallelism_pinned": True, "rate_pinned": True}
    unpinned, pinned = log(cell)
    assert (pinned.before, pinned.after) == (None, limits | pins)
    assert (unpinned.before, unpinned.after) == (limits | pins, limits)


def test_a_log_keeps_the_newest_1000_records(cell: Cell):
    key = keys.audit(PREFIX, TENANT)
    with cell.client.pipeline(transaction=False) as pipe:
        for _ in range(MAX_RECORDS):
            audit.add(pipe, PREFIX, change("old"), before=None, after=None)
        pipe.execute()
    audit.write(cell, change("python"), before=None, after=None)
    assert cell.client.xlen(key) == MAX_RECORDS == 1_000

    line = {"parallelism": 1, "paused": False}
    Queues(cell).put(OWNER, "line", **line, change=change("lua"))

    assert cell.client.xlen(key) == MAX_RECORDS
    actions = [record.change.action for record in audit.newest(cell, TENANT, count=3)]
    assert actions == ["lua", "python", "old"]


def test_a_long_name_is_cut(cell: Cell):
    named = Change(TENANT, "ci", "flow.pause", "x" * 5_000)
    FlowKeys(cell).set_paused(OWNER, "x" * 5_000, paused=True, change=named)

    [record] = log(cell)
    assert record.change.object == "x" * 199 + "…"
