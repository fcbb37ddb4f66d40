"""Gates that no function can read hold up nobody else; functions called twice."""

import pytest
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import NO_GATES, FlowLimits, Gates, Outcome, State
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import flow_gate
from scheduler_api.core.store.reads import read_events
from scheduler_api.core.store.records import EVENT, GATE
from tests.core.engine import OWNER, PREFIX, Engine, ids
from tests.core.gated import LOOK_MS, begin, create, finish, offer

FLOW = Gates(flow=FlowLimits("key", parallelism=2, rate=5))
QUEUE = Gates(queue="orders")
FLOW_GATE = flow_gate(OWNER, "key")


@pytest.mark.parametrize("value", ["x", "", "1e3", "nan"])
@pytest.mark.parametrize("field", ["parallelism", "rate", "period_ms"])
def test_e1_a_key_that_cannot_be_read_stands_in_nobody_elses_way(
    engine: Engine, field: str, value: str
):
    engine.stays_sound = False
    bad, good = create(engine, 3, FLOW), create(engine, 2, NO_GATES)
    engine.client.hset(keys.gate(PREFIX, FLOW_GATE), GATE.code(field), value)

    begun = begin(engine)
    finish(engine, *begun)

    assert sorted(ids(begun)) == sorted(good)
    assert engine.quarantine().keys() == set(bad)
    assert all(field in why for why in engine.quarantine_reasons().values())


@pytest.mark.parametrize("name", [keys.holders, keys.waiters, keys.not_begun])
def test_e1_sets_of_a_key_that_are_none_stand_in_nobody_elses_way(engine: Engine, name):
    engine.stays_sound = False
    create(engine, 3, FLOW)
    good = create(engine, 2, NO_GATES)
    engine.client.set(name(PREFIX, FLOW_GATE), "no set")

    begun = begin(engine)
    finish(engine, *begun)

    assert set(good) <= set(ids(begun))


def test_e1_an_event_that_cannot_be_read_holds_up_no_queue(engine: Engine):
    engine.stays_sound = False
    bad, good = create(engine, 2, QUEUE)
    engine.client.hset(keys.event(PREFIX, bad), EVENT.code("due_ms"), "soon")
    offer(engine)
    engine.now_ms += LOOK_MS

    assert offer(engine) == [good]
    assert engine.quarantine().keys() == {bad}


def test_e1_a_waiting_event_that_cannot_be_read_holds_up_no_line(engine: Engine):
    engine.stays_sound = False
    first, _, bad, good = create(engine, 4, FLOW)
    started = begin(engine)
    engine.client.hset(keys.event(PREFIX, bad), EVENT.code("due_ms"), "soon")
    finish(engine, *started)

    assert first in ids(started)
    assert offer(engine) == [good]
    assert engine.quarantine().keys() == {bad}


def test_e1_an_attempt_ends_whatever_became_of_its_gate(engine: Engine):
    engine.stays_sound = False
    create(engine, 3, FLOW)
    begun, *_ = begin(engine)
    engine.client.delete(keys.gate(PREFIX, FLOW_GATE))
    engine.client.set(keys.gate(PREFIX, FLOW_GATE), "no hash")

    finish(engine, begun, outcome=Outcome.DELIVERED)

    assert engine.get(begun.id).state is State.DELIVERED


def test_e5_settling_twice_frees_and_grants_once(engine: Engine, flow_keys: FlowKeys):
    create(engine, 6, FLOW)
    begun, *_ = begin(engine)
    finish(engine, begun)
    stored = engine.everything()
    finish(engine, begun)

    assert engine.everything() == stored
    assert flow_keys.get(OWNER, "key").running == 2


def test_e5_beginning_twice_under_one_token_is_charged_once(
    engine: Engine, flow_keys: FlowKeys
):
    [event_id] = create(engine, 1, FLOW)
    offer(engine)

    with engine.repeating():
        begun = engine.worker.begin(event_id)

    assert ids(begun) == [event_id]
    assert flow_keys.get(OWNER, "key").begun == 1


def test_e5_deleting_a_queue_twice_deletes_it_once(engine: Engine, queues: Queues):
    dropped = create(engine, 3, QUEUE)

    # The first answer alone says how many were dropped.
    with engine.repeating(alike=False) as repeats:
        queues.delete(OWNER, "orders")

    states = {event.state for event in read_events(engine.cell, OWNER, dropped)}
    assert states == {State.CANCELLED}
    assert engine.everything() == repeats.stored


def test_e5_a_creation_that_runs_twice_takes_one_turn(engine: Engine, queues: Queues):
    with engine.repeating() as repeats:
        create(engine, 1, QUEUE, delay_ms=5)

    assert engine.everything() == repeats.stored
    assert queues.get(OWNER, "orders").lag == 1
