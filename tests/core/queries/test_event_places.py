"""Tests of where an event is: its queue, its flow-control key, what it waits for."""

import pytest
from dataclasses import replace
from scheduler_api.core.model import NO_GATES, FlowLimits, Gates
from scheduler_api.core.queries.event_places import Place, read_place
from scheduler_api.core.store.gate_names import flow_gate, queue_gate
from tests.core.engine import OWNER, Engine
from tests.core.gated import begin, create, finish

NOWHERE = Place(queue="", flow_key="", waits_at="", is_claimed=False, is_sent=False)
ONE_AT_ONCE = FlowLimits("customer", parallelism=1)


def place_of(engine: Engine, event_id: str) -> Place:
    return read_place(engine.cell, event_id)


def test_an_event_without_gates_is_nowhere(engine: Engine) -> None:
    [event] = create(engine, 1, NO_GATES)

    assert place_of(engine, event) == NOWHERE
    assert place_of(engine, "unknown") == NOWHERE


@pytest.mark.parametrize("name", ["mail", "a:b", "J\u00f6rg, 100 %", "q:1:jiter:x"])
def test_queue_and_flow_key_have_the_names_that_the_client_gave(
    engine: Engine, name: str
) -> None:
    flow = FlowLimits(f"{name}-key", parallelism=1)
    [event] = create(engine, 1, Gates(name, flow))
    [queued] = create(engine, 1, Gates(name))
    [keyed] = create(engine, 1, Gates(flow=flow))

    assert place_of(engine, event) == replace(NOWHERE, queue=name, flow_key=flow.key)
    assert place_of(engine, queued) == replace(NOWHERE, queue=name)
    assert place_of(engine, keyed) == replace(NOWHERE, flow_key=flow.key)


@pytest.mark.parametrize(
    ("gates", "gate"),
    [
        (Gates("mail"), queue_gate(OWNER, "mail")),
        (Gates(flow=ONE_AT_ONCE), flow_gate(OWNER, "customer")),
        (Gates("mail", ONE_AT_ONCE), queue_gate(OWNER, "mail")),
    ],
)
def test_of_two_events_at_a_gate_one_is_sent_and_the_other_waits(
    engine: Engine, gates: Gates, gate: str
) -> None:
    first, second = create(engine, 2, gates)
    begun = begin(engine)
    sent, waiting = place_of(engine, first), place_of(engine, second)
    finish(engine, *begun)

    assert (sent.is_claimed, sent.is_sent, sent.waits_at) == (True, True, "")
    assert (waiting.is_claimed, waiting.is_sent) == (False, False)
    assert waiting.waits_at == gate
    assert not place_of(engine, first).is_sent


def test_an_event_keeps_its_queue_when_it_has_ended(engine: Engine) -> None:
    [event] = create(engine, 1, Gates("mail"))
    finish(engine, *begin(engine))

    assert place_of(engine, event) == replace(NOWHERE, queue="mail")
