"""Records that no function can read: the bad stand aside, and no good one waits.

Every way to break a record is written straight into the store. `quarantine` must name
each of them, with the reason, wherever it was met, and the good must go their way.
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


def put(field: str, value: str, *, of: Fields = EVENT) -> Break:
    return lambda client, key: client.hset(key, of.code(field), value)


def drop(field: str, *, of: Fields = EVENT) -> Break:
    return lambda client, key: client.hdel(key, of.code(field))


def become(kind: str) -> Break:
    def take_its_place(client: redis.Redis, key: str) -> None:
        client.delete(key)
        if kind == "string":
            client.set(key, "no record")
        elif kind == "list":
            client.rpush(key, "no record")
        elif kind == "set":
            client.sadd(key, "no record")
        else:
            client.zadd(key, {"no record": 1})

    return take_its_place


REQUIRED = ("owner", "due_ms", "deadline_ms", "created_ms")
NUMBERS = (
    *("deadline_ms", "created_ms", "attempts", "failures"),
    *("interruptions", "first_due_ms"),
)
NO_RECORD = {f"is a {kind}": become(kind) for kind in ("string", "list", "set", "zset")}
WITHOUT = {f"without {field}": drop(field) for field in REQUIRED}
NO_NUMBERS = ("", "soon", "1e3", "0x10", "1.5", "inf", "-inf", "nan", "\x00", "9 9")
NOT_DUE = {f"due_ms {text!r}": put("due_ms", text) for text in NO_NUMBERS}
GARBLED = {
    f"{field} {text!r}": put(field, text)
    for field in NUMBERS
    for text in ("", "x", "nan")
}
EVENTS = {
    **NO_RECORD,
    **WITHOUT,
    **NOT_DUE,
    **GARBLED,
    "no revision": put("schedule", "7"),
}
OF_BEGUN = {
    "limit ''": put("renewable_until_ms", ""),
    "limit x": put("renewable_until_ms", "x"),
    "no limit": drop("renewable_until_ms"),
}


class Crowd:
    """Many events, of which one in 25 is good; all due, none offered."""

    def __init__(self, engine: Engine, size: int) -> None:
        self.engine = engine
        self.good = {f"good{n}" for n in range(0, size, 25)}
        self.bad = [f"bad{n}" for n in range(size) if n % 25]
        draft = Draft(CONTENT, 10_000, at_ms=START_MS + 1)
        drafts = [replace(draft, id=each) for each in (*self.good, *self.bad)]
        engine.store.create_many(OWNER, drafts)
        engine.now_ms += 1

    def offer(self) -> list[str]:
        claimed = []
        while some := self.engine.claim(1_000).ids:
            claimed += some
        return claimed

    def begin(self) -> list[Begun]:
        return self.engine.worker.begin(*self.offer())

    def poison(self, with_kinds: dict[str, Break]) -> None:
        """Breaks every bad one, by all kinds in turn."""
        kinds = list(with_kinds.values())
        with self.engine.client.pipeline(transaction=False) as pipe:
            for n, event_id in enumerate(self.bad):
                kinds[n % len(kinds)](pipe, keys.event(PREFIX, event_id))
            pipe.execute()


@pytest.fixture
def crowd(engine: Engine) -> Crowd:
    return Crowd(engine, 250 if isinstance(engine.client, FakeRedis) else 1_000)


def carry_out(engine: Engine, *, rounds: int = 5) -> set[str]:
    """Claims, begins and delivers, a second a round; answers what was delivered."""
    delivered = set[str]()
    for _ in range(rounds):
        engine.now_ms += 1_000
        begun = engine.worker.begin(*all_ids(engine.claim(1_250)))
        engine.worker.settle(*map(settlement, begun))
        delivered |= set(ids(begun))
    return delivered


def assert_aside(crowd: Crowd) -> None:
    """The bad stand in quarantine, each with its reason, and nothing else is wrong."""
    engine = crowd.engine
    reasons = engine.quarantine_reasons()

    assert engine.quarantine().keys() == set(crowd.bad)
    assert reasons.keys() == set(crowd.bad)
    assert all(reasons.values())
    assert engine.due() == engine.leased() == {}


def test_e1_poison_met_by_begin_stands_aside_and_the_rest_goes_on(
    crowd: Crowd, engine: Engine
):
    crowd.poison(EVENTS)

    assert carry_out(engine) == crowd.good
    assert_aside(crowd)


def test_e1_poison_met_when_offers_end_stands_aside_and_the_rest_goes_on(
    crowd: Crowd, engine: Engine
):
    crowd.offer()
    crowd.poison(EVENTS)
    engine.tick(2 * OFFER_MS)

    assert carry_out(engine) == crowd.good
    assert_aside(crowd)


def test_e1_poison_met_when_begun_leases_end_stands_aside_and_the_rest_goes_on(
    crowd: Crowd, engine: Engine
):
    crowd.begin()
    crowd.poison(EVENTS | OF_BEGUN)
    engine.tick(2 * LEASE_MS)

    assert carry_out(engine) == crowd.good
    assert_aside(crowd)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_e1_poison_met_by_settle_does_not_hold_up_the_batch(
    crowd: Crowd, engine: Engine, outcome: Outcome
):
    # What settles without reading a broken field is done with, and still broken.
    engine.checks_faults = False
    begun = crowd.begin()
    crowd.poison(EVENTS)

    answers = engine.worker.settle(*(settlement(each, outcome) for each in begun))

    answered = dict(zip(ids(begun), codes(answers), strict=True))
    assert {answered[event_id] for event_id in crowd.good} == {"settled"}
    assert set(answered.values()) == {"settled", "quarantined"}
    aside = {event_id for event_id, code in answered.items() if code == "quarantined"}
    assert engine.quarantine().keys() == engine.quarantine_reasons().keys() == aside


def test_e1_poison_met_by_release_stands_aside_and_the_rest_is_given_back(
    crowd: Crowd, engine: Engine
):
    offered = crowd.offer()
    crowd.poison(EVENTS)

    engine.worker.release(*offered)

    assert carry_out(engine) == crowd.good
    assert_aside(crowd)


def test_e1_poison_met_by_renewal_is_lost_and_the_rest_is_kept(
    crowd: Crowd, engine: Engine
):
    engine.checks_faults = False
    begun = crowd.begin()
    crowd.poison(NO_RECORD | OF_BEGUN)

    assert engine.worker.renew(*begun) == set(crowd.bad)


@pytest.mark.parametrize("kind", EVENTS)
def test_each_way_to_break_an_event_is_named(engine: Engine, kind: str):
    event = engine.create(1_000)
    engine.now_ms += 1_000
    EVENTS[kind](engine.client, keys.event(PREFIX, event.id))
    engine.claim()

    begun, fallen = engine.worker.try_begin(event.id)

    assert begun == []
    assert fallen == {event.id: "quarantined"}
    assert len(engine.quarantine_reasons()[event.id]) > 5


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("without owner", "owner "),
        ("without due_ms", "due_ms "),
        ("deadline_ms 'x'", "deadline_ms "),
        ("created_ms ''", "created_ms "),
    ],
)
def test_the_reason_names_the_field(engine: Engine, kind: str, word: str):
    event = engine.offered()
    EVENTS[kind](engine.client, keys.event(PREFIX, event.id))

    engine.worker.begin(event.id)

    assert engine.quarantine_reasons()[event.id].startswith(word)


def test_a_claim_tells_what_it_set_aside(engine: Engine):
    event = engine.offered()
    engine.client.hset(keys.event(PREFIX, event.id), EVENT.code("due_ms"), "soon")
    engine.now_ms += OFFER_MS

    assert engine.claim().quarantined == [event.id]


def test_a_late_retry_of_what_stands_aside_brings_it_back_whole(engine: Engine):
    begun = engine.begun()
    engine.client.hset(
        keys.event(PREFIX, begun.id), EVENT.code("renewable_until_ms"), "x"
    )
    engine.tick(LEASE_MS)
    assert engine.places(begun.id) == ["quarantine"]

    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=MINUTE_MS))

    assert engine.places(begun.id) == ["due"]
    assert engine.quarantine_reasons() == {}


def test_a_late_delivery_of_what_stands_aside_ends_it(engine: Engine):
    begun = engine.begun()
    engine.client.hset(
        keys.event(PREFIX, begun.id), EVENT.code("renewable_until_ms"), "x"
    )
    engine.tick(LEASE_MS)

    engine.worker.settle(settlement(begun))

    assert engine.get(begun.id).state is State.DELIVERED
    assert engine.quarantine() == {}
    assert engine.quarantine_reasons() == {}


def test_an_unreadable_event_is_not_half_finished(engine: Engine):
    begun = engine.begun()
    engine.client.hset(keys.event(PREFIX, begun.id), EVENT.code("due_ms"), "soon")

    engine.worker.settle(settlement(begun))

    assert engine.places(begun.id) == ["quarantine"]
    assert "state" not in engine.record(begun.id)


SCHEDULES = {
    **NO_RECORD,
    **{
        f"without {field}": drop(field, of=SCHEDULE)
        for field in ("owner", "state", "revision", "deadline_ms", "times_ahead")
    },
    **{
        field: put(field, "x", of=SCHEDULE)
        for field in ("state", "times_ahead", "deadline_ms")
    },
    "times": put("fire_times", "soon", of=SCHEDULE),
    "times and more": put("fire_times", f"{START_MS}x,{START_MS + 1}", of=SCHEDULE),
}


def test_e1_poisoned_schedules_stand_aside_and_the_rest_fires(engine: Engine):
    good = [engine.schedule("* * * * *") for _ in range(5)]
    bad = [engine.schedule("* * * * *") for _ in range(3 * len(SCHEDULES))]
    kinds = list(SCHEDULES.values())
    for n, schedule in enumerate(bad):
        kinds[n % len(kinds)](engine.client, keys.schedule(PREFIX, schedule.id))
    engine.now_ms = good[0].times_ms[0]

    claims = [engine.claim(1_000) for _ in range(2)]

    fired = {event_id.partition(".")[0] for event_id in claims[0].ids}
    assert fired >= set(ids(good))
    aside = {f"s:{schedule.id}" for schedule in bad}
    assert set(claims[0].quarantined) == aside
    assert engine.quarantine().keys() == engine.quarantine_reasons().keys() == aside
    assert engine.due().keys() == {f"s:{schedule.id}" for schedule in good}


def test_a_schedule_whose_planning_mark_is_broken_stands_aside(engine: Engine):
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
    whole = engine.client.hgetall(key)
    SCHEDULES[kind](engine.client, key)
    engine.now_ms += 1_000
    engine.claim()
    assert engine.quarantine().keys() == {f"s:{schedule.id}"}

    engine.client.hset(key, mapping=whole)
    engine.schedules.delete(schedule)

    assert engine.quarantine() == {}
    assert engine.quarantine_reasons() == {}
