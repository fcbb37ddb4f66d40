"""Destinations: caps, shares of a worker, breakers; what is held is never lost."""

import pytest
from collections.abc import Sequence
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.model import (
    NO_GATES,
    Begun,
    Content,
    Draft,
    FlowLimits,
    FollowUp,
    Gates,
    Outcome,
    Owner,
    State,
)
from scheduler_api.core.settings.limits import Caps
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import (
    destination_digest,
    destination_gate,
    flow_gate,
)
from tests.core.engine import (
    DEADLINE_MS,
    LEASE_MS,
    OWNER,
    PREFIX,
    Engine,
    ids,
)
from tests.core.gated import LOOK_MS, begin, finish, offer

ILL, WELL = "https://ill.example/a", "https://well.example:8443/b"
ILL_ORIGIN = "https://ill.example:443"
ILL_GATE = destination_gate(OWNER.tenant, destination_digest(ILL))
KEY_GATE = flow_gate(OWNER, "key")
HOLD_MS = 5_000


def send(
    engine: Engine,
    urls: Sequence[str],
    *,
    owner: Owner = OWNER,
    gates: Gates = NO_GATES,
) -> list[str]:
    drafts = [Draft(Content(url, b""), DEADLINE_MS, gates=gates) for url in urls]
    return [each.id for each in engine.store.create_many(owner, drafts)]


def held_back(engine: Engine) -> dict[str, str]:
    return engine._hash(keys.held_destinations(PREFIX))


def test_a_destination_is_scheme_host_and_port():
    assert destination_digest("https://a.example/x?y") == destination_digest(
        "HTTPS://A.example:443"
    )
    assert destination_digest("https://a.example/") != destination_digest(
        "http://a.example/"
    )
    assert destination_digest("https://a.example/") != destination_digest(
        "https://a.example:8443/"
    )
    assert destination_digest("a-group") == ""


def test_a_cap_holds_for_each_destination_of_each_tenant(engine: Engine):
    engine.limit(caps=Caps(destination=2))
    accepted = send(engine, [ILL, ILL, ILL, WELL])
    others = send(engine, [ILL], owner=Owner("2", "jiter"))

    assert sorted(offer(engine)) == sorted([*accepted[:2], accepted[3], *others])


def test_a_cap_holds_for_each_host_over_all_tenants(engine: Engine):
    engine.limit(caps=Caps(host=2))
    other_port = ILL.replace(".example", ".example:8443")
    first = send(engine, [ILL, WELL])
    others = send(engine, [other_port, ILL], owner=Owner("2", "jiter"))
    begun = begin(engine)
    finish(engine, *begun)

    assert sorted(ids(begun)) == sorted([*first, others[0]])
    assert ids(begin(engine)) == others[1:]


def test_a_callback_counts_for_the_host_that_it_goes_to(engine: Engine):
    engine.limit(caps=Caps(host=1))
    [parent_id] = send(engine, [ILL])
    [running_id] = send(engine, [WELL])
    parent, running = sorted(begin(engine), key=lambda each: each.id != parent_id)
    child = FollowUp(f"{parent_id}.c1", Content(WELL, b""), DEADLINE_MS)
    finish(engine, parent, follow_ups=(child,))
    meanwhile = begin(engine)
    finish(engine, running)

    assert (running.id, meanwhile) == (running_id, [])
    assert ids(begin(engine)) == [child.id]


def test_an_edit_to_another_host_leaves_the_slots_of_the_first(engine: Engine):
    engine.limit(caps=Caps(host=1))
    [edited_id] = send(engine, [ILL])
    offer(engine)
    engine.store.change(engine.get(edited_id), content=Content(WELL, b""))
    [second_id] = send(engine, [ILL])

    assert sorted(ids(begin(engine))) == sorted([edited_id, second_id])


@pytest.mark.parametrize(
    ("caps", "begun"),
    [(Caps(tenant=2), 4), (Caps(everything=3), 3), (Caps(tenant=2, everything=3), 3)],
)
def test_a_cap_holds_for_a_tenant_and_for_all(engine: Engine, caps: Caps, begun: int):
    engine.limit(caps=caps)
    for tenant in ("1", "2"):
        send(engine, [ILL, WELL, WELL], owner=Owner(tenant, "jiter"))

    first = begin(engine)
    finish(engine, *first)
    second = begin(engine)

    assert len(first) == begun
    assert len(second) == 6 - begun


@pytest.mark.parametrize(("most", "few"), [(2, 4), (5, 20)])
def test_e3_what_needs_two_saturated_gates_is_not_starved(
    engine: Engine, most: int, few: int
):
    engine.limit(caps=Caps(destination=most))
    limited = Gates(flow=FlowLimits("key", parallelism=most))
    both = send(engine, [ILL] * few, gates=limited)
    engine.now_ms -= 1_000
    # Older ones saturate both gates; of each kind more come all the time.
    send(engine, [WELL.replace("8443", f"84{n}") for n in range(10, 22)], gates=limited)
    send(engine, [ILL] * 12)
    engine.now_ms += 2_000
    later, begun, running = set[str](), [], begin(engine)
    reserved = False
    while not set(both) <= set(begun):
        assert len(begun) < 500
        if not reserved and any(engine.client.scan_iter(match=f"{PREFIX}gr:*")):
            reserved = engine.faults() == []
        finish(engine, running.pop(0))
        later |= {*send(engine, [WELL], gates=limited), *send(engine, [ILL])}
        running += begin(engine)
        begun += [each.id for each in running if each.id not in begun]
        engine.now_ms += 1

    before = begun[: max(map(begun.index, both))]
    assert len(later & set(before)) < 100
    assert reserved
    for _ in range(500):
        running += begin(engine)
        if not running:
            break
        finish(engine, running.pop(0))
    assert engine.scores(keys.waiters(PREFIX, ILL_GATE)) == {}


def reserving(engine: Engine) -> int:
    return engine.client.scard(keys.reserved(PREFIX, KEY_GATE))


def with_reservations(engine: Engine) -> tuple[list[str], list[Begun]]:
    """Those that reserve slots of a key with five; and what is being sent."""
    engine.limit(caps=Caps(destination=1))
    limited = Gates(flow=FlowLimits("key", parallelism=5))
    wells = [WELL.replace("8443", str(port)) for port in range(8_400, 8_500)]
    both = send(engine, [ILL] * 6, gates=limited)
    engine.now_ms += 1
    send(engine, wells, gates=limited)
    send(engine, [ILL] * 20)
    running = begin(engine)
    while reserving(engine) < 2 and running:
        finish(engine, running.pop(0))
        running += begin(engine)
    return both, running


def test_half_of_a_key_goes_on_while_others_reserve_and_wait(engine: Engine):
    both, running = with_reservations(engine)
    went_on, reserved = 0, reserving(engine)
    for _ in range(20):
        going = [each for each in running if each.destination != ILL_GATE]
        went_on += len(going)
        finish(engine, *going)
        running = [each for each in running if each not in going] + begin(engine)
        reserved = max(reserved, reserving(engine))

    assert (reserved, went_on >= 20, engine.faults()) == (2, True, [])
    while running:
        finish(engine, *running)
        running = begin(engine)
    assert {engine.get(each).state for each in both} == {State.DELIVERED}
    assert not engine.client.exists(keys.reserved(PREFIX, KEY_GATE))


def test_nothing_is_reserved_in_front_of_a_breaker(engine: Engine):
    _, running = with_reservations(engine)
    engine.worker.report(ILL_GATE, 20, 20)
    engine.now_ms += HOLD_MS
    engine.worker.report(ILL_GATE, 1, 1)
    finish(engine, *running)
    engine.now_ms += LOOK_MS
    finish(engine, *begin(engine))

    assert (reserving(engine), len(begin(engine))) == (0, 5)


def test_alone_a_destination_may_have_a_whole_worker(engine: Engine):
    send(engine, [ILL] * 6)
    begun, fallen = engine.worker.try_begin(
        *offer(engine), share={"limit": 2, "in_hand": {}}
    )

    assert (len(begun), fallen) == (6, {})


def test_with_others_a_destination_has_its_share_of_a_worker(engine: Engine):
    send(engine, [ILL] * 6 + [WELL])
    begun, fallen = engine.worker.try_begin(
        *offer(engine), share={"limit": 2, "in_hand": {}}
    )

    assert sorted(each.destination for each in begun) == sorted(
        [ILL_GATE] * 2 + [destination_gate(OWNER.tenant, destination_digest(WELL))]
    )
    assert list(fallen.values()) == ["held"] * 4
    assert len(engine.scores(keys.waiters(PREFIX, ILL_GATE))) == 4
    assert held_back(engine).keys() == {ILL_GATE}
    assert engine.client.pttl(keys.gate(PREFIX, ILL_GATE)) > 0


def test_what_was_turned_away_goes_as_soon_as_there_is_room(engine: Engine):
    accepted = send(engine, [ILL] * 6 + [WELL])
    begun, _ = engine.worker.try_begin(
        *offer(engine), share={"limit": 2, "in_hand": {}}
    )
    finish(engine, *begun)
    rest = begin(engine)
    finish(engine, *rest)
    for _ in range(3):
        engine.now_ms += LOOK_MS
        engine.claim()

    assert sorted(ids(begun) + ids(rest)) == sorted(accepted)
    assert held_back(engine) == {}
    assert engine.due() == {}
    assert not engine.client.exists(keys.gate(PREFIX, ILL_GATE))


def test_turning_away_is_bounded_by_a_rate(engine: Engine):
    send(engine, [ILL] * 100 + [WELL])
    bounced = 0
    for _ in range(20):
        engine.now_ms += 100
        claim = engine.claim()
        _, fallen = engine.worker.try_begin(
            *claim.ids, share={"limit": 2, "in_hand": {ILL_GATE: 2, "other": 0}}
        )
        bounced += len(fallen)

    assert bounced < 100 + 3 * 16 + 16


def test_a_full_window_has_room_for_others_only(engine: Engine):
    accepted = send(engine, [ILL] * 3)
    begun, fallen = engine.worker.try_begin(
        *offer(engine),
        share={"limit": 2, "in_hand": {ILL_GATE: 4}, "only_others": True},
    )

    assert (begun, list(fallen.values())) == ([], ["held"] * 3)
    assert engine.due().keys() == set(accepted)


def test_a_breaker_opens_when_nearly_all_fail(engine: Engine):
    assert engine.worker.report(ILL_GATE, 19, 19) == ""
    engine.now_ms += 30_000
    assert engine.worker.report(ILL_GATE, 1, 1) == "opened"
    assert held_back(engine).keys() == {ILL_GATE}


@pytest.mark.parametrize(
    ("attempts", "failures", "later_ms"), [(30, 26, 0), (19, 19, 70_000)]
)
def test_a_breaker_stays_closed(
    engine: Engine, attempts: int, failures: int, later_ms: int
):
    engine.worker.report(ILL_GATE, attempts, failures)
    engine.now_ms += later_ms

    assert engine.worker.report(ILL_GATE, 1, 1) == ""
    assert held_back(engine) == {}


def test_an_open_breaker_holds_with_number_and_retries(engine: Engine):
    [event_id] = send(engine, [ILL])
    [begun] = begin(engine)
    finish(engine, begun, outcome=Outcome.RETRY, delay_ms=1_000)
    engine.worker.report(ILL_GATE, 20, 20)
    engine.now_ms += 1_000
    _, fallen = engine.worker.try_begin(*offer(engine))
    held = engine.get(event_id)
    engine.now_ms += HOLD_MS
    [again] = begin(engine)

    assert fallen == {event_id: "held"}
    assert held.attempts == 1
    assert (again.attempt, again.failures, again.destination_held) == (2, 1, True)


def test_a_breaker_of_one_tenant_is_no_other_tenants(engine: Engine):
    engine.worker.report(ILL_GATE, 20, 20)
    mine, others = send(engine, [ILL]), send(engine, [ILL], owner=Owner("2", "jiter"))

    assert ids(begin(engine)) == others
    assert engine.scores(keys.waiters(PREFIX, ILL_GATE)).keys() == set(mine)


def test_one_probe_goes_at_a_time_and_each_that_fails_doubles_the_wait(engine: Engine):
    engine.worker.report(ILL_GATE, 20, 20)
    accepted = send(engine, [ILL] * 5)
    for wait_ms in (HOLD_MS, 2 * HOLD_MS, 4 * HOLD_MS, 4 * HOLD_MS):
        begin(engine)
        engine.now_ms += wait_ms - 1
        assert begin(engine) == []
        engine.now_ms += 1
        [probe] = begin(engine)
        assert probe.id == accepted[0]
        assert begin(engine) == []
        assert engine.worker.report(ILL_GATE, 1, 1) == "probe_failed"
        finish(engine, probe, outcome=Outcome.RETRY, delay_ms=1)
    waiting = engine.scores(keys.waiters(PREFIX, ILL_GATE))

    assert len(waiting) == 4


def test_e3_what_waits_for_a_probe_holds_no_slot_of_its_key(engine: Engine):
    limited = Gates(flow=FlowLimits("key", parallelism=1))
    send(engine, [ILL])
    [probe] = offer(engine)
    engine.now_ms += 1
    [held] = send(engine, [ILL], gates=limited)
    offered = offer(engine)
    engine.worker.report(ILL_GATE, 20, 20)
    engine.now_ms += HOLD_MS
    engine.worker.begin(probe)
    _, fallen = engine.worker.try_begin(*offered)
    [other] = send(engine, [WELL], gates=limited)

    assert fallen == {held: "held"}
    assert offer(engine) == [other]


def test_e2_a_probe_that_dies_is_followed_by_another(engine: Engine):
    engine.worker.report(ILL_GATE, 20, 20)
    send(engine, [ILL] * 2)
    begin(engine)
    engine.now_ms += HOLD_MS
    [probe] = begin(engine)
    engine.tick(LEASE_MS)

    [again] = begin(engine)
    assert (again.id, again.attempt) == (probe.id, 2)


def test_a_closed_breaker_releases_on_a_ramp_the_oldest_first(engine: Engine):
    engine.worker.report(ILL_GATE, 20, 20)
    accepted = []
    for _ in range(60):
        accepted += send(engine, [ILL])
        engine.now_ms += 1
    begin(engine)
    engine.now_ms += HOLD_MS
    [probe] = begin(engine)
    assert engine.worker.report(ILL_GATE, 1, 0) == "closed"
    finish(engine, probe)
    sent, per_s = [probe.id], []
    for _ in range(4):
        begun = begin(engine)
        finish(engine, *begun)
        sent += ids(begun)
        per_s.append(len(begun))
        engine.now_ms += 1_020
    for _ in range(2):
        engine.now_ms += LOOK_MS
        engine.claim()

    assert sent == accepted
    assert per_s[:2] == [16, 16]
    assert held_back(engine) == {}


def test_an_edit_to_another_destination_leaves_the_line(engine: Engine):
    engine.worker.report(ILL_GATE, 20, 20)
    [event_id] = send(engine, [ILL])
    engine.worker.begin(*offer(engine))
    engine.store.change(engine.get(event_id), content=Content(WELL, b""))

    assert engine.scores(keys.waiters(PREFIX, ILL_GATE)) == {}
    assert ids(begin(engine)) == [event_id]


def test_an_idle_breaker_is_forgotten(engine: Engine):
    engine.worker.report(ILL_GATE, 20, 20)
    engine.now_ms += 700_000
    for _ in range(3):
        engine.claim()
        engine.now_ms += LOOK_MS

    assert held_back(engine) == {}
    assert engine.due() == {}


def test_what_waits_before_a_destination_is_told(engine: Engine):
    engine.worker.report(ILL_GATE, 20, 20)
    send(engine, [ILL] * 3)
    begin(engine)

    [held] = HeldDestinations(engine.cell).all()
    assert (held.tenant, held.origin, held.waiting) == (OWNER.tenant, ILL_ORIGIN, 3)
    assert held.probe_ms == engine.now_ms + HOLD_MS
