"""Tests of what `begin` does with the events that a busy worker has no room for."""

import pytest
from scheduler_api.core.model import FlowLimits, FollowUp, Gates, Outcome, State
from scheduler_api.core.settings.limits import Caps
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import flow_gate
from scheduler_api.core.store.records import GATE
from tests.core.busy import (
    FAST,
    NEW,
    NEW_ONES,
    OTHER,
    SLOW,
    SLOW_GATE,
    busy,
    gate,
    try_begin,
    waiters,
)
from tests.core.engine import CONTENT, DEADLINE_MS, OWNER, PREFIX, Engine, ids
from tests.core.gated import CHECK_EVERY_MS, begin, finish, offer, send

KEY_GATE = flow_gate(OWNER, "key")


def rate(engine: Engine) -> int:
    """The rate at which the ramp of the line began."""
    [rate] = engine.client.hmget(keys.gate(PREFIX, SLOW_GATE), GATE.code("ramp_rate"))
    return int(rate or 0)


def test_i3_slow_destinations_cannot_use_the_reserve(engine: Engine):
    [slow] = send(engine, [SLOW])
    begun, refused = try_begin(engine)

    assert (begun, refused, waiters(engine)) == ([], {slow: "held"}, [slow])
    assert engine.get(slow).attempts == 0


def test_i3_slow_destinations_may_use_what_is_not_the_reserve(engine: Engine):
    slow = send(engine, [SLOW] * 3)
    begun, _ = try_begin(engine, general_room=2)

    assert (sorted(begun), waiters(engine)) == (slow[:2], slow[2:])


def test_i3_unknown_destinations_may_use_half_of_the_reserve(engine: Engine):
    accepted = send(engine, NEW_ONES)
    begun, _ = try_begin(engine)

    assert (begun, waiters(engine)) == (accepted[:10], accepted[10:])


def test_i3_fast_destinations_may_use_all_of_the_reserve(engine: Engine):
    accepted = send(engine, [FAST] * 20)

    assert try_begin(engine, general_room=-10) == (accepted, {})


def test_i3_fast_events_without_room_stay_with_their_worker(engine: Engine):
    accepted = send(engine, [FAST] * 3)
    begun, refused = try_begin(engine, room=1)

    assert (begun, refused) == (accepted[:1], dict.fromkeys(accepted[1:], "full"))
    assert sorted(engine.leased()) == sorted(accepted)
    assert ids(engine.worker.begin(*refused)) == accepted[1:]


def test_i4_the_share_of_a_destination_applies_to_fast_ones_too(engine: Engine):
    accepted = send(engine, [FAST] * 3)
    begun, _ = try_begin(engine, in_flight={gate(FAST): 38, gate(SLOW): 1})

    assert begun == accepted[:2]
    assert list(engine.scores(keys.waiters(PREFIX, gate(FAST)))) == accepted[2:]


@pytest.mark.parametrize(
    ("others", "room"), [(0, 80), (1, 40), (2, 26), (3, 20), (4, 20)]
)
def test_i4_a_tenant_has_a_share_while_others_are_wanted(
    engine: Engine, others: int, room: int
):
    """The tenant has three events fewer in flight than its share."""
    accepted = send(engine, [SLOW] * 5)
    tenants = {OWNER.tenant: room - 3} | {str(n): 1 for n in range(10, 10 + others)}
    begun, _ = try_begin(engine, general_room=3 if not others else 50, tenants=tenants)

    assert (begun, waiters(engine)) == (accepted[:3], accepted[3:])


def test_i4_a_tenant_counts_as_wanted_once_its_event_is_in_the_same_call(
    engine: Engine,
):
    mine = send(engine, [SLOW])
    others = send(engine, [NEW], owner=OTHER)
    begun, _ = try_begin(engine, general_room=10, tenants={OWNER.tenant: 40})

    assert (begun, waiters(engine)) == (others, mine)


def test_i4_a_new_tenant_gets_room_when_others_have_filled_the_rest(engine: Engine):
    mine = send(engine, [SLOW] * 10)
    others = send(engine, NEW_ONES, owner=OTHER)
    tenants = {OWNER.tenant: 80, "3": 6}
    begun, _ = try_begin(engine, tenants=tenants, trial_room=0)

    assert begun == others[:3]
    assert waiters(engine) == mine
    assert waiters(engine, "t:2:slow") == others[3:]


def test_i5_fast_events_never_wait_in_the_line_of_their_tenant(engine: Engine):
    waiting = send(engine, [SLOW] * 20)
    try_begin(engine)
    assert len(begin(engine)) == 16
    fast = send(engine, [FAST] * 2)
    limits = {"tenants": {OWNER.tenant: 49, "2": 1}, "fast_of": {OWNER.tenant: 9}}
    begun, _ = try_begin(engine, **limits)

    assert (begun, waiters(engine)) == (fast[:1], sorted(waiting)[16:])
    assert list(engine.scores(keys.waiters(PREFIX, gate(FAST)))) == fast[1:]


def test_i5_later_events_of_the_tenant_wait_behind_the_line(engine: Engine):
    first = send(engine, [SLOW] * 20)
    try_begin(engine)
    engine.now_ms += 10
    [later] = send(engine, [SLOW])
    [other] = send(engine, [NEW], owner=OTHER)
    begun, _ = try_begin(engine, general_room=50)

    first.sort()
    # Sixteen events have been admitted, as the ramp allows.
    assert set(begun) == {other, *first[:16]}
    assert waiters(engine) == [*first[16:], later]


def test_i5_the_line_is_admitted_in_order_at_a_rising_rate(engine: Engine):
    accepted = send(engine, [SLOW] * 200)
    try_begin(engine)
    sent, per_s = list[str](), []
    for _ in range(6):
        begun = begin(engine)
        for _ in range(10):
            engine.now_ms += 100
            begun += begin(engine)
        sent += ids(begun)
        per_s.append(len(begun))
        finish(engine, *begun)

    assert sent == sorted(accepted)[: len(sent)]
    assert 14 <= per_s[0] <= 20 < per_s[2] <= 40 < per_s[4]


def test_i5_a_turn_away_halves_the_rate_once_a_second(engine: Engine):
    send(engine, [SLOW] * 600)
    try_begin(engine)
    for _ in range(70):
        engine.now_ms += 100
        begin(engine)
    refused: dict[str, str] = {}
    while not refused:
        engine.now_ms += 100
        _, refused = try_begin(engine)
    first = rate(engine)
    engine.now_ms += 900
    try_begin(engine)
    soon = rate(engine)
    engine.now_ms += 200
    while not try_begin(engine)[1]:
        engine.now_ms += 100

    assert (first, soon, rate(engine)) == (64, 64, 32)


def test_i5_an_empty_line_is_forgotten(engine: Engine):
    send(engine, [SLOW] * 2)
    try_begin(engine)
    finish(engine, *begin(engine))
    engine.now_ms += CHECK_EVERY_MS
    begin(engine)

    assert not engine.client.exists(keys.gate(PREFIX, SLOW_GATE))
    assert engine.due() == {}


def test_i5_the_line_and_the_limit_of_a_tenant_are_apart(engine: Engine):
    engine.set_limits(caps=Caps(tenant=100))
    waiting = send(engine, [SLOW] * 20)
    try_begin(engine)
    begin(engine)
    fast = send(engine, [FAST])
    begun, _ = try_begin(engine)

    assert (begun, waiters(engine)) == (fast, sorted(waiting)[16:])


def test_i5_an_event_in_the_line_holds_no_slot_of_another_gate(engine: Engine):
    waiting = send(engine, [SLOW] * 3, gates=Gates(flow=FlowLimits("key", 5)))
    before = engine.client.scard(keys.holders(PREFIX, KEY_GATE))
    try_begin(engine)

    assert waiters(engine) == waiting
    assert (before, engine.client.scard(keys.holders(PREFIX, KEY_GATE))) == (0, 0)


def test_i5_a_retry_and_a_callback_are_not_bound_to_the_line(engine: Engine):
    [event_id] = send(engine, [SLOW])
    try_begin(engine)
    [begun] = begin(engine)
    finish(engine, begun, outcome=Outcome.RETRY, delay_ms=1_000)
    retried = engine.record(event_id).get("gates")
    engine.now_ms += 1_000
    [again] = begin(engine)
    child = FollowUp(f"{event_id}.c1", CONTENT, DEADLINE_MS)
    finish(engine, again, follow_ups=(child,))

    assert (retried, engine.record(child.id).get("gates")) == (None, None)


def test_i5_cancellation_works_in_the_line(engine: Engine):
    [event_id] = send(engine, [SLOW])
    try_begin(engine)
    engine.store.cancel(OWNER, [event_id])

    assert (engine.get(event_id).state, waiters(engine)) == (State.CANCELLED, [])


def test_i6_events_without_room_are_not_offered_again_at_once(engine: Engine):
    accepted = send(engine, [SLOW] * 100)
    try_begin(engine)

    assert len(waiters(engine)) == len(accepted)
    assert len(offer(engine)) <= 16


def test_a_repeated_begin_changes_nothing(engine: Engine):
    send(engine, [SLOW, FAST] * 3)
    send(engine, [NEW] * 3, owner=OTHER)
    offered = offer(engine)
    with engine.repeating(same_answer=False):
        begun, _ = engine.worker.try_begin(*offered, share=busy())

    assert (len(begun), len(waiters(engine))) == (6, 3)
