"""Tests of what a busy worker does with new destinations of a tenant without room."""

import pytest
from scheduler_api.core.model import FlowLimits, Gates
from tests.core.busy import (
    FAST,
    NEW,
    NEW_ONES,
    OTHER,
    SLOW,
    busy,
    gate,
    try_begin,
    waiters,
)
from tests.core.engine import OWNER, Engine, ids
from tests.core.gated import begin, send

# All that a tenant has in flight is slow, and fills what is not the reserve.
FULL = {OWNER.tenant: 80}
WITH_OTHER = FULL | {OTHER.tenant: 1}


def test_r16_a_new_destination_is_tried_beside_slow_ones_of_its_tenant(engine: Engine):
    [new] = send(engine, [NEW])
    begun, _ = engine.worker.try_begin(*engine.claim().ids, share=busy(tenants=FULL))

    assert [(each.id, each.is_trial) for each in begun] == [(new, True)]


def test_r16_a_new_destination_is_tried_although_others_wait(engine: Engine):
    waiting = send(engine, [SLOW] * 20)
    try_begin(engine)
    begin(engine)
    [new] = send(engine, [NEW])

    assert new in try_begin(engine, tenants=WITH_OTHER, general_room=50)[0]
    assert waiters(engine) == sorted(waiting)[16:]


def test_while_a_new_destination_is_tried_its_events_wait_for_a_moment(engine: Engine):
    first, *later = send(engine, [NEW] * 17)
    begun, _ = try_begin(engine, tenants=FULL)
    leased = engine.leased()
    engine.now_ms += 20

    assert begun == [first]
    assert {leased[each] - engine.now_ms for each in later} == {0}
    assert ids(begin(engine)) == later


def test_most_events_of_a_flood_to_a_new_destination_wait_at_its_gate(engine: Engine):
    flood = send(engine, [NEW] * 50)
    _, refused = try_begin(engine, tenants=FULL)

    assert (len(refused), len(waiters(engine, gate(NEW)))) == (49, 49 - 16)
    assert (set(flood) - set(refused), waiters(engine)) == ({flood[0]}, [])


def test_a_flood_stays_at_its_gate_when_its_destination_turns_out_to_be_slow(
    engine: Engine,
):
    send(engine, [NEW] * 50)
    try_begin(engine, tenants=FULL)
    before = waiters(engine, gate(NEW))
    engine.now_ms += 1_000
    _, refused = try_begin(engine, tenants=FULL, slow=[gate(NEW)])

    assert {*before} & {*refused}
    assert waiters(engine, gate(NEW)) == before


@pytest.mark.parametrize(
    ("limits", "count"),
    [
        ({"tenants": FULL}, 5),
        ({"tenants": FULL, "general_room": -5}, 0),
        ({"tenants": FULL, "trials_of": {OWNER.tenant: 23}}, 2),
        ({"tenants": WITH_OTHER, "trials_of": {OWNER.tenant: 9}}, 3),
        ({"tenants": FULL, "trial_room": 1}, 1),
    ],
)
def test_the_number_of_trials_is_limited(
    engine: Engine, limits: dict[str, object], count: int
):
    """Those of a tenant get a quarter of the worker, divided among the tenants."""
    accepted = send(engine, NEW_ONES)
    begun, _ = try_begin(engine, **limits)

    assert (begun, waiters(engine)) == (accepted[:count], accepted[count:])


def test_what_waits_in_the_line_is_not_tried(engine: Engine):
    waiting = send(engine, NEW_ONES)
    try_begin(engine, tenants=FULL, trial_room=0)
    engine.now_ms += 1_000
    [new] = send(engine, [NEW])

    assert try_begin(engine, tenants=FULL)[0] == [new]
    assert waiters(engine) == waiting


def test_i4_fast_destinations_of_a_full_tenant_share_the_reserve(engine: Engine):
    accepted = send(engine, [FAST] * 12)
    begun, _ = try_begin(engine, tenants=WITH_OTHER)

    assert begun == accepted[:10]
    assert waiters(engine, gate(FAST)) == accepted[10:]


def test_events_leave_the_line_once_their_destination_is_known_to_be_fast(
    engine: Engine,
):
    others = send(engine, NEW_ONES)
    engine.now_ms += 10
    waiting = send(engine, [NEW] * 2)
    waiting += send(engine, [NEW], gates=Gates(flow=FlowLimits("key", 5)))
    try_begin(engine, tenants=FULL, trial_room=0, general_room=-10)
    assert set(waiters(engine)) == {*others, *waiting}
    [fast] = send(engine, [NEW])
    # One call looks at a sample of the line, which is as large as this line.
    limits = {"tenants": FULL, "fast": [gate(NEW)], "trial_room": 0}
    first, _ = try_begin(engine, **limits)
    second, _ = try_begin(engine, **limits)

    assert (first, set(second)) == ([fast], {*waiting})
    assert set(waiters(engine)) == {*others}
