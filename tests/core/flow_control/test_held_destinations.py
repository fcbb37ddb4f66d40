"""Tests of pausing, resuming and listing destinations.

While a destination is paused, its events wait.
"""

import pytest
from scheduler_api.core.delivery.destinations import parse
from scheduler_api.core.errors import NotFound
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.model import Outcome, Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import destination_digest, destination_gate
from scheduler_api.core.store.records import GATE as GATE_FIELDS
from tests.core.engine import OWNER, PREFIX, Engine, ids
from tests.core.gated import CHECK_EVERY_MS, begin, finish, offer, send

URL, ELSEWHERE = "https://shop.example/orders?key=1", "https://shop.example:8443/"
PLACE = parse(URL)
GATE = destination_gate(OWNER.tenant, destination_digest(URL))
DAY_MS = 86_400_000


def pause(destinations: HeldDestinations) -> None:
    destinations.set_paused(OWNER.tenant, PLACE, paused=True)


def resume(destinations: HeldDestinations) -> None:
    destinations.set_paused(OWNER.tenant, PLACE, paused=False)


def waiting(engine: Engine) -> set[str]:
    return engine.scores(keys.waiters(PREFIX, GATE)).keys()


def begun_later(engine: Engine) -> list[str]:
    """Begin and settle all events that may begin within a minute; return their ids."""
    found: list[str] = []
    for _ in range(12):
        begun = begin(engine)
        finish(engine, *begun)
        found += ids(begun)
        engine.now_ms += CHECK_EVERY_MS
    return found


def test_only_events_for_a_paused_destination_wait(
    engine: Engine, destinations: HeldDestinations
):
    pause(destinations)
    held = send(engine, [URL, "HTTPS://Shop.example:443/"])
    others = send(engine, [ELSEWHERE]) + send(engine, [URL], owner=Owner("2", "jiter"))
    engine.tick(DAY_MS, step_ms=6 * 3_600_000)

    assert sorted(ids(begin(engine))) == sorted(others)
    assert waiting(engine) == set(held)
    assert engine.faults() == []


def test_attempts_continue_and_offered_events_wait_in_their_old_order(
    engine: Engine, destinations: HeldDestinations
):
    [running] = send(engine, [URL])
    [begun] = begin(engine)
    accepted = []
    for _ in range(3):
        accepted += send(engine, [URL])
        engine.now_ms += 10
    offered = offer(engine)
    pause(destinations)
    _, refused = engine.worker.try_begin(*reversed(offered))
    finish(engine, begun)
    by_order = engine.scores(keys.waiters(PREFIX, GATE))

    assert engine.get(running).state == "delivered"
    assert refused == dict.fromkeys(accepted, "held")
    assert sorted(by_order, key=lambda each: by_order[each]) == accepted


def test_a_resumed_destination_releases_all_events_oldest_first(
    engine: Engine, destinations: HeldDestinations
):
    pause(destinations)
    accepted = []
    for _ in range(50):
        accepted += send(engine, [URL])
        engine.now_ms += 1
    begin(engine)
    accepted += send(engine, [URL])
    resume(destinations)
    begun: list[str] = []
    while at_once := engine.worker.begin(*engine.claim().ids):
        finish(engine, *at_once)
        begun += ids(at_once)
    begun_later(engine)

    assert begun == accepted
    assert destinations.all() == []
    assert engine.due() == {}
    assert engine.client.exists(keys.held_destinations(PREFIX)) == 0


def test_a_waiting_retry_keeps_its_attempt_number(
    engine: Engine, destinations: HeldDestinations
):
    [event_id] = send(engine, [URL])
    [begun] = begin(engine)
    pause(destinations)
    finish(engine, begun, outcome=Outcome.RETRY, delay_ms=1_000)
    engine.now_ms += 1_000
    assert begin(engine) == []
    resume(destinations)
    [again] = begin(engine)

    assert (again.id, again.attempt, again.failures) == (event_id, 2, 1)


def test_a_paused_destination_is_listed_with_its_origin_and_waiting_events(
    engine: Engine, destinations: HeldDestinations
):
    pause(destinations)
    [held] = destinations.all()
    send(engine, [URL] * 3)
    begin(engine)
    [filled] = destinations.all()
    engine.store.cancel(OWNER, list(waiting(engine))[:1])
    [left] = destinations.all()

    assert (held.tenant, held.url) == (OWNER.tenant, "https://shop.example:443")
    assert (held.paused_ms, held.probe_ms) == (engine.now_ms, None)
    assert [held.waiting, filled.waiting, left.waiting] == [0, 3, 2]


def test_a_resumed_destination_without_waiting_events_is_no_longer_listed(
    engine: Engine, destinations: HeldDestinations
):
    pause(destinations)
    resume(destinations)
    [resumed] = destinations.all()
    engine.now_ms += CHECK_EVERY_MS
    engine.claim()

    assert resumed.paused_ms is None
    assert destinations.all() == []
    assert engine.due() == {}
    assert engine.client.exists(keys.gate(PREFIX, GATE)) == 0


def test_only_a_held_destination_can_be_resumed(
    engine: Engine, destinations: HeldDestinations
):
    with pytest.raises(NotFound):
        resume(destinations)


def test_a_pause_continues_when_a_breaker_opens(
    engine: Engine, destinations: HeldDestinations
):
    pause(destinations)
    engine.worker.report(GATE, 20, 20)
    accepted = send(engine, [URL] * 2)
    nothing = begun_later(engine)
    kept = engine.client.pttl(keys.gate(PREFIX, GATE))
    resume(destinations)
    [probe] = begin(engine)
    engine.worker.report(GATE, 1, 0)
    finish(engine, probe)

    assert (nothing, kept) == ([], -1)
    assert [probe.id, *begun_later(engine)] == accepted


def test_events_refused_by_a_pause_do_not_slow_the_destination_afterwards(
    engine: Engine, destinations: HeldDestinations
):
    accepted = send(engine, [URL] * 40 + [ELSEWHERE])
    offered = offer(engine)
    pause(destinations)
    engine.worker.try_begin(
        *offered, share={"limit": 2, "in_flight": {GATE: 2, "other": 1}}
    )
    resume(destinations)

    assert sorted(ids(begin(engine))) == sorted(accepted[:40])


def test_the_gate_of_a_fair_share_expires(engine: Engine):
    send(engine, [URL] * 4 + [ELSEWHERE])
    begun, _ = engine.worker.try_begin(
        *offer(engine), share={"limit": 2, "in_flight": {}}
    )
    left_ms = engine.client.pttl(keys.gate(PREFIX, GATE))
    finish(engine, *begun)
    begun_later(engine)

    assert 0 < left_ms <= 14 * DAY_MS
    assert engine.client.exists(keys.gate(PREFIX, GATE)) == 0


def test_e5_repeated_pauses_and_resumptions_change_nothing(
    engine: Engine, destinations: HeldDestinations
):
    pause(destinations)
    once = engine.everything()
    engine.now_ms += 10
    pause(destinations)
    assert engine.everything() == once
    send(engine, [URL])
    begin(engine)
    resume(destinations)
    once = engine.everything()
    resume(destinations)

    assert engine.everything() == once


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            ("HDEL", keys.held_destinations(PREFIX), GATE),
            "is paused, but is missing in held_destinations",
        ),
        (
            ("HSET", keys.held_destinations(PREFIX), "d:9:x", "1"),
            "d:9:x: is held for no reason",
        ),
        (
            ("HDEL", keys.gate(PREFIX, GATE), GATE_FIELDS.code("paused_ms")),
            "is held, but no check is planned",
        ),
    ],
)
def test_fsck_detects_damaged_pauses(
    engine: Engine,
    destinations: HeldDestinations,
    command: tuple[str, ...],
    expected: str,
):
    engine.checks_faults = False
    pause(destinations)
    assert engine.faults() == []
    engine.client.execute_command(*command)

    [fault] = engine.faults()
    assert expected in fault
