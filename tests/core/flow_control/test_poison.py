"""Tests of unreadable gates and events, and of repeated calls.

Unreadable gates and events block no other events. A repeated call counts once.
"""

import pytest
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import NO_GATES, FlowLimits, Gates, Outcome, State
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import flow_gate
from scheduler_api.core.store.reads import read_events
from scheduler_api.core.store.records import EVENT, GATE
from tests.core.engine import OWNER, PREFIX, Engine, ids
from tests.core.gated import CHECK_EVERY_MS, begin, create, finish, offer

FLOW = Gates(flow=FlowLimits("key", parallelism=2, rate=5))
QUEUE = Gates(queue="orders")
FLOW_GATE = flow_gate(OWNER, "key")


@pytest.mark.parametrize("value", ["x", "", "1e3", "nan"])
@pytest.mark.parametrize("field", ["parallelism", "rate", "period_ms"])
def test_e1_an_unreadable_key_does_not_block_other_events(
    engine: Engine, field: str, value: str
):
    engine.checks_faults = False
    bad, good = create(engine, 3, FLOW), create(engine, 2, NO_GATES)
    engine.client.hset(keys.gate(PREFIX, FLOW_GATE), GATE.code(field), value)

    begun = begin(engine)
    finish(engine, *begun)

    assert sorted(ids(begun)) == sorted(good)
    assert engine.quarantine().keys() == set(bad)
    assert all(field in reason for reason in engine.quarantine_reasons().values())


@pytest.mark.parametrize("name", [keys.holders, keys.waiters, keys.not_begun])
def test_e1_sets_of_the_wrong_type_do_not_block_other_events(engine: Engine, name):
    engine.checks_faults = False
    create(engine, 3, FLOW)
    good = create(engine, 2, NO_GATES)
    engine.client.set(name(PREFIX, FLOW_GATE), "no set")

    begun = begin(engine)
    finish(engine, *begun)

    assert set(good) <= set(ids(begun))


def test_e1_an_unreadable_event_does_not_block_its_queue(engine: Engine):
    engine.checks_faults = False
    bad, good = create(engine, 2, QUEUE)
    engine.client.hset(keys.event(PREFIX, bad), EVENT.code("due_ms"), "soon")
    offer(engine)
    engine.now_ms += CHECK_EVERY_MS

    assert offer(engine) == [good]
    assert engine.quarantine().keys() == {bad}


def test_e1_an_unreadable_waiting_event_does_not_block_those_behind_it(engine: Engine):
    engine.checks_faults = False
    first, _, bad, good = create(engine, 4, FLOW)
    started = begin(engine)
    engine.client.hset(keys.event(PREFIX, bad), EVENT.code("due_ms"), "soon")
    finish(engine, *started)

    assert first in ids(started)
    assert offer(engine) == [good]
    assert engine.quarantine().keys() == {bad}


def test_e1_an_attempt_can_end_if_its_gate_is_unreadable(engine: Engine):
    engine.checks_faults = False
    create(engine, 3, FLOW)
    begun, *_ = begin(engine)
    engine.client.delete(keys.gate(PREFIX, FLOW_GATE))
    engine.client.set(keys.gate(PREFIX, FLOW_GATE), "no hash")

    finish(engine, begun, outcome=Outcome.DELIVERED)

    assert engine.get(begun.id).state is State.DELIVERED


def test_e5_a_repeated_settle_frees_one_slot(engine: Engine, flow_keys: FlowKeys):
    create(engine, 6, FLOW)
    begun, *_ = begin(engine)
    finish(engine, begun)
    stored = engine.everything()
    finish(engine, begun)

    assert engine.everything() == stored
    assert flow_keys.get(OWNER, "key").running == 2


def test_e5_a_repeated_begin_counts_once_towards_the_rate(
    engine: Engine, flow_keys: FlowKeys
):
    [event_id] = create(engine, 1, FLOW)
    offer(engine)

    with engine.repeating():
        begun = engine.worker.begin(event_id)

    assert ids(begun) == [event_id]
    assert flow_keys.get(OWNER, "key").begun == 1


def test_e5_a_repeated_deletion_of_a_queue_deletes_it_once(
    engine: Engine, queues: Queues
):
    dropped = create(engine, 3, QUEUE)

    # A deletion returns the number of cancelled events. The repeated deletion cancels
    # no events, so its answer differs.
    with engine.repeating(same_answer=False) as repeats:
        queues.delete(OWNER, "orders")

    states = {event.state for event in read_events(engine.cell, OWNER, dropped)}
    assert states == {State.CANCELLED}
    assert engine.everything() == repeats.stored


def test_e5_a_repeated_creation_takes_one_place_in_the_queue(
    engine: Engine, queues: Queues
):
    with engine.repeating() as repeats:
        create(engine, 1, QUEUE, delay_ms=5)

    assert engine.everything() == repeats.stored
    assert queues.get(OWNER, "orders").lag == 1
