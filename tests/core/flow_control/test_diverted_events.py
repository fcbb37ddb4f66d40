"""Tests of claims while workers turn the events of slow destinations away."""

import pytest
from scheduler_api.core.model import FlowLimits, Gates, State
from scheduler_api.core.store import keys
from tests.core.busy import FAST, NEW, OTHER, SLOW, busy, gate, try_begin, waiters
from tests.core.engine import OWNER, PREFIX, Engine, ids
from tests.core.gated import begin, finish, send

ROOM = 10
# The last events that are due are no backlog.
NOT_DIVERTED = 7


@pytest.fixture
def turned_away(engine: Engine) -> list[str]:
    """Events in the line of their tenant, more than it admits at once."""
    events = send(engine, [SLOW] * 20)
    try_begin(engine)
    assert waiters(engine) == events
    engine.now_ms += 10
    return events


def claim_all(engine: Engine) -> list[str]:
    """Claim, with little room, until nothing is due; return what was offered."""
    offered = list[str]()
    while min(engine.due().values(), default=engine.now_ms + 1) <= engine.now_ms:
        offered += engine.claim(ROOM).ids
    return offered


def test_i5_a_flood_to_a_slow_destination_joins_the_line_without_a_worker(
    engine: Engine, turned_away: list[str]
):
    flood = send(engine, [SLOW] * 50)
    offered = claim_all(engine)

    left = [each for each in flood if each not in offered]
    assert len(left) >= len(flood) - NOT_DIVERTED
    assert waiters(engine) == sorted({*turned_away} - {*offered}) + sorted(left)
    assert engine.faults() == []


def test_i5_a_flood_joins_the_line_of_a_destination_over_its_share(engine: Engine):
    first = send(engine, [FAST] * 40)
    try_begin(engine, in_flight={gate(FAST): 40, gate(SLOW): 1})
    engine.now_ms += 10
    flood = send(engine, [FAST] * 50)
    offered = claim_all(engine)

    left = [each for each in flood if each not in offered]
    assert len(left) >= len(flood) - NOT_DIVERTED
    assert set(waiters(engine, gate(FAST))) == {*first, *flood} - {*offered}
    assert (waiters(engine), engine.faults()) == ([], [])


def test_i5_a_flood_joins_the_line_although_its_tenant_has_room_again(engine: Engine):
    waiting = send(engine, [SLOW] * 20)
    try_begin(engine)
    engine.client.delete(keys.turned_away(PREFIX))
    engine.now_ms += 10
    [first] = send(engine, [SLOW])
    try_begin(engine, general_room=50)
    flood = send(engine, [SLOW] * 50)
    offered = claim_all(engine)

    assert len({*flood} & {*offered}) <= NOT_DIVERTED
    assert set(waiters(engine)) == {first, *flood, *waiting[16:]} - {*offered}


def test_i5_other_destinations_and_tenants_are_offered_beside_the_flood(
    engine: Engine, turned_away: list[str]
):
    flood = send(engine, [SLOW] * 50)
    others = send(engine, [FAST, NEW]) + send(engine, [SLOW], owner=OTHER)

    assert set(others) <= {*claim_all(engine)} - {*flood}


def test_i5_what_is_due_now_is_offered_before_a_recent_flood(
    engine: Engine, turned_away: list[str]
):
    send(engine, [SLOW] * 50)
    engine.now_ms += 10
    [new] = send(engine, [NEW])

    assert new in engine.claim(ROOM).ids


def test_i5_events_with_gates_are_offered_as_their_gates_admit_them(
    engine: Engine, turned_away: list[str]
):
    keyed = send(engine, [SLOW] * 20, gates=Gates(flow=FlowLimits("key", 3)))

    assert len({*claim_all(engine)} & {*keyed}) == 3


def test_i5_a_diverted_event_can_be_cancelled(engine: Engine, turned_away: list[str]):
    flood = send(engine, [SLOW] * 50)
    offered = claim_all(engine)
    engine.store.cancel(OWNER, flood)

    assert {engine.get(each).state for each in flood} == {State.CANCELLED}
    assert set(waiters(engine)) == {*turned_away} - {*offered}


def test_i5_diverted_events_are_sent_in_the_order_of_their_due_times(
    engine: Engine, turned_away: list[str]
):
    flood = send(engine, [SLOW] * 50)
    engine.worker.try_begin(*claim_all(engine), share=busy())
    sent = list[str]()
    for _ in range(60):
        engine.now_ms += 100
        begun = begin(engine)
        finish(engine, *begun)
        sent += ids(begun)

    assert sent == sorted(turned_away) + sorted(flood)


def test_i5_events_are_offered_again_a_second_after_workers_turned_some_away(
    engine: Engine, turned_away: list[str]
):
    assert 0 < engine.client.pttl(keys.turned_away(PREFIX)) <= 1_000
    engine.client.delete(keys.turned_away(PREFIX))
    flood = send(engine, [SLOW] * 50)

    assert set(flood) <= {*claim_all(engine)}
