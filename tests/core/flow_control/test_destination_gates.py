"""Tests of limits per destination: caps, shares of a worker, and circuit breakers."""

import pytest
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.model import (
    Begun,
    Content,
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
from tests.core.gated import CHECK_EVERY_MS, begin, finish, offer, send

FAILING, HEALTHY = "https://failing.example/a", "https://healthy.example:8443/b"
FAILING_GATE = destination_gate(OWNER.tenant, destination_digest(FAILING))
KEY_GATE = flow_gate(OWNER, "key")
HOLD_MS = 5_000


def held_destinations(engine: Engine) -> dict[str, str]:
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


def test_a_cap_applies_to_each_destination_of_each_tenant(engine: Engine):
    engine.set_limits(caps=Caps(destination=2))
    accepted = send(engine, [FAILING, FAILING, FAILING, HEALTHY])
    others = send(engine, [FAILING], owner=Owner("2", "jiter"))

    assert sorted(offer(engine)) == sorted([*accepted[:2], accepted[3], *others])


def test_s30_a_cap_applies_to_each_host_across_tenants(engine: Engine):
    engine.set_limits(caps=Caps(host=2))
    other_port = FAILING.replace(".example", ".example:8443")
    first = send(engine, [FAILING, HEALTHY])
    others = send(engine, [other_port, FAILING], owner=Owner("2", "jiter"))
    begun = begin(engine)
    finish(engine, *begun)

    assert sorted(ids(begun)) == sorted([*first, others[0]])
    assert ids(begin(engine)) == others[1:]


def test_a_callback_counts_towards_the_cap_of_its_own_host(engine: Engine):
    engine.set_limits(caps=Caps(host=1))
    [parent_id] = send(engine, [FAILING])
    [running_id] = send(engine, [HEALTHY])
    parent, running = sorted(begin(engine), key=lambda each: each.id != parent_id)
    child = FollowUp(f"{parent_id}.c1", Content(HEALTHY, b""), DEADLINE_MS)
    finish(engine, parent, follow_ups=(child,))
    meanwhile = begin(engine)
    finish(engine, running)

    assert (running.id, meanwhile) == (running_id, [])
    assert ids(begin(engine)) == [child.id]


def test_changing_the_host_of_an_event_frees_the_slot_of_the_first_host(engine: Engine):
    engine.set_limits(caps=Caps(host=1))
    [edited_id] = send(engine, [FAILING])
    offer(engine)
    engine.store.change(engine.get(edited_id), content=Content(HEALTHY, b""))
    [second_id] = send(engine, [FAILING])

    assert sorted(ids(begin(engine))) == sorted([edited_id, second_id])


@pytest.mark.parametrize(
    ("caps", "begun"),
    [(Caps(tenant=2), 4), (Caps(everything=3), 3), (Caps(tenant=2, everything=3), 3)],
)
def test_a_cap_applies_to_a_tenant_and_to_the_cell(
    engine: Engine, caps: Caps, begun: int
):
    engine.set_limits(caps=caps)
    for tenant in ("1", "2"):
        send(engine, [FAILING, HEALTHY, HEALTHY], owner=Owner(tenant, "jiter"))

    first = begin(engine)
    finish(engine, *first)
    second = begin(engine)

    assert len(first) == begun
    assert len(second) == 6 - begun


@pytest.mark.parametrize(("most", "few"), [(2, 4), (5, 20)])
def test_e3_an_event_with_two_saturated_gates_does_not_starve(
    engine: Engine, most: int, few: int
):
    engine.set_limits(caps=Caps(destination=most))
    limited = Gates(flow=FlowLimits("key", parallelism=most))
    both = send(engine, [FAILING] * few, gates=limited)
    engine.now_ms -= 1_000
    # The clock was set back, so the next two calls send events that are older than
    # `both`. The first call saturates the key, and the second call saturates the
    # destination. The loop below sends newer events for the key and the destination.
    send(
        engine,
        [HEALTHY.replace("8443", f"84{n}") for n in range(10, 22)],
        gates=limited,
    )
    send(engine, [FAILING] * 12)
    engine.now_ms += 2_000
    later, begun, running = set[str](), [], begin(engine)
    reserved = False
    while not set(both) <= set(begun):
        assert len(begun) < 500
        if not reserved and any(engine.client.scan_iter(match=f"{PREFIX}gr:*")):
            reserved = engine.faults() == []
        finish(engine, running.pop(0))
        later |= {*send(engine, [HEALTHY], gates=limited), *send(engine, [FAILING])}
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
    assert engine.scores(keys.waiters(PREFIX, FAILING_GATE)) == {}


def reserving(engine: Engine) -> int:
    return engine.client.scard(keys.reserved(PREFIX, KEY_GATE))


def with_reservations(engine: Engine) -> tuple[list[str], list[Begun]]:
    """Create and settle events until two events reserve slots of a flow-control key.

    The key has parallelism 5.

    Returns:
        The ids of the events that need slots of both the key and a destination, and
        the attempts in progress. The destination has one slot.
    """
    engine.set_limits(caps=Caps(destination=1))
    limited = Gates(flow=FlowLimits("key", parallelism=5))
    healthy_urls = [HEALTHY.replace("8443", str(port)) for port in range(8_400, 8_500)]
    both = send(engine, [FAILING] * 6, gates=limited)
    engine.now_ms += 1
    send(engine, healthy_urls, gates=limited)
    send(engine, [FAILING] * 20)
    running = begin(engine)
    while reserving(engine) < 2 and running:
        finish(engine, running.pop(0))
        running += begin(engine)
    return both, running


def test_half_of_the_slots_of_a_key_are_used_while_others_are_reserved(engine: Engine):
    both, running = with_reservations(engine)
    settled, reserved = 0, reserving(engine)
    for _ in range(20):
        others = [each for each in running if each.origin != FAILING_GATE]
        settled += len(others)
        finish(engine, *others)
        running = [each for each in running if each not in others] + begin(engine)
        reserved = max(reserved, reserving(engine))

    assert (reserved, settled >= 20, engine.faults()) == (2, True, [])
    while running:
        finish(engine, *running)
        running = begin(engine)
    assert {engine.get(each).state for each in both} == {State.DELIVERED}
    assert not engine.client.exists(keys.reserved(PREFIX, KEY_GATE))


def test_no_slot_is_reserved_for_events_behind_a_breaker(engine: Engine):
    _, running = with_reservations(engine)
    engine.worker.report(FAILING_GATE, 20, 20)
    engine.now_ms += HOLD_MS
    engine.worker.report(FAILING_GATE, 1, 1)
    finish(engine, *running)
    engine.now_ms += CHECK_EVERY_MS
    finish(engine, *begin(engine))

    assert (reserving(engine), len(begin(engine))) == (0, 5)


def test_a_single_destination_may_use_the_entire_worker(engine: Engine):
    send(engine, [FAILING] * 6)
    begun, refused = engine.worker.try_begin(
        *offer(engine), share={"limit": 2, "in_flight": {}}
    )

    assert (len(begun), refused) == (6, {})


def test_with_others_a_destination_gets_its_share_of_a_worker(engine: Engine):
    send(engine, [FAILING] * 6 + [HEALTHY])
    begun, refused = engine.worker.try_begin(
        *offer(engine), share={"limit": 2, "in_flight": {}}
    )

    assert sorted(each.origin for each in begun) == sorted(
        [FAILING_GATE] * 2
        + [destination_gate(OWNER.tenant, destination_digest(HEALTHY))]
    )
    assert list(refused.values()) == ["held"] * 4
    assert len(engine.scores(keys.waiters(PREFIX, FAILING_GATE))) == 4
    assert held_destinations(engine).keys() == {FAILING_GATE}
    assert engine.client.pttl(keys.gate(PREFIX, FAILING_GATE)) > 0


def test_events_over_the_share_begin_as_soon_as_there_is_room(engine: Engine):
    accepted = send(engine, [FAILING] * 6 + [HEALTHY])
    begun, _ = engine.worker.try_begin(
        *offer(engine), share={"limit": 2, "in_flight": {}}
    )
    finish(engine, *begun)
    rest = begin(engine)
    finish(engine, *rest)
    for _ in range(3):
        engine.now_ms += CHECK_EVERY_MS
        engine.claim()

    assert sorted(ids(begun) + ids(rest)) == sorted(accepted)
    assert held_destinations(engine) == {}
    assert engine.due() == {}
    assert not engine.client.exists(keys.gate(PREFIX, FAILING_GATE))


def test_the_rate_of_refused_begins_is_limited(engine: Engine):
    send(engine, [FAILING] * 100 + [HEALTHY])
    count = 0
    for _ in range(20):
        engine.now_ms += 100
        claim = engine.claim()
        _, refused = engine.worker.try_begin(
            *claim.ids, share={"limit": 2, "in_flight": {FAILING_GATE: 2, "other": 0}}
        )
        count += len(refused)

    assert count < 100 + 3 * 16 + 16


def test_a_breaker_opens_when_nearly_all_fail(engine: Engine):
    assert engine.worker.report(FAILING_GATE, 19, 19) == ""
    engine.now_ms += 30_000
    assert engine.worker.report(FAILING_GATE, 1, 1) == "open"
    assert held_destinations(engine).keys() == {FAILING_GATE}


@pytest.mark.parametrize(
    ("attempts", "failures", "later_ms"), [(30, 26, 0), (19, 19, 70_000)]
)
def test_a_breaker_stays_closed(
    engine: Engine, attempts: int, failures: int, later_ms: int
):
    engine.worker.report(FAILING_GATE, attempts, failures)
    engine.now_ms += later_ms

    assert engine.worker.report(FAILING_GATE, 1, 1) == ""
    assert held_destinations(engine) == {}


def test_an_event_held_by_a_breaker_keeps_its_attempts_and_failures(engine: Engine):
    [event_id] = send(engine, [FAILING])
    [begun] = begin(engine)
    finish(engine, begun, outcome=Outcome.RETRY, delay_ms=1_000)
    engine.worker.report(FAILING_GATE, 20, 20)
    engine.now_ms += 1_000
    _, refused = engine.worker.try_begin(*offer(engine))
    held = engine.get(event_id)
    engine.now_ms += HOLD_MS
    [again] = begin(engine)

    assert refused == {event_id: "held"}
    assert held.attempts == 1
    assert (again.attempt, again.failures, again.origin_held) == (2, 1, True)


def test_a_breaker_of_one_tenant_does_not_affect_other_tenants(engine: Engine):
    engine.worker.report(FAILING_GATE, 20, 20)
    mine, others = (
        send(engine, [FAILING]),
        send(engine, [FAILING], owner=Owner("2", "jiter")),
    )

    assert ids(begin(engine)) == others
    assert engine.scores(keys.waiters(PREFIX, FAILING_GATE)).keys() == set(mine)


def test_one_probe_runs_at_a_time_and_each_failure_doubles_the_wait(engine: Engine):
    engine.worker.report(FAILING_GATE, 20, 20)
    accepted, probed = send(engine, [FAILING] * 5), list[str]()
    for wait_ms in (HOLD_MS, 2 * HOLD_MS, 4 * HOLD_MS, 4 * HOLD_MS):
        begin(engine)
        engine.now_ms += wait_ms - 1
        assert begin(engine) == []
        engine.now_ms += 1
        [probe] = begin(engine)
        probed.append(probe.id)
        assert begin(engine) == []
        assert engine.worker.report(FAILING_GATE, 1, 1) == "probe_failed"
        finish(engine, probe, outcome=Outcome.RETRY, delay_ms=1)
    waiting = engine.scores(keys.waiters(PREFIX, FAILING_GATE))

    assert (probed, len(waiting)) == (accepted[:4], 4)


def test_e3_an_event_that_waits_for_a_probe_takes_no_slot_of_its_key(engine: Engine):
    limited = Gates(flow=FlowLimits("key", parallelism=1))
    send(engine, [FAILING])
    [probe] = offer(engine)
    engine.now_ms += 1
    [held] = send(engine, [FAILING], gates=limited)
    offered = offer(engine)
    engine.worker.report(FAILING_GATE, 20, 20)
    engine.now_ms += HOLD_MS
    engine.worker.begin(probe)
    _, refused = engine.worker.try_begin(*offered)
    [other] = send(engine, [HEALTHY], gates=limited)

    assert refused == {held: "held"}
    assert offer(engine) == [other]


def test_e2_an_interrupted_probe_is_followed_by_another(engine: Engine):
    engine.worker.report(FAILING_GATE, 20, 20)
    send(engine, [FAILING] * 2)
    begin(engine)
    engine.now_ms += HOLD_MS
    [probe] = begin(engine)
    engine.tick(LEASE_MS)

    [again] = begin(engine)
    assert (again.id, again.attempt) == (probe.id, 2)


def test_a_closed_breaker_releases_events_gradually_oldest_first(engine: Engine):
    engine.worker.report(FAILING_GATE, 20, 20)
    accepted = []
    for _ in range(60):
        accepted += send(engine, [FAILING])
        engine.now_ms += 1
    begin(engine)
    engine.now_ms += HOLD_MS
    [probe] = begin(engine)
    assert engine.worker.report(FAILING_GATE, 1, 0) == "half_open"
    finish(engine, probe)
    sent, per_s = [probe.id], []
    for _ in range(4):
        begun = begin(engine)
        finish(engine, *begun)
        sent += ids(begun)
        per_s.append(len(begun))
        engine.now_ms += 1_020
    for _ in range(2):
        engine.now_ms += CHECK_EVERY_MS
        engine.claim()

    assert sent == accepted
    # The probe counts towards the rate.
    assert per_s[:2] == [15, 16]
    assert held_destinations(engine) == {}


def test_an_event_edited_to_another_destination_no_longer_waits(engine: Engine):
    engine.worker.report(FAILING_GATE, 20, 20)
    [event_id] = send(engine, [FAILING])
    engine.worker.begin(*offer(engine))
    engine.store.change(engine.get(event_id), content=Content(HEALTHY, b""))

    assert engine.scores(keys.waiters(PREFIX, FAILING_GATE)) == {}
    assert ids(begin(engine)) == [event_id]


def test_an_idle_breaker_expires(engine: Engine):
    engine.worker.report(FAILING_GATE, 20, 20)
    engine.now_ms += 700_000
    for _ in range(3):
        engine.claim()
        engine.now_ms += CHECK_EVERY_MS

    assert held_destinations(engine) == {}
    assert engine.due() == {}


def test_events_that_wait_for_a_destination_are_reported(engine: Engine):
    engine.worker.report(FAILING_GATE, 20, 20)
    send(engine, [FAILING] * 3)
    begin(engine)

    [held] = HeldDestinations(engine.cell).all()
    assert (held.tenant, held.url, held.waiting) == (OWNER.tenant, FAILING, 3)
    assert held.probe_ms == engine.now_ms + HOLD_MS
