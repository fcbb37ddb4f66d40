"""Tests of fsck: it reports each kind of fault, and nothing in a consistent store."""

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
BATCH_SIZE = 50


def make(engine: Engine) -> dict[str, str]:
    """Create events and schedules of every kind; return the ids by kind.

    A kind is, for example, `large` or `cancelled`.
    """
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
    engine.client.set("rq:queue:deliveries", "of another owner")
    return named


# The ids that `make` returned, and dumps of all keys that `make` created, for fakeredis
# and for Valkey. Restoring the dumps is faster than calling `make` in each test.
SAVED: dict[str, tuple[dict[str, str], dict[bytes, tuple[int, bytes]]]] = {}


@pytest.fixture
def broken(engine: Engine) -> tuple[redis.Redis, dict[str, str]]:
    """The client of a store that contains objects of every kind, and the ids by kind.

    Tests damage these objects.
    """
    engine.checks_faults = False
    client, kind = engine.client, type(engine.client).__name__
    if kind in SAVED:
        named, dumps = SAVED[kind]
        for key, (ttl_ms, dump) in dumps.items():
            client.restore(key, max(0, ttl_ms), dump)
        return client, named
    named, found = make(engine), list(client.scan_iter())
    SAVED[kind] = named, {key: (client.pttl(key), client.dump(key)) for key in found}
    return client, named


def test_a_store_with_objects_of_every_kind_has_no_faults(engine: Engine):
    make(engine)

    assert walk.check(engine.cell) == []


def test_an_empty_store_has_no_faults(store_client: redis.Redis):
    assert walk.check(Cell(store_client, PREFIX)) == []


def test_many_events_have_no_faults(engine: Engine):
    for _ in range(3 * BATCH_SIZE):
        engine.create(1_000)
    engine.now_ms += 1_000
    begun = engine.worker.begin(*engine.claim(100).ids)
    engine.worker.settle(*map(settlement, begun[:60]))

    assert walk.check(engine.cell) == []


def test_another_cell_in_the_same_store_is_ignored(engine: Engine):
    engine.client.set("{s10}:e:1", "x")
    engine.client.set("{s1}x", "x")

    assert walk.check(engine.cell) == []


Break = Callable[[redis.Redis, dict[str, str]], object]


def set_field(which: str, **values: str) -> Break:
    return lambda client, named: client.hset(
        keys.event(PREFIX, named[which]),
        mapping={EVENT.code(name): value for name, value in values.items()},
    )


def remove_field(which: str, name: str) -> Break:
    return lambda client, named: client.hdel(
        keys.event(PREFIX, named[which]), EVENT.code(name)
    )


def set_rule_field(which: str, **values: str) -> Break:
    return lambda client, named: client.hset(
        keys.schedule(PREFIX, named[which]),
        mapping={SCHEDULE.code(name): value for name, value in values.items()},
    )


def add_to(place: str, which: str, score: int = START_MS) -> Break:
    return lambda client, named: client.zadd(PREFIX + place, {named[which]: score})


def remove_from(place: str, which: str) -> Break:
    return lambda client, named: client.zrem(PREFIX + place, named[which])


def add_rule_to(place: str, which: str, score: int = START_MS) -> Break:
    return lambda client, named: client.zadd(
        PREFIX + place, {f"s:{named[which]}": score}
    )


BREAKS: dict[str, tuple[Break, str]] = {
    "in no place": (remove_from("due", "waits"), "is nowhere"),
    "begun, in no place": (remove_from("leased", "begun"), "is nowhere"),
    "in two places": (add_to("leased", "waits"), "is in due and in leased"),
    "finished, due": (add_to("due", "delivered"), "is in due"),
    "finished, leased": (add_to("leased", "dead"), "is in leased"),
    "cancelled, quarantined": (
        add_to("quarantine", "cancelled"),
        "is in quarantine",
    ),
    "quarantined without a reason": (
        lambda client, named: (
            client.zrem(keys.due(PREFIX), named["waits"]),
            client.zadd(keys.quarantine(PREFIX), {named["waits"]: 1}),
        ),
        "is in only one of quarantine and quarantine_reasons",
    ),
    "a reason without quarantine": (
        lambda client, named: client.hset(
            keys.quarantine_reasons(PREFIX), named["waits"], "x"
        ),
        "is in only one of quarantine and quarantine_reasons",
    ),
    "due early": (add_to("due", "waits", START_MS - 1), "its score in due is"),
    "retry due early": (add_to("due", "retried", START_MS), "its score in due is"),
    "due without record": (
        lambda client, _: client.zadd(keys.due(PREFIX), {"nobody": 1}),
        "due nobody: has no record",
    ),
    "leased without record": (
        lambda client, _: client.zadd(keys.leased(PREFIX), {"nobody": 1}),
        "leased nobody: has no record",
    ),
    "quarantined without record": (
        lambda client, _: client.zadd(keys.quarantine(PREFIX), {"s:nobody": 1}),
        "quarantine s:nobody: has no record",
    ),
    "paused schedule without record": (
        lambda client, _: client.zadd(keys.paused_schedules(PREFIX), {"nobody": 1}),
        "paused_schedules s:nobody: has no record",
    ),
    "isolated without record": (
        lambda client, _: client.sadd(keys.isolated(PREFIX), "nobody"),
        "isolated nobody: has no record",
    ),
    "reason without record": (
        lambda client, _: client.hset(keys.quarantine_reasons(PREFIX), "nobody", "x"),
        "quarantine_reasons nobody: has no record",
    ),
    "finished, isolated": (
        lambda client, named: client.sadd(keys.isolated(PREFIX), named["delivered"]),
        "has ended, but is isolated",
    ),
    "isolated without interruptions": (
        lambda client, named: client.sadd(keys.isolated(PREFIX), named["waits"]),
        "is isolated after 0 interruptions",
    ),
    "not isolated": (
        lambda client, named: client.srem(keys.isolated(PREFIX), named["isolated"]),
        "is not isolated after 2 interruptions",
    ),
    "missing in the active index": (
        remove_from("ix:1:jiter:active", "waits"),
        "its score in by_time active is absent",
    ),
    "wrong score in the active index": (
        add_to("ix:1:jiter:active", "waits", 5),
        "its score in by_time active is 5",
    ),
    "in the active index of another owner": (
        add_to("ix:2:jiter:active", "waits"),
        "ix:2:jiter:active {waits}: does not belong here",
    ),
    "finished, in the active index": (
        add_to("ix:1:jiter:active", "dead"),
        "ix:1:jiter:active {dead}: does not belong here",
    ),
    "occurrence missing in the active index": (
        lambda client, named: client.zrem(
            "{s1}:ix:1:jiter:active", named["occurrence"]
        ),
        "its score in by_time active is absent, expected",
    ),
    "active index without record": (
        lambda client, _: client.zadd("{s1}:ix:1:jiter:active", {"nobody": 1}),
        "ix:1:jiter:active nobody: has no record",
    ),
    "missing in the finished index": (
        remove_from("fin:1:jiter:dead", "dead"),
        "its score in finished dead is absent",
    ),
    "wrong score in the finished index": (
        add_to("fin:1:jiter:delivered", "delivered", 5),
        "its score in finished delivered is 5",
    ),
    "unfinished, in the finished index": (
        add_to("fin:1:jiter:dead", "waits"),
        "fin:1:jiter:dead {waits}: does not belong here",
    ),
    "missing in the index of dead events": (
        remove_from("ix:1:jiter:dead", "dead"),
        "its score in by_time dead is absent",
    ),
    "in the index of another state": (
        add_to("ix:1:jiter:delivered", "dead"),
        "ix:1:jiter:delivered {dead}: does not belong here",
    ),
    "missing in the occurrences of its schedule": (
        lambda client, named: client.zrem(
            keys.occurrences(PREFIX, named["fires"]), named["occurrence"]
        ),
        "its score in occurrences is absent",
    ),
    "occurrence without record": (
        lambda client, named: client.zadd(
            keys.occurrences(PREFIX, named["fires"]), {"nobody": 1}
        ),
        "nobody: has no record",
    ),
    "event in the occurrences": (
        lambda client, named: client.zadd(
            keys.occurrences(PREFIX, named["fires"]), {named["waits"]: 1}
        ),
        "{waits}: does not belong here",
    ),
    "no body": (
        lambda client, named: client.delete(keys.body(PREFIX, named["waits"])),
        "its content is missing",
    ),
    "body expires": (
        lambda client, named: client.expire(keys.body(PREFIX, named["waits"]), 600),
        "its content expires",
    ),
    "body without event": (
        lambda client, _: client.set("{s1}:b:nobody", "x"),
        "b:nobody: belongs to no event and has no TTL",
    ),
    "body of an earlier edit": (
        lambda client, named: client.set(keys.body(PREFIX, named["edited"]), "x"),
        "b:{edited}: belongs to no event and has no TTL",
    ),
    "no template of an occurrence": (
        lambda client, named: client.delete(
            *client.keys(f"{{s1}}:t:{named['fires']}:*")
        ),
        "e:{occurrence}: its content is missing",
    ),
    "no template of a schedule": (
        lambda client, named: client.delete(
            *client.keys(f"{{s1}}:t:{named['paused']}:*")
        ),
        "s:{paused}: its content is missing",
    ),
    "template without schedule": (
        lambda client, _: client.set("{s1}:t:nobody:abc", "x"),
        "t:nobody:abc: belongs to no schedule and has no TTL",
    ),
    "template of an unknown revision": (
        lambda client, named: client.set(f"{{s1}}:t:{named['fires']}:old", "x"),
        "old: belongs to no schedule and has no TTL",
    ),
    "log without event": (
        lambda client, _: client.hset("{s1}:log:nobody", "1", "a 1 0 {}"),
        "log:nobody: belongs to no event",
    ),
    "unreadable log entry": (
        lambda client, named: client.hset(keys.log(PREFIX, named["dead"]), "1", "x"),
        "log:{dead} 1: is not a readable attempt",
    ),
    "unreadable log number": (
        lambda client, named: client.hset(
            keys.log(PREFIX, named["dead"]), "one", 'a 1 0 {"started_ms":1}'
        ),
        "log:{dead} one: is not a readable attempt",
    ),
    "due time is not a number": (
        set_field("waits", due_ms="soon"),
        "due_ms is not a number: 'soon'",
    ),
    "no creation time": (
        remove_field("waits", "created_ms"),
        "created_ms is not a number: None",
    ),
    "no owner": (remove_field("waits", "owner"), "has no owner"),
    "no format": (set_field("waits", format="2"), "has the format '2'"),
    "owner missing in owners": (
        lambda client, _: client.srem(keys.owners(PREFIX), str(OWNER)),
        "its owner is missing in owners",
    ),
    "record is not a hash": (
        lambda client, named: (
            client.delete(keys.event(PREFIX, named["waits"])),
            client.set(keys.event(PREFIX, named["waits"]), "x"),
        ),
        "e:{waits}: cannot be read",
    ),
    "unknown state": (set_field("dead", state="lost"), "has the state 'lost'"),
    "state active is stored": (
        set_field("dead", state="active"),
        "has the state 'active'",
    ),
    "ended without a time": (
        remove_field("dead", "finished_ms"),
        "has ended, but has no finished_ms",
    ),
    "ended with a token": (set_field("dead", token="x"), "has ended, but has token"),
    "not ended with a time": (
        set_field("waits", finished_ms="1"),
        "has not ended, but has finished_ms",
    ),
    "not ended with a reason": (
        set_field("waits", reason="x"),
        "has not ended, but has reason",
    ),
    "begun without a limit": (
        remove_field("begun", "renewable_until_ms"),
        "has only one of token and renewable_until_ms",
    ),
    "a limit without begin": (
        set_field("offered", renewable_until_ms="1"),
        "has only one of token and renewable_until_ms",
    ),
    "begun, not counted": (
        remove_field("begun", "attempts"),
        "an attempt is running, but none is counted",
    ),
    "running and due": (
        set_field("retried", token="x", renewable_until_ms="1"),
        "is in due, but an attempt is running",
    ),
    "active schedule nowhere": (
        lambda client, named: client.zrem(keys.due(PREFIX), f"s:{named['fires']}"),
        "is active, but is nowhere",
    ),
    "active schedule in paused_schedules": (
        add_to("paused_schedules", "fires"),
        "is active, but is in due and in paused_schedules",
    ),
    "active schedule leased": (
        add_rule_to("leased", "fires"),
        "is active, but is in due and in leased",
    ),
    "paused schedule due": (
        add_rule_to("due", "paused"),
        "is paused, but is in due and in paused_schedules",
    ),
    "paused schedule nowhere": (
        remove_from("paused_schedules", "paused"),
        "is paused, but is nowhere",
    ),
    "ended schedule due": (add_rule_to("due", "ended"), "is ended, but is in due"),
    "schedule due early": (
        add_rule_to("due", "fires", 5),
        "its score in due is 5, expected",
    ),
    "unknown state of a schedule": (
        set_rule_field("fires", state="x"),
        "has the state 'x'",
    ),
    "unreadable fire times": (
        set_rule_field("fires", fire_times="soon"),
        "has unreadable fire times",
    ),
    "descending fire times": (
        set_rule_field("fires", fire_times="9,8"),
        "has unreadable fire times",
    ),
    "jitter beyond the next fire time": (
        set_rule_field("fires", fire_times="9:5,8:7"),
        "has unreadable fire times",
    ),
    "end before the next fire time": (
        set_rule_field("fires", end_ms="7"),
        "expected 8",
    ),
    "paused schedule with an end in paused_schedules": (
        set_rule_field("paused", end_ms=f"{START_MS}"),
        "is paused, but is in paused_schedules",
    ),
    "schedule's end is not a number": (
        set_rule_field("fires", end_ms="x"),
        "end_ms is not a number",
    ),
    "event's end is not a number": (
        set_field("waits", end_ms="x"),
        "end_ms is not a number",
    ),
    "schedule's field is not a number": (
        set_rule_field("fires", times_ahead="x"),
        "times_ahead is not a number",
    ),
    "missing in the owner's schedules": (
        remove_from("ix:1:jiter:schedules", "fires"),
        "its score in schedules is absent",
    ),
    "in another owner's schedules": (
        add_to("ix:2:jiter:schedules", "fires"),
        "ix:2:jiter:schedules {fires}: does not belong here",
    ),
    "name of a missing schedule": (
        lambda client, _: client.hset("{s1}:names:1:jiter", "x", "nobody"),
        "names:1:jiter x: points to a schedule that does not have this name",
    ),
    "name of another schedule": (
        lambda client, named: client.hset("{s1}:names:1:jiter", "x", named["fires"]),
        "names:1:jiter x: points to a schedule that does not have this name",
    ),
    "name missing in names": (
        lambda client, _: client.delete("{s1}:names:1:jiter"),
        "s:{named}: names does not map its name 'nightly' to it",
    ),
    "schedule index without record": (
        lambda client, _: client.zadd("{s1}:ix:1:jiter:schedules", {"nobody": 1}),
        "ix:1:jiter:schedules nobody: has no record",
    ),
    "schedule is not a hash": (
        lambda client, named: (
            client.delete(keys.schedule(PREFIX, named["fires"])),
            client.set(keys.schedule(PREFIX, named["fires"]), "x"),
        ),
        "s:{fires}: cannot be read",
    ),
    "place is not a set": (
        lambda client, _: (
            client.delete(keys.paused_schedules(PREFIX)),
            client.set(keys.paused_schedules(PREFIX), "x"),
        ),
        "paused_schedules: cannot be checked: WRONGTYPE",
    ),
    "index is not a set": (
        lambda client, _: client.set("{s1}:ix:1:jiter:active:", "x"),
        "ix:1:jiter:active:: cannot be checked: WRONGTYPE",
    ),
    "log is not a hash": (
        lambda client, _: client.set("{s1}:log:nobody", "x"),
        "log:nobody: cannot be checked: WRONGTYPE",
    ),
    "unknown key": (
        lambda client, _: client.set("{s1}:what", "x"),
        "what: is an unknown key without a TTL",
    ),
    "unknown family": (
        lambda client, _: client.hset("{s1}:zz:1", "x", "y"),
        "zz:1: is an unknown key without a TTL",
    ),
    "heartbeat without a TTL": (
        lambda client, _: client.persist(keys.alive(PREFIX, "ticker")),
        "alive:ticker: is an unknown key without a TTL",
    ),
}


@pytest.mark.parametrize("store_client", ["fakeredis"], indirect=True)
@pytest.mark.parametrize("how", BREAKS)
def test_an_inconsistency_is_reported(
    broken: tuple[redis.Redis, dict[str, str]], how: str
):
    client, named = broken
    damage, expected = BREAKS[how]

    damage(client, named)

    faults = [str(fault) for fault in walk.check(Cell(client, PREFIX))]
    assert any(expected.format(**named) in fault for fault in faults)


def test_an_unknown_key_with_a_ttl_is_no_fault(engine: Engine):
    engine.client.set("{s1}:what", "x", ex=60)

    assert engine.faults() == []


@pytest.mark.parametrize("kind", ["event", "schedule"])
def test_a_quarantined_member_is_no_fault(engine: Engine, kind: str):
    schedule: Schedule = engine.schedule()
    event = engine.offered()
    member, key = {
        "event": (event.id, keys.event(PREFIX, event.id)),
        "schedule": (f"s:{schedule.id}", keys.schedule(PREFIX, schedule.id)),
    }[kind]
    engine.client.delete(key)
    engine.client.set(key, "record is not a hash")
    engine.now_ms = max(schedule.times_ms[0], engine.now_ms)

    for _ in range(2):
        engine.worker.begin(*engine.claim().ids)

    assert engine.quarantine().keys() == {member}
    assert engine.faults() == []


def test_at_most_a_thousand_faults_are_reported(store_client: redis.Redis):
    for n in range(0, 1_200, 100):
        store_client.zadd(keys.due(PREFIX), {f"x{m}": m for m in range(n, n + 100)})

    assert len(walk.check(Cell(store_client, PREFIX))) == 1_000


def test_a_fault_is_printed_as_one_line():
    assert str(Fault("due", "7", "has no record")) == "due 7: has no record"
    assert str(Fault("e:7", "", "is nowhere")) == "e:7: is nowhere"


def run_command(url: str):
    environ = {"REDIS_URL": url, "SECRET_KEY": "a secret key of the tests"}
    return CliRunner().invoke(main, ["fsck"], env=environ)


def test_the_command_prints_nothing_for_a_consistent_store(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        client.flushall()

    result = run_command(valkey)

    assert (result.exit_code, result.output) == (0, "")


def test_the_command_prints_the_reason_of_each_quarantined_record(valkey: str):
    with redis.Redis.from_url(valkey, decode_responses=True) as client:
        client.flushall()
        for member, key in (
            ("2a", keys.event(PREFIX, "2a")),
            ("s:7", keys.schedule(PREFIX, "7")),
        ):
            client.set(key, "record is not a hash")
            client.zadd(keys.quarantine(PREFIX), {member: 1})
            reason = f"WRONGTYPE {member}"
            client.hset(keys.quarantine_reasons(PREFIX), member, reason)
        result = run_command(valkey)
        client.flushall()

    assert sorted(result.output.splitlines()) == [
        'record.quarantined member=2a problem="WRONGTYPE 2a"',
        'record.quarantined member=s:7 problem="WRONGTYPE s:7"',
    ]
    assert result.exit_code == 0


def test_the_command_prints_every_fault_and_fails(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        client.zadd(keys.due(PREFIX), {"nobody": 1})
        result = run_command(valkey)
        client.flushall()

    assert result.exit_code == 1
    assert result.output == "due nobody: has no record\n"
