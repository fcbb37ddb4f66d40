"""Tests of chores, run in this process on a real store."""

import os
import pytest
import redis
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import Content, Draft, FlowLimits, Gates, Owner
from scheduler_api.core.recovery import tenant_removal
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.settings.limits import TenantLimits
from scheduler_api.core.store import claims, content_encryption, keys, layout
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import ClaimTimeouts
from scheduler_api.core.store.content_encryption import ContentCipher
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.functions import Library
from scheduler_api.core.store.gate_names import flow_gate
from scheduler_api.core.tenants import usage
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.limits import Limits
from scheduler_api.core.tenants.url_groups import Endpoint, Groups
from scheduler_api.dialects.outbound import SECRETS
from tests.sync_worker import new_sync_worker
from workers import chores

PREFIX = "{s1}:"
OWNER = Owner("1", "jiter")
DAY_MS = 86_400_000
TIMEOUTS = ClaimTimeouts(
    offer_ms=3_000, lease_ms=15_000, grace_ms=15_000, missed_grace_ms=60_000
)
URL = "https://receiver.example/hook"
# An approximate XTRIM removes at most 10,000 entries.
MORE_THAN_ONE_TRIM = 10_150


@pytest.fixture
def client(valkey: str, monkeypatch: pytest.MonkeyPatch):
    for name in [n for n in os.environ if n.startswith("SCHED_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("REDIS_URL", valkey)
    monkeypatch.setenv("SECRET_KEY", "a" * 32)
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        layout.ensure(client, PREFIX)
        yield client


def end(client: redis.Redis, outcome: str, *, days_ago: float) -> str:
    """Create an event that ended some days ago; return its id."""
    now_ms = Cell(client, PREFIX).now_ms() - int(days_ago * DAY_MS)
    store = EventStore(Cell(client, PREFIX, clock_ms=now_ms))
    draft = Draft(Content(URL, b"x"), 1_000, at_ms=now_ms, journal=True)
    event_id = store.create_many(OWNER, [draft])[0].id
    claims.claim(store.cell, room=10, timeouts=TIMEOUTS)
    worker = new_sync_worker(client, PREFIX, clock_ms=now_ms)
    [begun] = worker.begin(event_id)
    worker.end(begun, outcome, started_ms=1)
    return event_id


def loaded(client: redis.Redis) -> set[str]:
    """The names of all libraries on the server."""
    libraries = [
        dict(zip(fields[::2], fields[1::2], strict=True))
        for fields in client.function_list()
    ]
    return {library[b"library_name"].decode() for library in libraries}


def test_retention_deletes_events_older_than_the_retention_time(client: redis.Redis):
    old = end(client, "delivered", days_ago=8)
    recent = end(client, "delivered", days_ago=6)

    assert chores.retention() == 1
    assert not client.exists(keys.event(PREFIX, old), keys.body(PREFIX, old))
    assert client.exists(keys.event(PREFIX, recent)) == 1
    assert walk.check(Cell(client, PREFIX)) == []


def test_retention_keeps_dead_letters_longer(client: redis.Redis):
    dead = end(client, "dead", days_ago=8)
    end(client, "dead", days_ago=31)

    assert chores.retention() == 1
    assert client.exists(keys.event(PREFIX, dead)) == 1


def test_retention_deletes_more_than_one_batch(client: redis.Redis):
    now_ms = Cell(client, PREFIX).now_ms()
    past = EventStore(Cell(client, PREFIX, clock_ms=now_ms - 8 * DAY_MS))
    draft = Draft(Content(URL, b"x"), 1_000)
    accepted = past.create_many(OWNER, [draft] * (chores.BATCH + 1))
    past.cancel(OWNER, [event.id for event in accepted])

    assert chores.retention() == chores.BATCH + 1
    assert client.zcard(keys.finished(PREFIX, str(OWNER), "cancelled")) == 0


def test_retention_removes_all_old_entries_of_a_journal(client: redis.Redis):
    now_ms = Cell(client, PREFIX).now_ms()
    EventStore(Cell(client, PREFIX)).create_many(
        OWNER, [Draft(Content(URL, b"x"), 1_000)]
    )
    journal, old_ms = keys.journal(PREFIX, str(OWNER)), now_ms - 8 * DAY_MS
    pipe = client.pipeline(transaction=False)
    for number in range(MORE_THAN_ONE_TRIM):
        pipe.xadd(journal, {"e": number}, id=f"{old_ms}-{number + 1}")
    pipe.xadd(journal, {"e": "recent"}, id=f"{now_ms - 6 * DAY_MS}-0")
    pipe.execute()

    chores.retention()

    assert [entry[b"e"] for _, entry in client.xrange(journal)] == [b"recent"]


def test_retention_removes_deleted_flow_control_keys_from_the_index(
    client: redis.Redis,
):
    now_ms = Cell(client, PREFIX).now_ms() - 15 * DAY_MS
    store = EventStore(Cell(client, PREFIX, clock_ms=now_ms))
    for key in ("used", "deleted"):
        gates = Gates(flow=FlowLimits(key, rate=1))
        store.create_many(OWNER, [Draft(Content(URL, b"x"), 1_000, gates=gates)])
    client.delete(keys.gate(PREFIX, flow_gate(OWNER, "deleted")))

    chores.retention()

    index = keys.flow_keys(PREFIX, str(OWNER))
    assert client.zrange(index, 0, -1) == [b"used"]


def test_retention_deletes_superseded_templates_that_no_event_needs(
    client: redis.Redis,
):
    now_ms = Cell(client, PREFIX).now_ms()
    client.set(keys.template(PREFIX, "7", "old"), "x")
    client.set(keys.template(PREFIX, "7", "new"), "x")
    client.zadd(
        keys.superseded(PREFIX),
        {"7:old": now_ms - 32 * DAY_MS, "7:new": now_ms - 30 * DAY_MS},
    )

    chores.retention()

    assert client.exists(keys.template(PREFIX, "7", "old")) == 0
    assert client.exists(keys.template(PREFIX, "7", "new")) == 1
    assert client.zrange(keys.superseded(PREFIX), 0, -1) == [b"7:new"]


def test_check_returns_the_number_of_faults(client: redis.Redis):
    assert chores.check() == 0

    client.zadd(keys.due(PREFIX), {"nobody": 1})

    assert chores.check() == 1


def test_failures_are_counted_by_destination(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
):
    end(client, "dead", days_ago=0)
    end(client, "dead", days_ago=0)
    end(client, "dead", days_ago=0.5)
    end(client, "delivered", days_ago=0)

    assert chores.failures() == 2
    assert (
        "tenant.failures tenant=1 dialect=jiter"
        " destination=https://receiver.example:443 failed=2"
    ) in caplog.text


def test_libraries_of_other_versions_are_deleted_but_not_those_of_other_cells(
    client: redis.Redis,
):
    client.function_flush()
    own, other = Library(PREFIX, 0), Library("{s2}:", 0)
    older = f"{own.cell}_older"
    client.function_load(own.source.replace(own.version, older))
    for library in (own, other):
        client.function_load(library.source)

    deleted = chores.libraries()

    assert deleted == 1
    assert loaded(client) == {own.name, other.name}
    assert chores.libraries() == 0


def test_no_library_is_deleted_while_the_store_is_full(client: redis.Redis):
    client.function_flush()
    own = Library(PREFIX, 0)
    client.function_load(own.source.replace(own.version, f"{own.cell}_older"))
    client.set(keys.full(PREFIX), 1, ex=60)

    assert chores.libraries() == 0
    assert len(loaded(client)) == 1


def test_r32_old_events_are_deleted_from_a_full_store(client: redis.Redis):
    chores.retention()
    old = end(client, "delivered", days_ago=8)
    client.config_set("maxmemory", 1)
    try:
        deleted = chores.retention()
    finally:
        client.config_set("maxmemory", 0)

    assert deleted == 1
    assert not client.exists(keys.event(PREFIX, old))


def test_a_chore_records_when_it_ran(client: redis.Redis):
    chores.check()

    last_run_ms = int(client.get(keys.chore(PREFIX, "check")))
    assert abs(last_run_ms - Cell(client, PREFIX).now_ms()) < 60_000


def test_the_stored_bytes_of_tenants_with_a_limit_are_counted(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell(client, PREFIX)
    tenants = Tenants(cell, secret_key="a" * 32, makers=SECRETS)
    limited, unlimited = (tenants.create(name) for name in ("one", "two"))
    for tenant in (limited, unlimited):
        draft = Draft(Content("http://a.example/", b"x" * 100), 1_000)
        EventStore(cell).create(Owner(tenant.id, "jiter"), draft)
    limits = Limits(cell, TenantLimits(), ("jiter",))
    limits.set(limited.id, {"stored_bytes": 50}, by="test")

    assert chores.stored_bytes() == 1

    assert (usage.stored_bytes(cell, limited.id) or 0) > 100
    assert usage.stored_bytes(cell, unlimited.id) is None


def test_s24_what_lives_forever_is_encrypted_again_after_a_change_of_the_key(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    old, new = "a" * 32, "b" * 32
    cell = Cell(client, PREFIX, cipher=ContentCipher(old))
    before = Tenants(cell, secret_key=old, makers=SECRETS)
    tenant = before.create("acme")
    owner = Owner(tenant.id, "qstash")
    schedules, groups = Schedules(cell, grace_ms=60_000), Groups(cell)
    created = schedules.create(
        *(owner, Content(URL, b"x" * 5_000)),
        expression="0 0 1 1 *",
        tz="UTC",
        grammar=FULL,
        deadline_ms=1_000,
    )
    groups.add(owner, "g", [Endpoint(URL, "e")])
    group = groups.get(owner, "g")
    monkeypatch.setenv("SECRET_KEY", new)
    monkeypatch.setenv("SCHED_OLDER_SECRET_KEYS", old)

    assert chores.encryption() > 2
    assert chores.encryption() == 0

    monkeypatch.setattr(content_encryption, "_master_keys", {})
    content_encryption._aes.cache_clear()
    cell.cipher = ContentCipher(new)
    after = Tenants(cell, secret_key=new, makers=SECRETS)
    assert after.secrets(tenant.id) == tenant.secrets
    assert schedules.get(owner, created.id) == created
    assert groups.get(owner, "g") == group


def test_a_removal_that_has_begun_is_finished(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "ROUND_PAUSE_S", 0)
    monkeypatch.setattr(tenant_removal, "TOKENS_CACHED_MS", 0)
    cell = Cell(client, PREFIX)
    tenants = Tenants(cell, secret_key="a" * 32, makers=SECRETS)
    removed, kept = tenants.create("removed").id, tenants.create("kept").id
    draft = Draft(Content(URL, b"x"), 1_000, delay_ms=DAY_MS)
    for tenant in (removed, kept):
        EventStore(cell).create_many(Owner(tenant, "jiter"), [draft])
    tenants.begin_removal(removed, by="boss")

    assert chores.removals() == 1
    assert tenants.all_ids() == [kept]
    active = [
        keys.by_time(PREFIX, f"{each}:jiter", "active") for each in (removed, kept)
    ]
    assert [client.zcard(key) for key in active] == [0, 1]
    assert chores.removals() == 0
