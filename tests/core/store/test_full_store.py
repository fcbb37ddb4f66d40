"""Tests of a server at its memory limit: only new events are refused."""

import pytest
import redis
from collections.abc import Callable, Iterator
from dataclasses import replace
from redis.exceptions import OutOfMemoryError
from scheduler_api.core.deduplication import DeduplicationKey, Repeated
from scheduler_api.core.errors import StoreFull
from scheduler_api.core.flow_control.gates import set_gate
from scheduler_api.core.model import (
    Content,
    Draft,
    FollowUp,
    Outcome,
    Owner,
    ScheduleState,
    State,
)
from scheduler_api.core.recovery.erasure import Erasure
from scheduler_api.core.recovery.tenant_removal import TenantRemoval
from scheduler_api.core.store import audit, claims, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.epoch import accept, claim_database, establish
from scheduler_api.core.store.gate_names import flow_gate
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.quotas import OverQuota, Quotas
from scheduler_api.core.tenants.sign_ins import SignIns
from scheduler_api.core.tenants.url_groups import Endpoint, Groups
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_MS,
    OFFER_MS,
    OWNER,
    PREFIX,
    TIMEOUTS,
    Engine,
    all_ids,
    codes,
    ids,
    settlement,
)

LARGE = Content("https://receiver.example/", b"x" * 50_000)
ONE_BYTE = 1
EPOCH = keys.epoch(PREFIX)
ADDING = """#!lua name=adding
redis.register_function('add', function(key_names)
  return redis.call('ZADD', key_names[1], 1, 'x')
end)
"""


@pytest.fixture
def store_client(valkey: str) -> Iterator[redis.Redis]:
    """A client of Valkey; fakeredis has no memory limit."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        yield client
        client.function_flush()


@pytest.fixture
def fill(store_client: redis.Redis) -> Iterator[Callable[[], None]]:
    """A function that makes the server full.

    The function sets a memory limit that the server exceeds. Like a ticker, the
    function also marks the store as full.
    """

    def fill_now() -> None:
        store_client.set(keys.full(PREFIX), 1, ex=60)
        store_client.config_set("maxmemory", ONE_BYTE)

    yield fill_now
    store_client.config_set("maxmemory", 0)


def test_e17_a_full_server_refuses_writes_and_functions_without_allow_oom(
    store_client: redis.Redis, fill: Callable[[], None]
):
    store_client.function_load(ADDING, replace=True)
    fill()

    with pytest.raises(OutOfMemoryError):
        store_client.fcall("add", 1, keys.due(PREFIX))
    with pytest.raises(OutOfMemoryError):
        store_client.set("{s1}:x", 1)


def test_e17_new_events_are_refused(engine: Engine, fill: Callable[[], None]):
    engine.create(1)
    fill()

    with pytest.raises(StoreFull):
        engine.create()
    with pytest.raises(StoreFull):
        engine.create(content=LARGE)

    assert len(engine.due()) == 1


def test_e17_a_creation_repeated_when_the_store_is_full_is_answered_ok(
    engine: Engine, fill: Callable[[], None]
):
    once = [fill]

    with engine.repeating(lambda: once and once.pop()(), same_answer=False):
        event = engine.create()

    assert event.id in engine.due()


def test_e17_a_full_store_recognises_a_duplicate(
    engine: Engine, fill: Callable[[], None]
):
    draft = Draft(
        CONTENT, DEADLINE_MS, delay_ms=5, deduplication=DeduplicationKey("m", 60_000)
    )
    first = engine.store.create(OWNER, draft)
    fill()

    with pytest.raises(Repeated) as repeated:
        engine.store.create(OWNER, draft)

    assert repeated.value.duplicate_of.id == first.id


def test_e17_a_process_can_start_on_a_full_store(
    engine: Engine, fill: Callable[[], None]
):
    claim_database(engine.client, PREFIX)
    fill()

    claim_database(engine.client, PREFIX)

    assert engine.faults() == []


def test_e17_a_full_store_without_the_ticker_s_mark_refuses_large_content(
    engine: Engine, fill: Callable[[], None]
):
    engine.create(1)
    fill()
    engine.client.delete(keys.full(PREFIX))

    with pytest.raises(StoreFull):
        engine.create(content=LARGE)


def test_e17_claim_begin_renew_and_settle_work(
    engine: Engine, fill: Callable[[], None]
):
    delivered, retried, dead = (engine.create(1_000) for _ in range(3))
    engine.now_ms += 1_000
    fill()

    begun = {each.id: each for each in engine.worker.begin(*engine.claim().ids)}
    lost = engine.worker.renew(*begun.values())
    engine.worker.settle(
        settlement(begun[delivered.id]),
        settlement(begun[retried.id], Outcome.RETRY, delay_ms=5_000),
        settlement(begun[dead.id], Outcome.DEAD),
    )
    engine.now_ms += 5_000

    assert lost == set()
    assert engine.get(delivered.id).state is State.DELIVERED
    assert engine.get(dead.id).state is State.DEAD
    assert engine.claim().ids == [retried.id]


def test_e17_settle_works_with_a_large_follow_up(
    engine: Engine, fill: Callable[[], None]
):
    begun = engine.begun()
    fill()
    child = FollowUp(f"{begun.id}.c1", LARGE, DEADLINE_MS)

    answers = engine.worker.settle(replace(settlement(begun), follow_ups=(child,)))

    assert codes(answers) == ["settled"]
    assert engine.get(child.id).content == LARGE


def test_e17_leases_and_offers_end(engine: Engine, fill: Callable[[], None]):
    offered, begun = engine.offered(), engine.begun()
    fill()
    engine.worker.release(offered.id)
    engine.claim()

    engine.tick(OFFER_MS)
    returned = set(engine.due())
    engine.tick(LEASE_MS)

    assert returned == {offered.id}
    assert engine.due().keys() == {offered.id, begun.id}
    assert engine.record(begun.id)["interruptions"] == "1"


def test_e17_schedules_fire(engine: Engine, fill: Callable[[], None]):
    schedule = engine.schedule("* * * * *")
    fill()
    engine.now_ms = schedule.times_ms[0]

    begun = engine.worker.begin(*engine.claim().ids)

    assert len(begun) == 1
    assert engine.schedules.top_up(schedule.id) == "done"


def test_e17_cancel_and_forget_work(engine: Engine, fill: Callable[[], None]):
    event, ended = engine.create(60_000), engine.begun()
    engine.worker.settle(settlement(ended))
    fill()

    engine.store.change(event, cancel=True)
    forgotten = engine.store.forget([event.id, ended.id], before_ms=engine.now_ms + 1)

    assert forgotten == 2


def test_r32_in_a_full_store_content_cannot_be_replaced_but_times_can_change(
    engine: Engine, fill: Callable[[], None]
):
    event = engine.create(60_000)
    at_ms = engine.now_ms + 90_000
    fill()

    with pytest.raises(StoreFull):
        engine.store.change(event, content=CONTENT)
    engine.store.change(event, at_ms=at_ms)

    assert engine.due()[event.id] == at_ms


def test_r32_in_a_full_store_groups_can_shrink_but_not_grow(
    engine: Engine, fill: Callable[[], None]
):
    groups = Groups(engine.store.cell)
    urls = [f"http://{name}.example/" for name in ("a", "b", "c")]
    groups.add(OWNER, "g", [Endpoint(url, "") for url in urls[:2]])
    fill()

    with pytest.raises(StoreFull):
        groups.add(OWNER, "g", [Endpoint(urls[2], "")])
    with pytest.raises(StoreFull):
        groups.add(OWNER, "other", [Endpoint(urls[2], "")])
    groups.remove(OWNER, "g", urls=urls[:1], names=[])

    assert [each.url for each in groups.get(OWNER, "g").endpoints] == urls[1:2]


def test_r32_a_full_store_takes_pauses_but_no_new_limits(
    engine: Engine, fill: Callable[[], None]
):
    cell = engine.store.cell
    engine.create()
    fill()

    with pytest.raises(StoreFull):
        set_gate(cell, flow_gate(OWNER, "one"), {"rate": 5}, limit=0)

    assert set_gate(cell, flow_gate(OWNER, "two"), {}, limit=0, paused=True)


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["small", "large"])
def test_r32_in_a_full_store_a_schedule_can_be_paused_once_but_not_edited(
    engine: Engine, fill: Callable[[], None], content: Content
):
    schedule = engine.schedule("* * * * *", content=content)
    fill()

    with pytest.raises(StoreFull):
        engine.edited(schedule, expression="*/2 * * * *")
    with pytest.raises(StoreFull):
        engine.edited(schedule, content=LARGE)
    paused = engine.edited(schedule, state=ScheduleState.PAUSED)
    for again in ScheduleState.PAUSED, ScheduleState.ACTIVE:
        with pytest.raises(StoreFull):
            engine.edited(paused, state=again)

    assert engine.schedules.get(OWNER, schedule.id) == paused
    assert paused.content == content


def test_r32_the_quota_of_a_month_is_kept_in_a_full_store(
    engine: Engine, fill: Callable[[], None]
):
    quotas = Quotas(engine.store.cell)
    quotas.count_event(OWNER, engine.now_ms, limit=2)
    fill()

    quotas.count_event(OWNER, engine.now_ms, limit=2)
    with pytest.raises(OverQuota):
        quotas.count_event(OWNER, engine.now_ms, limit=2)
    quotas.uncount_event(OWNER, engine.now_ms, limit=2)
    quotas.count_event(OWNER, engine.now_ms, limit=2)


def test_r32_a_full_store_gets_its_epoch_from_the_first_ticker(
    engine: Engine, fill: Callable[[], None]
):
    engine.create()
    fill()

    epoch = establish(engine.client, PREFIX)

    assert epoch == establish(engine.client, PREFIX) == engine.client.get(EPOCH)


def test_r32_an_operator_can_accept_a_full_store(
    engine: Engine, fill: Callable[[], None]
):
    before = int(engine.create().id)
    fill()

    epoch = accept(engine.client, PREFIX, by="ann")

    assert engine.client.get(EPOCH) == epoch.encode()
    assert int(engine.client.get(keys.sequence(PREFIX)) or 0) > before + 900_000
    [record] = audit.newest(engine.store.cell, None, count=5)
    assert (record.change.by, record.after) == ("ann", {"accepted": True})


def test_r32_people_can_sign_out_while_the_store_is_full(
    engine: Engine, fill: Callable[[], None]
):
    sign_ins = SignIns(engine.store.cell)
    engine.create()
    fill()

    sign_ins.end("session")

    assert sign_ins.has_ended("session")
    assert not sign_ins.has_ended("another")


def test_r32_a_full_store_forgets_schedules_and_removes_tenants(
    engine: Engine, fill: Callable[[], None]
):
    cell, secret_key = engine.store.cell, "k" * 32
    tenants = Tenants(cell, secret_key=secret_key, makers={})
    tenant = tenants.create("acme")
    tenants.tokens.create(tenant.id, "second", read_only=False)
    own = Owner(tenant.id, "jiter")
    engine.store.create(own, Draft(CONTENT, DEADLINE_MS, delay_ms=60_000))
    schedule = engine.schedule("* * * * *")
    fill()

    tenants.tokens.revoke(tenant.id, "second", by="ann")
    erased = Erasure(cell).forget_schedule(OWNER, schedule.id, name="mine")
    for _ in TenantRemoval(cell, tenants).remove(tenant.id, by="ann"):
        engine.now_ms += 60_000

    assert erased.running == 0
    assert not tenants.exists(tenant.id)
    assert [r.change.action for r in audit.newest(cell, None, count=5)] == [
        "tenant.remove"
    ]
    assert engine.client.zcard(keys.by_time(PREFIX, str(own), State.ACTIVE)) == 0


def test_e17_a_store_with_free_memory_accepts_events_again(
    engine: Engine, fill: Callable[[], None]
):
    engine.create(1)
    fill()
    with pytest.raises(StoreFull):
        engine.create()
    engine.client.config_set("maxmemory", 0)
    engine.client.delete(keys.full(PREFIX))

    event = engine.create()

    assert event.id in engine.due()


def test_e17_a_new_process_can_claim_in_a_full_store(
    engine: Engine, fill: Callable[[], None]
):
    event = engine.create(1_000)
    engine.now_ms += 1_000
    fill()

    claim = claims.claim(
        Cell(engine.client, PREFIX, clock_ms=engine.now_ms), room=10, timeouts=TIMEOUTS
    )

    assert all_ids(claim) == [event.id]
    assert ids(engine.worker.begin(event.id)) == [event.id]
    assert engine.get(event.id).owner == OWNER
