"""Tests that erased events and tenants leave nothing behind, also after a crash."""

import itertools
import pytest
import redis
from click.testing import CliRunner, Result
from collections.abc import Callable, Iterator
from scheduler_api.cli import main
from scheduler_api.commands import forget as forget_command
from scheduler_api.commands import tenants as tenant_commands
from scheduler_api.core.delivery.destinations import parse
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import Content, FollowUp, Outcome
from scheduler_api.core.recovery.tenant_removal import TOKENS_CACHED_MS, TenantRemoval
from scheduler_api.core.store import audit, keys
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.leases import Settlement
from scheduler_api.core.store.owned_keys import belongs_to
from scheduler_api.core.store.records import EVENT, SCHEDULE
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.dialects.outbound import SECRETS
from tests.core.stored import everything
from tests.dialects.engine import SECRET_KEY, Engine, Web
from tests.dialects.furnished import Furnished, furnish, hook
from typing import Any

MINE, OTHER = "canary", "neighbour"
IDS = [
    ("jiter", "event_id"),
    ("jiter", "cron_id"),
    ("events_v1", "event_id"),
    ("qstash", "message_id"),
    ("qstash", "letter_id"),
    ("qstash", "schedule_id"),
]
# Keys that expire within a minute. Their values are ids without content.
BRIEF = ("issued_id:", "last_report:")
# The canary in plain text, and in base64.
TRACES = (MINE, "Y2FuYXJ5")


class Killed(Exception):
    """The process was killed before it could send a command."""


class MortalConnection(redis.Connection):
    """A connection of a process that is killed after a number of commands."""

    commands_left = 1_000_000

    def send_packed_command(self, *args: Any, **options: Any) -> None:
        if MortalConnection.commands_left == 0:
            raise Killed
        MortalConnection.commands_left -= 1
        super().send_packed_command(*args, **options)


@pytest.fixture
def mine(make_web: Callable[..., Web]) -> Furnished:
    # Encrypted content would hide its traces.
    web = make_web(encrypt_content=False)
    # The ids get several digits, so that no other value in the store equals an id.
    web.cell.client.set(keys.sequence(web.cell.prefix), 36**5)
    return furnish(web, MINE)


@pytest.fixture
def other(make_web: Callable[..., Web]) -> Furnished:
    return furnish(make_web(encrypt_content=False), OTHER)


def use_everything(furnished: Furnished) -> None:
    """Use what the HTTP APIs do not offer, and what makes further keys."""
    web, tenant = furnished.web, furnished.web.tenant.id
    web.tenants.tokens.create(tenant, MINE, read_only=True, by=MINE)
    web.tenants.tokens.rotate(tenant, MINE)
    web.cell.client.hset(keys.applications(web.cell.prefix), MINE, tenant)
    held, change = HeldDestinations(web.cell), Change(tenant, MINE, "pause", hook(MINE))
    held.set_paused(tenant, parse(hook(MINE)), paused=True, change=change)
    schedule = furnished.ids["qstash"]["schedule_id"]
    for path in (
        f"flowControl/{MINE}/pin?rate=1",
        f"schedules/{schedule}/pause",
        f"queues/{MINE}/pause",
    ):
        furnished.make("POST", f"/v2/{path}")


def mortal_cell(url: str) -> Cell:
    """The cell in a process that may be killed."""
    pool = redis.ConnectionPool.from_url(url, connection_class=MortalConnection)
    cell = Cell(redis.Redis(connection_pool=pool), "{s1}:")
    cell.clock_ms = cell.now_ms()
    return cell


def removal_of(cell: Cell, tenant: str) -> Iterator[int]:
    tenants = Tenants(cell, secret_key=SECRET_KEY, makers=SECRETS)
    return TenantRemoval(cell, tenants).remove(tenant, by="test")


def remove(cell: Cell, tenant: str) -> list[int]:
    """Remove a tenant in a few rounds; return the running attempts of each round."""
    running = []
    for each in removal_of(cell, tenant):
        running.append(each)
        assert cell.clock_ms is not None
        cell.clock_ms += TOKENS_CACHED_MS
        assert len(running) < 10
    return running


def traces(furnished: Furnished) -> list[str]:
    """What is left of the tenant: its names, ids and keys."""
    web, found = furnished.web, []
    for key, value in everything(web.cell.client).items():
        name = key.removeprefix(web.cell.prefix)
        if name.startswith(BRIEF):
            continue
        if belongs_to(web.tenant.id, name) or any(
            t in f"{key} {value}" for t in TRACES
        ):
            found.append(f"{key} {value}")
    return found


def ids_of(furnished: Furnished) -> set[str]:
    """The stored ids of the tenant's events and schedules."""
    web, found = furnished.web, set()
    codes = {"e": EVENT.code("owner"), "s": SCHEDULE.code("owner")}
    for key in everything(web.cell.client):
        family, _, name = key.removeprefix(web.cell.prefix).partition(":")
        if family in codes:
            owner = web.cell.client.hget(key, codes[family]).decode()
            if owner.split(":")[0] == web.tenant.id:
                found.add(name)
    return found


def remaining(client: redis.Redis, ids: set[str]) -> list[str]:
    """The keys and members with one of the ids."""
    found = []
    for key, value in everything(client).items():
        name = key.removeprefix("{s1}:")
        if name.startswith(BRIEF):
            continue
        parts = {name.partition(":")[2]}
        if isinstance(value, (list, set, dict)):
            members = (each[0] if isinstance(each, tuple) else each for each in value)
            parts |= {
                member.decode().strip("~").removeprefix("s:") for member in members
            }
        elif isinstance(value, bytes):
            parts |= {value.decode("latin-1").partition(" ")[0]}
        if {part.partition(":")[0] for part in parts} & ids - {""}:
            found.append(f"{key} {value}")
    return found


def test_a_removed_tenant_leaves_no_name_id_or_key(
    mine: Furnished, other: Furnished, store_url: str
) -> None:
    use_everything(mine)
    ids, client = ids_of(mine), mine.web.cell.client
    assert len(ids) == 8
    assert len(traces(mine)) > 30 and len(remaining(client, ids)) > 30
    seen = [
        other.make("GET", path) for path in ("/v2/logs", "/v1/events", "/v2/queues")
    ]

    remove(mortal_cell(store_url), mine.web.tenant.id)

    assert traces(mine) == []
    assert remaining(client, ids) == []
    mark = keys.removed(mine.web.cell.prefix, mine.web.tenant.id)
    assert 0 < client.ttl(mark) <= 86_400
    assert walk.check(mine.web.cell) == []
    assert mine.web.tenants.all_ids() == [other.web.tenant.id]
    assert seen == [
        other.make("GET", path) for path in ("/v2/logs", "/v1/events", "/v2/queues")
    ]
    assert traces(other) != []


def test_a_removal_that_is_killed_between_any_two_steps_can_be_continued(
    mine: Furnished, store_url: str
) -> None:
    use_everything(mine)
    client = mine.web.cell.client
    before = snapshot(client)
    for step in itertools.count(1, 3):
        restore(client, before)
        killed = mortal_cell(store_url)
        MortalConnection.commands_left = step
        try:
            remove(killed, mine.web.tenant.id)
            break
        except Killed:
            pass
        finally:
            MortalConnection.commands_left = 1_000_000
        remove(mortal_cell(store_url), mine.web.tenant.id)
        assert traces(mine) == [], step
    assert step > 40


@pytest.mark.parametrize(("blueprint", "name"), IDS)
def test_a_forgetting_that_is_killed_between_any_two_steps_can_be_continued(
    mine: Furnished,
    store_url: str,
    monkeypatch: pytest.MonkeyPatch,
    blueprint: str,
    name: str,
) -> None:
    given, client = str(mine.ids[blueprint][name]), mine.web.cell.client
    cell = mortal_cell(store_url)
    monkeypatch.setattr(forget_command, "open_cell", lambda _: cell)
    before, ids = snapshot(client), ids_of(mine)
    for step in itertools.count(2):
        restore(client, before)
        MortalConnection.commands_left = step
        killed = run(store_url, "forget", given)
        MortalConnection.commands_left = 1_000_000
        if killed.exit_code == 0:
            break
        again = run(store_url, "forget", given)
        gone = ids - ids_of(mine)
        assert gone and remaining(client, gone) == [], (step, again.output)
        assert walk.check(mine.web.cell) == []
    assert step > 5


def snapshot(client: redis.Redis) -> dict[bytes, tuple[int, bytes]]:
    """All keys, with their TTLs and serialized values."""
    return {
        key: (max(0, client.pttl(key)), client.dump(key) or b"")
        for key in client.scan_iter()
    }


def restore(client: redis.Redis, stored: dict[bytes, tuple[int, bytes]]) -> None:
    client.flushdb()
    with client.pipeline() as pipe:
        for key, (ttl_ms, value) in stored.items():
            pipe.restore(key, ttl_ms, value)
        pipe.execute()


def test_no_token_of_a_tenant_that_is_being_removed_works(
    mine: Furnished, store_url: str
) -> None:
    tokens = mine.web.tenants.tokens
    operator = tokens.create(None, "ops")
    headers = {"Scheduler-Tenant": mine.web.tenant.id}
    next(removal_of(mortal_cell(store_url), mine.web.tenant.id))

    assert tokens.find(mine.web.tenant.token) is None
    answer = mine.call("GET", "/v2/queues", token=operator, headers=headers)
    assert answer[0] == 403
    assert mine.web.tenants.accounts()[0].is_being_removed


def test_a_running_attempt_delays_the_removal(mine: Furnished, store_url: str) -> None:
    engine = Engine(mine.web.cell.client, mine.web.cell.prefix)
    message = mine.make("POST", f"/v2/publish/{hook(MINE)}", data=b"x")["messageId"]
    begun = engine.begin(message.removeprefix("msg_"))
    removal = removal_of(mortal_cell(store_url), mine.web.tenant.id)
    assert [next(removal), next(removal)] == [1, 1]

    engine.settle(begun, "retry")

    assert remove(mortal_cell(store_url), mine.web.tenant.id)[-1] == 0
    assert traces(mine) == []


def test_the_removal_is_in_the_log_of_the_operator(
    mine: Furnished, store_url: str
) -> None:
    remove(mortal_cell(store_url), mine.web.tenant.id)

    [record] = audit.newest(mine.web.cell, None, count=9)
    assert record.change == Change(None, "test", "tenant.remove", mine.web.tenant.id)


def test_unreadable_records_are_removed_too(mine: Furnished, store_url: str) -> None:
    client, prefix = mine.web.cell.client, mine.web.cell.prefix
    for record in ids_of(mine):
        client.hset(keys.event(prefix, record), EVENT.code("due_ms"), "x")
        client.hdel(keys.schedule(prefix, record), SCHEDULE.code("owner"))

    remove(mortal_cell(store_url), mine.web.tenant.id)

    assert traces(mine) == []


def run(url: str, *words: str, answer: str = "") -> Result:
    environ = {"REDIS_URL": url, "SECRET_KEY": SECRET_KEY}
    return CliRunner().invoke(main, words, env=environ, input=answer)


def clients_id(furnished: Furnished, blueprint: str, name: str) -> str:
    return str(furnished.ids[blueprint][name])


@pytest.mark.parametrize(("blueprint", "name"), IDS)
def test_a_forgotten_event_leaves_no_trace(
    mine: Furnished, store_url: str, blueprint: str, name: str
) -> None:
    given = clients_id(mine, blueprint, name)
    before = ids_of(mine)

    result = run(store_url, "forget", given)

    assert result.exit_code == 0, result.output
    gone = before - ids_of(mine)
    assert gone, result.output
    assert remaining(mine.web.cell.client, gone) == []
    assert walk.check(mine.web.cell) == []
    again = run(store_url, "forget", given)
    assert f"there is no event or schedule {given}" in again.output


def test_a_running_event_is_cancelled_and_forgotten_later(
    mine: Furnished, store_url: str
) -> None:
    engine = Engine(mine.web.cell.client, mine.web.cell.prefix)
    message = mine.make("POST", f"/v2/publish/{hook(MINE)}", data=b"x")["messageId"]
    begun = engine.begin(message.removeprefix("msg_"))

    refused = run(store_url, "forget", message)
    engine.settle(begun, "retry")
    done = run(store_url, "forget", message)

    assert refused.exit_code == 1
    assert "1 attempts are running" in refused.output
    assert done.output == f"erased {message}, 1 event in all\n"


def test_the_callbacks_of_an_event_are_forgotten_with_it(
    mine: Furnished, store_url: str
) -> None:
    engine = Engine(mine.web.cell.client, mine.web.cell.prefix)
    message = mine.make("POST", f"/v2/publish/{hook(MINE)}", data=b"x")["messageId"]
    begun = engine.begin(message.removeprefix("msg_"))
    callback = f"{begun.id}.c1"
    content = Content(hook(MINE), b"the body of the message")
    [settled] = engine.worker().settle(
        Settlement(
            *(begun.id, begun.token, begun.attempt, Outcome.DELIVERED, b"{}"),
            follow_ups=[FollowUp(callback, content, 1_000, delay_ms=60_000)],
        )
    )
    assert settled.code == "settled" and callback in ids_of(mine)

    result = run(store_url, "forget", message)

    assert result.output == f"erased {message}, 2 events in all\n"
    assert remaining(mine.web.cell.client, {begun.id, callback}) == []


def test_a_named_schedule_is_forgotten_by_its_tenant_and_name(
    mine: Furnished, store_url: str
) -> None:
    headers = {"Upstash-Cron": "0 0 * * *", "Upstash-Schedule-Id": "nightly"}
    mine.make("POST", f"/v2/schedules/{hook(MINE)}", headers=headers)

    refused = run(store_url, "forget", "nightly")
    assert refused.exit_code == 1
    assert "the name of a schedule needs --tenant" in refused.output
    done = run(store_url, "forget", "nightly", "--tenant", mine.web.tenant.id)

    assert done.exit_code == 0
    assert mine.call("GET", "/v2/schedules/nightly")[0] == 404


def test_nothing_is_forgotten_if_an_id_of_two_apis_is_given(
    mine: Furnished, store_url: str
) -> None:
    event, tenant = clients_id(mine, "jiter", "event_id"), mine.web.tenant.id
    headers = {"Upstash-Cron": "0 0 * * *", "Upstash-Schedule-Id": event}
    mine.make("POST", f"/v2/schedules/{hook(MINE)}", headers=headers)
    words = ("forget", event, "--tenant", tenant)

    refused = run(store_url, *words)
    assert "is an id of jiter and qstash: add --dialect" in refused.output
    assert mine.call("GET", f"/v2/schedules/{event}")[0] == 200
    assert mine.call("GET", f"/api/events/{event}")[0] == 200

    assert run(store_url, *words, "--dialect", "qstash").exit_code == 0
    assert mine.call("GET", f"/v2/schedules/{event}")[0] == 404
    assert mine.call("GET", f"/api/events/{event}")[0] == 200


def test_an_interrupted_forgetting_is_continued_for_the_given_tenant_and_api(
    mine: Furnished, other: Furnished, store_url: str
) -> None:
    client, prefix = mine.web.cell.client, mine.web.cell.prefix
    begun = {
        each.web.tenant.id: keys.erasing(prefix, str(each.web.owner("qstash")), "x")
        for each in (mine, other)
    }
    client.mset(dict.fromkeys(begun.values(), "nightly"))

    for tenant, key in begun.items():
        elsewhere = ("--tenant", tenant, "--dialect", "jiter")
        assert run(store_url, "forget", "nightly", *elsewhere).exit_code == 1
        assert client.exists(key)
        done = run(store_url, "forget", "nightly", "--tenant", tenant)
        assert done.output == "erased nightly, 0 events in all\n"
        assert not client.exists(key)


def test_only_events_of_the_given_tenant_are_forgotten(
    mine: Furnished, other: Furnished, store_url: str
) -> None:
    message = clients_id(mine, "qstash", "message_id")

    result = run(store_url, "forget", message, "--tenant", other.web.tenant.id)

    assert result.exit_code == 1
    assert mine.call("GET", f"/v2/messages/{message}")[0] == 200


def test_a_forgotten_event_is_in_the_audit_log(mine: Furnished, store_url: str) -> None:
    message = clients_id(mine, "qstash", "message_id")
    run(store_url, "forget", message)

    [record] = audit.newest(mine.web.cell, mine.web.tenant.id, count=1)
    assert (record.change.action, record.change.object) == ("event.forget", message)
    assert record.after is None


def test_a_forgotten_event_that_is_being_sent_is_recorded_as_cancelled(
    mine: Furnished, store_url: str
) -> None:
    engine = Engine(mine.web.cell.client, mine.web.cell.prefix)
    message = mine.make("POST", f"/v2/publish/{hook(MINE)}", data=b"x")["messageId"]
    engine.begin(message.removeprefix("msg_"))

    assert run(store_url, "forget", message).exit_code == 1

    [record] = audit.newest(mine.web.cell, mine.web.tenant.id, count=1)
    assert record.after == {"cancelled": True}


def test_the_command_asks_before_it_removes_a_tenant(
    mine: Furnished, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_commands, "PAUSE_S", 0)
    tenant = mine.web.tenant.id

    refused = run(store_url, "tenant", "remove", tenant, answer="n\n")
    unknown = run(store_url, "tenant", "remove", "99", "--yes")

    assert refused.exit_code == unknown.exit_code == 1
    assert "there is no tenant 99" in unknown.output
    assert mine.web.tenants.exists(tenant)


def create_all(furnished: Furnished, token: str) -> list[tuple[int, str]]:
    """Create something of each kind with an operator's token; return the answers."""
    headers = {"Scheduler-Tenant": furnished.web.tenant.id}
    cron, large, to = {"Upstash-Cron": "0 0 * * *"}, MINE * 1_000, hook(MINE)
    later = "2096-01-01T00:00:00.000Z"
    event = {"payload": large, "destination": to}
    v1 = {"eventOwner": f"a@{MINE}.example", "endDate": later, "callbackUrl": to}
    requests: list[tuple[str, Any]] = [
        ("/api/events", {"json": event | {"scheduledTime": later}}),
        ("/api/cronjobs", {"json": event | {"expression": "0 0 * * *"}}),
        ("/v1/events", {"json": v1 | {"interval": "0 0 1 1 *"}}),
        (f"/v2/publish/{to}", {"data": MINE}),
        (f"/v2/enqueue/{MINE}/{to}", {"data": large}),
        (f"/v2/schedules/{to}", {"data": large, "headers": headers | cron}),
        ("/v2/queues", {"json": {"queueName": f"{MINE}2", "parallelism": 2}}),
        (f"/v2/flowControl/{MINE}/pause", {}),
        (f"/v2/topics/{MINE}/endpoints", {"json": {"endpoints": [{"url": to}]}}),
    ]
    answers = []
    for path, more in requests:
        options = {"token": token, "headers": headers} | more
        answers.append((furnished.call("POST", path, **options)[0], path))
    return answers


def test_nothing_is_stored_for_a_tenant_whose_removal_has_begun(
    make_web: Callable[..., Web], store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A request may have been checked before the removal.
    monkeypatch.setattr(Tenants, "exists", lambda *_: True)
    kept, removed = Furnished(make_web(), {}), Furnished(make_web(), {})
    tenants, tenant = removed.web.tenants, removed.web.tenant.id
    operator = tenants.tokens.create(None, "ops")

    tenants.begin_removal(tenant, by="test")
    during = create_all(removed, operator)
    remove(mortal_cell(store_url), tenant)
    after = create_all(removed, operator)

    assert {status for status, _ in during + after} == {400, 412}
    assert traces(removed) == []
    assert {status for status, _ in create_all(kept, operator)} == {200, 201}


def test_a_repeated_removal_erases_what_an_earlier_one_left(
    mine: Furnished, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_commands, "PAUSE_S", 0)
    client, tenant = mine.web.cell.client, mine.web.tenant.id
    mine.web.tenants.begin_removal(tenant, by="test")
    mine.web.tenants.end_removal(tenant)
    owners = [str(mine.web.owner(dialect)) for dialect in mine.ids]
    client.sadd(keys.owners(mine.web.cell.prefix), *owners)

    found = {str(fault) for fault in walk.check(mine.web.cell)}
    assert f"owners {tenant}:qstash: run `tenant remove {tenant}` again" in found
    remove(mortal_cell(store_url), tenant)
    again = run(store_url, "tenant", "remove", tenant, "--yes")

    assert f"there is no tenant {tenant}" in again.output
    assert walk.check(mine.web.cell) == []
