"""Tests that events with unreadable records are quarantined, and others delivered.

Each test damages records in the store in many ways, then calls a function that reads
the records.
"""

import pytest
import redis
from collections.abc import Callable
from dataclasses import replace
from fakeredis import FakeRedis
from scheduler_api.core.model import Begun, Draft, Outcome, State
from scheduler_api.core.store import keys
from scheduler_api.core.store.records import EVENT, SCHEDULE, Fields
from tests.core.engine import (
    CONTENT,
    LEASE_MS,
    OFFER_MS,
    OWNER,
    PREFIX,
    START_MS,
    Engine,
    all_ids,
    codes,
    ids,
    settlement,
)

Break = Callable[[redis.Redis, str], object]
MINUTE_MS = 60_000


def set_value(field: str, value: str, *, of: Fields = EVENT) -> Break:
    return lambda client, key: client.hset(key, of.code(field), value)


def remove(field: str, *, of: Fields = EVENT) -> Break:
    return lambda client, key: client.hdel(key, of.code(field))


def replace_by(kind: str) -> Break:
    def replace_record(client: redis.Redis, key: str) -> None:
        client.delete(key)
        if kind == "string":
            client.set(key, "no record")
        elif kind == "list":
            client.rpush(key, "no record")
        elif kind == "set":
            client.sadd(key, "no record")
        else:
            client.zadd(key, {"no record": 1})

    return replace_record


REQUIRED = ("owner", "due_ms", "deadline_ms", "created_ms")
NUMBERS = (
    *("deadline_ms", "created_ms", "attempts", "failures"),
    *("interruptions", "first_due_ms"),
)
NOT_A_HASH = {
    f"is a {kind}": replace_by(kind) for kind in ("string", "list", "set", "zset")
}
WITHOUT = {f"without {field}": remove(field) for field in REQUIRED}
NO_NUMBERS = ("", "soon", "1e3", "0x10", "1.5", "inf", "-inf", "nan", "\x00", "9 9")
NOT_DUE = {f"due_ms {text!r}": set_value("due_ms", text) for text in NO_NUMBERS}
GARBLED = {
    f"{field} {text!r}": set_value(field, text)
    for field in NUMBERS
    for text in ("", "x", "nan")
}
EVENTS = {
    **NOT_A_HASH,
    **WITHOUT,
    **NOT_DUE,
    **GARBLED,
    "no revision": set_value("schedule", "7"),
}
BEGUN_EVENTS = {
    "limit ''": set_value("renewable_until_ms", ""),
    "limit x": set_value("renewable_until_ms", "x"),
    "no limit": remove("renewable_until_ms"),
}


class Crowd:
    """Many due events. Of every 25 events, tests damage the 24 in `damaged`."""

    def __init__(self, engine: Engine, size: int) -> None:
        self.engine = engine
        self.readable = {f"readable{n}" for n in range(0, size, 25)}
        self.damaged = [f"damaged{n}" for n in range(size) if n % 25]
        draft = Draft(CONTENT, 10_000, at_ms=START_MS + 1)
        drafts = [replace(draft, id=each) for each in (*self.readable, *self.damaged)]
        engine.store.create_many(OWNER, drafts)
        engine.now_ms += 1

    def offer(self) -> list[str]:
        claimed = []
        while batch := self.engine.claim(1_000).ids:
            claimed += batch
        return claimed

    def begin(self) -> list[Begun]:
        return self.engine.worker.begin(*self.offer())

    def damage(self, all_kinds: dict[str, Break]) -> None:
        """Damage all events in `damaged`; the kinds of damage alternate."""
        kinds = list(all_kinds.values())
        with self.engine.client.pipeline(transaction=False) as pipe:
            for n, event_id in enumerate(self.damaged):
                kinds[n % len(kinds)](pipe, keys.event(PREFIX, event_id))
            pipe.execute()


@pytest.fixture
def crowd(engine: Engine) -> Crowd:
    return Crowd(engine, 250 if isinstance(engine.client, FakeRedis) else 1_000)


def deliver_all(engine: Engine, *, rounds: int = 5) -> set[str]:
    """Claim, begin and deliver, one second per round; return the delivered ids."""
    delivered = set[str]()
    for _ in range(rounds):
        engine.now_ms += 1_000
        begun = engine.worker.begin(*all_ids(engine.claim(1_250)))
        engine.worker.settle(*map(settlement, begun))
        delivered |= set(ids(begun))
    return delivered


def assert_quarantined(crowd: Crowd) -> None:
    """Check that all damaged events are in quarantine, each with a reason."""
    engine = crowd.engine
    reasons = engine.quarantine_reasons()

    assert engine.quarantine().keys() == set(crowd.damaged)
    assert reasons.keys() == set(crowd.damaged)
    assert all(reasons.values())
    assert engine.due() == engine.leased() == {}


def test_e1_begin_quarantines_unreadable_events(crowd: Crowd, engine: Engine):
    crowd.damage(EVENTS)

    assert deliver_all(engine) == crowd.readable
    assert_quarantined(crowd)


def test_an_event_without_a_place_in_the_journal_is_not_leased(engine: Engine):
    draft = Draft(CONTENT, MINUTE_MS, at_ms=engine.now_ms + 1_000, journal=True)
    event, other = engine.store.create(OWNER, draft), engine.create()
    replace_by("string")(engine.client, keys.journal(PREFIX, str(OWNER)))
    engine.tick(1_000)

    begun = engine.worker.begin(*all_ids(engine.claim()))

    assert ids(begun) == [other.id]
    assert engine.places(event.id) == ["quarantine"]
    assert engine.leased() == {other.id: engine.now_ms + LEASE_MS}


def test_e1_the_end_of_offers_quarantines_unreadable_events(
    crowd: Crowd, engine: Engine
):
    crowd.offer()
    crowd.damage(EVENTS)
    engine.tick(2 * OFFER_MS)

    assert deliver_all(engine) == crowd.readable
    assert_quarantined(crowd)


def test_e1_the_end_of_leases_quarantines_unreadable_events(
    crowd: Crowd, engine: Engine
):
    crowd.begin()
    crowd.damage(EVENTS | BEGUN_EVENTS)
    engine.tick(2 * LEASE_MS)

    assert deliver_all(engine) == crowd.readable
    assert_quarantined(crowd)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_e1_settle_quarantines_unreadable_events(
    crowd: Crowd, engine: Engine, outcome: Outcome
):
    # Settle does not read all fields, so some events end although a field is damaged.
    # fsck would report these fields.
    engine.checks_faults = False
    begun = crowd.begin()
    crowd.damage(EVENTS)

    answers = engine.worker.settle(*(settlement(each, outcome) for each in begun))

    codes_by_id = dict(zip(ids(begun), codes(answers), strict=True))
    assert {codes_by_id[event_id] for event_id in crowd.readable} == {"settled"}
    assert set(codes_by_id.values()) == {"settled", "quarantined"}
    quarantined = {i for i, code in codes_by_id.items() if code == "quarantined"}
    assert (
        engine.quarantine().keys() == engine.quarantine_reasons().keys() == quarantined
    )


def test_e1_release_quarantines_unreadable_events(crowd: Crowd, engine: Engine):
    offered = crowd.offer()
    crowd.damage(EVENTS)

    engine.worker.release(*offered)

    assert deliver_all(engine) == crowd.readable
    assert_quarantined(crowd)


def test_e1_renew_loses_unreadable_events(crowd: Crowd, engine: Engine):
    engine.checks_faults = False
    begun = crowd.begin()
    crowd.damage(NOT_A_HASH | BEGUN_EVENTS)

    assert engine.worker.renew(*begun) == set(crowd.damaged)


@pytest.mark.parametrize("kind", EVENTS)
def test_each_kind_of_damage_has_a_reason(engine: Engine, kind: str):
    event = engine.create(1_000)
    engine.now_ms += 1_000
    EVENTS[kind](engine.client, keys.event(PREFIX, event.id))
    engine.claim()

    begun, refused = engine.worker.try_begin(event.id)

    assert begun == []
    assert refused == {event.id: "quarantined"}
    assert len(engine.quarantine_reasons()[event.id]) > 5


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("without owner", "owner "),
        ("without due_ms", "due_ms "),
        ("deadline_ms 'x'", "deadline_ms "),
        ("created_ms ''", "created_ms "),
    ],
)
def test_the_reason_names_the_field(engine: Engine, kind: str, start: str):
    event = engine.offered()
    EVENTS[kind](engine.client, keys.event(PREFIX, event.id))

    engine.worker.begin(event.id)

    assert engine.quarantine_reasons()[event.id].startswith(start)


def test_a_claim_returns_quarantined_members(engine: Engine):
    event = engine.offered()
    engine.client.hset(keys.event(PREFIX, event.id), EVENT.code("due_ms"), "soon")
    engine.now_ms += OFFER_MS

    assert engine.claim().quarantined == [event.id]


def test_a_late_retry_takes_an_event_out_of_quarantine(engine: Engine):
    begun = engine.begun()
    engine.client.hset(
        keys.event(PREFIX, begun.id), EVENT.code("renewable_until_ms"), "x"
    )
    engine.tick(LEASE_MS)
    assert engine.places(begun.id) == ["quarantine"]

    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=MINUTE_MS))

    assert engine.places(begun.id) == ["due"]
    assert engine.quarantine_reasons() == {}


def test_a_late_delivery_ends_a_quarantined_event(engine: Engine):
    begun = engine.begun()
    engine.client.hset(
        keys.event(PREFIX, begun.id), EVENT.code("renewable_until_ms"), "x"
    )
    engine.tick(LEASE_MS)

    engine.worker.settle(settlement(begun))

    assert engine.get(begun.id).state is State.DELIVERED
    assert engine.quarantine() == {}
    assert engine.quarantine_reasons() == {}


def test_an_unreadable_event_is_not_ended(engine: Engine):
    begun = engine.begun()
    engine.client.hset(keys.event(PREFIX, begun.id), EVENT.code("due_ms"), "soon")

    engine.worker.settle(settlement(begun))

    assert engine.places(begun.id) == ["quarantine"]
    assert "state" not in engine.record(begun.id)


SCHEDULES = {
    **NOT_A_HASH,
    **{
        f"without {field}": remove(field, of=SCHEDULE)
        for field in ("owner", "state", "revision", "deadline_ms", "times_ahead")
    },
    **{
        field: set_value(field, "x", of=SCHEDULE)
        for field in ("state", "times_ahead", "deadline_ms")
    },
    "times": set_value("fire_times", "soon", of=SCHEDULE),
    "times and more": set_value(
        "fire_times", f"{START_MS}x,{START_MS + 1}", of=SCHEDULE
    ),
}


def test_e1_unreadable_schedules_are_quarantined_and_others_fire(engine: Engine):
    readable = [engine.schedule("* * * * *") for _ in range(5)]
    damaged = [engine.schedule("* * * * *") for _ in range(3 * len(SCHEDULES))]
    kinds = list(SCHEDULES.values())
    for n, schedule in enumerate(damaged):
        kinds[n % len(kinds)](engine.client, keys.schedule(PREFIX, schedule.id))
    engine.now_ms = readable[0].times_ms[0]

    claims = [engine.claim(1_000) for _ in range(2)]

    fired = {event_id.partition(".")[0] for event_id in claims[0].ids}
    assert fired >= set(ids(readable))
    members = {f"s:{schedule.id}" for schedule in damaged}
    assert set(claims[0].quarantined) == members
    assert engine.quarantine().keys() == engine.quarantine_reasons().keys() == members
    assert engine.due().keys() == {f"s:{schedule.id}" for schedule in readable}


def test_a_schedule_with_an_invalid_planning_request_is_quarantined(engine: Engine):
    schedule = engine.schedule("* * * * *")
    key = keys.schedule(PREFIX, schedule.id)
    engine.client.hset(key, SCHEDULE.code("planning_requested_ms"), "x")
    engine.client.hset(key, SCHEDULE.code("fire_times"), "")
    engine.now_ms = schedule.times_ms[0]

    assert engine.claim().quarantined == [f"s:{schedule.id}"]


@pytest.mark.parametrize("kind", [kind for kind in SCHEDULES if "is a" not in kind])
def test_an_edit_or_deletion_takes_a_schedule_out_of_quarantine(
    engine: Engine, kind: str
):
    schedule = engine.schedule("* * * * * *")
    key = keys.schedule(PREFIX, schedule.id)
    record = engine.client.hgetall(key)
    SCHEDULES[kind](engine.client, key)
    engine.now_ms += 1_000
    engine.claim()
    assert engine.quarantine().keys() == {f"s:{schedule.id}"}

    engine.client.hset(key, mapping=record)
    engine.schedules.delete(schedule)

    assert engine.quarantine() == {}
    assert engine.quarantine_reasons() == {}
