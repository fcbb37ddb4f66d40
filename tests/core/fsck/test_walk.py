"""fsck: silent on a sound store, and every way to break the invariant is told."""

import pytest
import redis
from click.testing import CliRunner
from collections.abc import Callable
from scheduler_api.cli import main
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.fsck import walk
from scheduler_api.core.fsck.walk import Fault
from scheduler_api.core.model import Content, Outcome, Schedule, ScheduleState
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.records import EVENT, SCHEDULE
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.dialects.outbound import SECRETS
from tests.core.engine import OWNER, PREFIX, START_MS, Engine, settlement

LARGE = Content("https://receiver.example/", b"x" * 50_000)
INSPECTED_AT_ONCE = 50


def make(engine: Engine) -> dict[str, str]:
    """One of everything; answers the ids by what they are."""
    named = {"waits": engine.create(3_600_000).id}
    named["large"] = engine.create(3_600_000, content=LARGE).id
    edited = engine.create(3_600_000)
    engine.store.change(edited, content=LARGE)
    named["edited"] = edited.id
    cancelled = engine.create(3_600_000)
    engine.store.change(cancelled, cancel=True)
    named["cancelled"] = cancelled.id
    named["isolated"] = engine.interrupted(2).id
    named["offered"] = engine.offered().id
    named["begun"] = engine.begun().id
    for name, outcome in (("delivered", "delivered"), ("dead", "dead")):
        begun = engine.begun()
        engine.worker.settle(settlement(begun, Outcome(outcome), reason="x"))
        named[name] = begun.id
    retried = engine.begun()
    engine.worker.settle(settlement(retried, Outcome.RETRY, delay_ms=3_600_000))
    named["retried"] = retried.id
    fires = engine.schedule("* * * * *")
    named["named"] = engine.schedule("@daily", name="nightly").id
    paused = engine.schedule()
    engine.schedules.edit(paused, grammar=FULL, state=ScheduleState.PAUSED)
    ends = engine.schedule("@hourly", end_ms=START_MS * 2, jitter_ms=60_000)
    engine.edited(ends, state=ScheduleState.PAUSED)
    engine.schedule("@hourly", end_ms=START_MS * 2, jitter_ms=60_000)
    ended = engine.ended(engine.schedule())
    edited_schedule = engine.schedule()
    engine.schedules.edit(edited_schedule, grammar=FULL, content=LARGE)
    engine.schedules.delete(engine.schedule())
    engine.now_ms = fires.times_ms[0]
    named["occurrence"] = next(i for i in engine.claim().ids if i.startswith(fires.id))
    named |= {"fires": fires.id, "paused": paused.id, "ended": ended.id}
    Tenants(
        Cell(engine.client, PREFIX), secret_key="of the tests", makers=SECRETS
    ).create("Ada")
    engine.client.set(keys.alive(PREFIX, "ticker"), 1, ex=5)
    engine.client.set(keys.chore(PREFIX, "check"), 1)
    engine.client.set(keys.epoch(PREFIX), "abc")
    engine.client.set("rq:queue:deliveries", "not of this cell")
    return named


# What `make` made on each kind of store: it takes longer than putting it back.
MADE: dict[str, tuple[dict[str, str], dict[bytes, tuple[int, bytes]]]] = {}


@pytest.fixture
def broken(engine: Engine) -> tuple[redis.Redis, dict[str, str]]:
    """A store with one of everything, about to be broken; the ids by their names."""
    engine.stays_sound = False
    client, kind = engine.client, type(engine.client).__name__
    if kind in MADE:
        named, kept = MADE[kind]
        for key, (left_ms, stored) in kept.items():
            client.restore(key, max(0, left_ms), stored)
        return client, named
    named, found = make(engine), list(client.scan_iter())
    MADE[kind] = named, {key: (client.pttl(key), client.dump(key)) for key in found}
    return client, named


def test_one_of_everything_is_sound(engine: Engine):
    make(engine)

    assert walk.check(engine.cell) == []


def test_an_empty_store_is_sound(store_client: redis.Redis):
    assert walk.check(Cell(store_client, PREFIX)) == []


def test_more_than_fits_into_one_batch_is_sound(engine: Engine):
    for _ in range(3 * INSPECTED_AT_ONCE):
        engine.create(1_000)
    engine.now_ms += 1_000
    begun = engine.worker.begin(*engine.claim(100).ids)
    engine.worker.settle(*map(settlement, begun[:60]))

    assert walk.check(engine.cell) == []


def test_another_cell_in_the_same_store_is_not_looked_at(engine: Engine):
    engine.client.set("{s10}:e:1", "x")
    engine.client.set("{s1}x", "x")

    assert walk.check(engine.cell) == []


Break = Callable[[redis.Redis, dict[str, str]], object]


def field(which: str, **values: str) -> Break:
    return lambda client, named: client.hset(
        keys.event(PREFIX, named[which]),
        mapping={EVENT.code(name): value for name, value in values.items()},
    )


def no_field(which: str, name: str) -> Break:
    return lambda client, named: client.hdel(
        keys.event(PREFIX, named[which]), EVENT.code(name)
    )


def rule_field(which: str, **values: str) -> Break:
    return lambda client, named: client.hset(
        keys.schedule(PREFIX, named[which]),
        mapping={SCHEDULE.code(name): value for name, value in values.items()},
    )


def stand(place: str, which: str, score: int = START_MS) -> Break:
    return lambda client, named: client.zadd(PREFIX + place, {named[which]: score})


def leave(place: str, which: str) -> Break:
    return lambda client, named: client.zrem(PREFIX + place, named[which])


def rule_stand(place: str, which: str, score: int = START_MS) -> Break:
    return lambda client, named: client.zadd(
        PREFIX + place, {f"s:{named[which]}": score}
    )


BREAKS: dict[str, tuple[Break, str]] = {
    "stands nowhere": (leave("due", "waits"), "stands nowhere"),
    "begun, stands nowhere": (leave("leased", "begun"), "stands nowhere"),
    "stands twice": (stand("leased", "waits"), "stands in due and in leased"),
    "finished, due": (stand("due", "delivered"), "stands in due"),
    "finished, leased": (stand("leased", "dead"), "stands in leased"),
    "cancelled, quarantined": (
        stand("quarantine", "cancelled"),
        "stands in quarantine",
    ),
    "quarantined without a reason": (
        lambda client, named: (
            client.zrem(keys.due(PREFIX), named["waits"]),
            client.zadd(keys.quarantine(PREFIX), {named["waits"]: 1}),
        ),
        "stands in one of quarantine and quarantine_reasons",
    ),
    "a reason without quarantine": (
        lambda client, named: client.hset(
            keys.quarantine_reasons(PREFIX), named["waits"], "x"
        ),
        "stands in one of quarantine and quarantine_reasons",
    ),
    "due early": (stand("due", "waits", START_MS - 1), "its record says"),
    "retry due early": (stand("due", "retried", START_MS), "its record says"),
    "no member's record": (
        lambda client, _: client.zadd(keys.due(PREFIX), {"nobody": 1}),
        "due nobody: has no record",
    ),
    "no leased member's record": (
        lambda client, _: client.zadd(keys.leased(PREFIX), {"nobody": 1}),
        "leased nobody: has no record",
    ),
    "no quarantined member's record": (
        lambda client, _: client.zadd(keys.quarantine(PREFIX), {"s:nobody": 1}),
        "quarantine s:nobody: has no record",
    ),
    "no paused schedule's record": (
        lambda client, _: client.zadd(keys.paused_schedules(PREFIX), {"nobody": 1}),
        "paused_schedules s:nobody: has no record",
    ),
    "no isolated member's record": (
        lambda client, _: client.sadd(keys.isolated(PREFIX), "nobody"),
        "isolated nobody: has no record",
    ),
    "no record behind a reason": (
        lambda client, _: client.hset(keys.quarantine_reasons(PREFIX), "nobody", "x"),
        "quarantine_reasons nobody: has no record",
    ),
    "isolated, finished": (
        lambda client, named: client.sadd(keys.isolated(PREFIX), named["delivered"]),
        "has ended and is isolated",
    ),
    "isolated without need": (
        lambda client, named: client.sadd(keys.isolated(PREFIX), named["waits"]),
        "being isolated does not go with 0 interruptions",
    ),
    "not isolated": (
        lambda client, named: client.srem(keys.isolated(PREFIX), named["isolated"]),
        "being isolated does not go with 2 interruptions",
    ),
    "no active index": (
        leave("ix:1:jiter:active", "waits"),
        "is absent in by_time active",
    ),
    "active index too early": (
        stand("ix:1:jiter:active", "waits", 5),
        "is 5 in by_time active",
    ),
    "active index of another": (
        stand("ix:2:jiter:active", "waits"),
        "ix:2:jiter:active {waits}: does not belong here",
    ),
    "active, finished": (
        stand("ix:1:jiter:active", "dead"),
        "ix:1:jiter:active {dead}: does not belong here",
    ),
    "active, occurrence": (
        lambda client, named: client.zrem(
            "{s1}:ix:1:jiter:active", named["occurrence"]
        ),
        "is absent in by_time active, not",
    ),
    "active without record": (
        lambda client, _: client.zadd("{s1}:ix:1:jiter:active", {"nobody": 1}),
        "ix:1:jiter:active nobody: has no record",
    ),
    "not found by end": (
        leave("fin:1:jiter:dead", "dead"),
        "is absent in finished dead",
    ),
    "found by wrong end": (
        stand("fin:1:jiter:delivered", "delivered", 5),
        "is 5 in finished delivered",
    ),
    "found by an end before it": (
        stand("fin:1:jiter:dead", "waits"),
        "fin:1:jiter:dead {waits}: does not belong here",
    ),
    "not found by time": (
        leave("ix:1:jiter:dead", "dead"),
        "is absent in by_time dead",
    ),
    "found as another end": (
        stand("ix:1:jiter:delivered", "dead"),
        "ix:1:jiter:delivered {dead}: does not belong here",
    ),
    "not an occurrence of its schedule": (
        lambda client, named: client.zrem(
            keys.occurrences(PREFIX, named["fires"]), named["occurrence"]
        ),
        "absent in occurrences",
    ),
    "occurrence without record": (
        lambda client, named: client.zadd(
            keys.occurrences(PREFIX, named["fires"]), {"nobody": 1}
        ),
        "nobody: has no record",
    ),
    "event among occurrences": (
        lambda client, named: client.zadd(
            keys.occurrences(PREFIX, named["fires"]), {named["waits"]: 1}
        ),
        "{waits}: does not belong here",
    ),
    "no body": (
        lambda client, named: client.delete(keys.body(PREFIX, named["waits"])),
        "what it sends is missing",
    ),
    "body expires": (
        lambda client, named: client.expire(keys.body(PREFIX, named["waits"]), 600),
        "what it sends expires",
    ),
    "body of nobody": (
        lambda client, _: client.set("{s1}:b:nobody", "x"),
        "b:nobody: belongs to no event",
    ),
    "body of an earlier edit": (
        lambda client, named: client.set(keys.body(PREFIX, named["edited"]), "x"),
        "b:{edited}: belongs to no event",
    ),
    "no template of an occurrence": (
        lambda client, named: client.delete(
            *client.keys(f"{{s1}}:t:{named['fires']}:*")
        ),
        "e:{occurrence}: what it sends is missing",
    ),
    "no template of a schedule": (
        lambda client, named: client.delete(
            *client.keys(f"{{s1}}:t:{named['paused']}:*")
        ),
        "s:{paused}: what it sends is missing",
    ),
    "template of nobody": (
        lambda client, _: client.set("{s1}:t:nobody:abc", "x"),
        "t:nobody:abc: belongs to no schedule",
    ),
    "template that nothing will remove": (
        lambda client, named: client.set(f"{{s1}}:t:{named['fires']}:old", "x"),
        "old: belongs to no schedule",
    ),
    "log of nobody": (
        lambda client, _: client.hset("{s1}:log:nobody", "1", "a 1 0 {}"),
        "log:nobody: belongs to no event",
    ),
    "log line": (
        lambda client, named: client.hset(keys.log(PREFIX, named["dead"]), "1", "x"),
        "log:{dead} 1: is no attempt",
    ),
    "log number": (
        lambda client, named: client.hset(
            keys.log(PREFIX, named["dead"]), "one", 'a 1 0 {"started_ms":1}'
        ),
        "log:{dead} one: is no attempt",
    ),
    "no number": (field("waits", due_ms="soon"), "due_ms is not a number: 'soon'"),
    "no creation": (
        no_field("waits", "created_ms"),
        "created_ms is not a number: None",
    ),
    "no owner": (no_field("waits", "owner"), "has no owner"),
    "no format": (field("waits", format="2"), "has the format '2'"),
    "unknown owner": (
        lambda client, _: client.srem(keys.owners(PREFIX), str(OWNER)),
        "belongs to an owner that owners does not name",
    ),
    "no hash": (
        lambda client, named: (
            client.delete(keys.event(PREFIX, named["waits"])),
            client.set(keys.event(PREFIX, named["waits"]), "x"),
        ),
        "e:{waits}: cannot be read",
    ),
    "unknown state": (field("dead", state="lost"), "has the state 'lost'"),
    "ended as active": (field("dead", state="active"), "has the state 'active'"),
    "ended without a time": (
        no_field("dead", "finished_ms"),
        "has ended without a time",
    ),
    "ended with a token": (field("dead", token="x"), "has ended and bears token"),
    "not ended with a time": (
        field("waits", finished_ms="1"),
        "has not ended and bears finished_ms",
    ),
    "not ended with a reason": (
        field("waits", reason="x"),
        "has not ended and bears reason",
    ),
    "begun without a limit": (
        no_field("begun", "renewable_until_ms"),
        "bears one of token and renewable_until_ms",
    ),
    "a limit without begin": (
        field("offered", renewable_until_ms="1"),
        "bears one of token and renewable_until_ms",
    ),
    "begun, not counted": (
        no_field("begun", "attempts"),
        "was begun, but never counted",
    ),
    "in a hand and due": (
        field("retried", token="x", renewable_until_ms="1"),
        "is due, and in a worker's hand",
    ),
    "active schedule nowhere": (
        lambda client, named: client.zrem(keys.due(PREFIX), f"s:{named['fires']}"),
        "is active and stands nowhere",
    ),
    "active schedule among the paused": (
        stand("paused_schedules", "fires"),
        "is active and stands in due and in paused_schedules",
    ),
    "active schedule leased": (
        rule_stand("leased", "fires"),
        "is active and stands in due and in leased",
    ),
    "paused schedule due": (
        rule_stand("due", "paused"),
        "is paused and stands in due and in paused_schedules",
    ),
    "paused schedule nowhere": (
        leave("paused_schedules", "paused"),
        "is paused and stands nowhere",
    ),
    "ended schedule due": (rule_stand("due", "ended"), "is ended and stands in due"),
    "schedule due early": (rule_stand("due", "fires", 5), "is due at 5, its next time"),
    "schedule's state": (rule_field("fires", state="x"), "has the state 'x'"),
    "schedule's times": (
        rule_field("fires", fire_times="soon"),
        "has unreadable times",
    ),
    "schedule's times fall": (
        rule_field("fires", fire_times="9,8"),
        "has unreadable times",
    ),
    "jitter beyond the next": (
        rule_field("fires", fire_times="9:5,8:7"),
        "has unreadable times",
    ),
    "end before the next time": (
        rule_field("fires", end_ms="7"),
        "its next time is 8",
    ),
    "paused with an end, among those without": (
        rule_field("paused", end_ms=f"{START_MS}"),
        "is paused and stands in paused_schedules",
    ),
    "schedule's end": (rule_field("fires", end_ms="x"), "end_ms is not a number"),
    "event's end": (field("waits", end_ms="x"), "end_ms is not a number"),
    "schedule's number": (
        rule_field("fires", times_ahead="x"),
        "times_ahead is not a number",
    ),
    "schedule not listed": (leave("ix:1:jiter:schedules", "fires"), "in schedules"),
    "schedule listed elsewhere": (
        stand("ix:2:jiter:schedules", "fires"),
        "ix:2:jiter:schedules {fires}: does not belong here",
    ),
    "name of nobody": (
        lambda client, _: client.hset("{s1}:names:1:jiter", "x", "nobody"),
        "names:1:jiter x: names none that bears it",
    ),
    "name of another": (
        lambda client, named: client.hset("{s1}:names:1:jiter", "x", named["fires"]),
        "names:1:jiter x: names none that bears it",
    ),
    "name taken away": (
        lambda client, _: client.delete("{s1}:names:1:jiter"),
        "s:{named}: does not own its name 'nightly'",
    ),
    "listed without record": (
        lambda client, _: client.zadd("{s1}:ix:1:jiter:schedules", {"nobody": 1}),
        "ix:1:jiter:schedules nobody: has no record",
    ),
    "schedule is no hash": (
        lambda client, named: (
            client.delete(keys.schedule(PREFIX, named["fires"])),
            client.set(keys.schedule(PREFIX, named["fires"]), "x"),
        ),
        "s:{fires}: cannot be read",
    ),
    "place is no set": (
        lambda client, _: (
            client.delete(keys.paused_schedules(PREFIX)),
            client.set(keys.paused_schedules(PREFIX), "x"),
        ),
        "paused_schedules: cannot be checked: WRONGTYPE",
    ),
    "index is no set": (
        lambda client, _: client.set("{s1}:ix:1:jiter:active:", "x"),
        "ix:1:jiter:active:: cannot be checked: WRONGTYPE",
    ),
    "log is no hash": (
        lambda client, _: client.set("{s1}:log:nobody", "x"),
        "log:nobody: cannot be checked: WRONGTYPE",
    ),
    "unknown key": (
        lambda client, _: client.set("{s1}:what", "x"),
        "what: is unknown and never expires",
    ),
    "unknown family": (
        lambda client, _: client.hset("{s1}:zz:1", "x", "y"),
        "zz:1: is unknown and never expires",
    ),
    "sign of life for ever": (
        lambda client, _: client.persist(keys.alive(PREFIX, "ticker")),
        "alive:ticker: is unknown and never expires",
    ),
}


@pytest.mark.parametrize("store_client", ["fakeredis"], indirect=True)
@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_invariant_is_told(
    broken: tuple[redis.Redis, dict[str, str]], how: str
):
    client, named = broken
    spoil, told = BREAKS[how]

    spoil(client, named)

    faults = [str(fault) for fault in walk.check(Cell(client, PREFIX))]
    assert any(told.format(**named) in fault for fault in faults)


def test_an_unknown_key_that_expires_is_no_fault(engine: Engine):
    engine.client.set("{s1}:what", "x", ex=60)

    assert engine.faults() == []


@pytest.mark.parametrize("kind", ["event", "schedule"])
def test_what_stands_aside_is_sound_however_broken_it_is(engine: Engine, kind: str):
    schedule: Schedule = engine.schedule()
    event = engine.offered()
    member, key = {
        "event": (event.id, keys.event(PREFIX, event.id)),
        "schedule": (f"s:{schedule.id}", keys.schedule(PREFIX, schedule.id)),
    }[kind]
    engine.client.delete(key)
    engine.client.set(key, "no hash")
    engine.now_ms = max(schedule.times_ms[0], engine.now_ms)

    for _ in range(2):
        engine.worker.begin(*engine.claim().ids)

    assert engine.quarantine().keys() == {member}
    assert engine.faults() == []


def test_a_large_store_s_faults_are_told_up_to_a_thousand(store_client: redis.Redis):
    for n in range(0, 1_200, 100):
        store_client.zadd(keys.due(PREFIX), {f"x{m}": m for m in range(n, n + 100)})

    assert len(walk.check(Cell(store_client, PREFIX))) == 1_000


def test_a_fault_reads_as_one_line():
    assert str(Fault("due", "7", "has no record")) == "due 7: has no record"
    assert str(Fault("e:7", "", "stands nowhere")) == "e:7: stands nowhere"


def run_command(url: str):
    environ = {"REDIS_URL": url, "SECRET_KEY": "a secret key of the tests"}
    return CliRunner().invoke(main, ["fsck"], env=environ)


def test_the_command_is_silent_on_a_sound_store(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        client.flushall()

    result = run_command(valkey)

    assert (result.exit_code, result.output) == (0, "")


def test_the_command_prints_every_fault_and_fails(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        client.zadd(keys.due(PREFIX), {"nobody": 1})
        result = run_command(valkey)
        client.flushall()

    assert result.exit_code == 1
    assert result.output == "due nobody: has no record\n"
