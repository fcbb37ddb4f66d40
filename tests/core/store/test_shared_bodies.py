"""Tests of large bodies that many events share. fsck runs after each test."""

import pytest
import redis
from scheduler_api.core.model import Content, Draft
from scheduler_api.core.settings.limits import TenantLimits
from scheduler_api.core.store import keys
from scheduler_api.core.store.content_encryption import ContentCipher
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.functions import Options
from scheduler_api.core.tenants import usage
from tests.core.engine import OWNER, PREFIX, Engine

BODY = bytes(range(256)) * 400
MANY = 50
BODIES, SHARERS = f"{PREFIX}sb:*", f"{PREFIX}sbe:*"


def content(number: int, body: bytes = BODY) -> Content:
    return Content(f"https://receiver.example/{number}", body, {"h": ["X-N", "1"]})


def create(engine: Engine, *, count: int = MANY, body: bytes = BODY) -> list[str]:
    drafts = [Draft(content(n, body), 10_000, delay_ms=1_000) for n in range(count)]
    return [each.id for each in engine.store.create_many(OWNER, drafts)]


def stored_bytes(engine: Engine) -> int:
    names = engine.client.keys(f"{PREFIX}*b:*")
    return sum(engine.client.strlen(name) for name in names)


def end(engine: Engine, *ids: str) -> None:
    """Cancel events, and delete them as the chore does."""
    engine.store.cancel(OWNER, ids)
    engine.store.forget(ids, before_ms=engine.now_ms + 1)


@pytest.mark.parametrize("encrypts", [True, False])
def test_a_large_body_of_many_events_is_stored_once_and_delivered_to_all(
    engine: Engine, encrypts: bool
):
    engine.cell.cipher = ContentCipher("k" * 16) if encrypts else None
    ids = create(engine)

    assert stored_bytes(engine) < len(BODY) + MANY * 1_000
    assert (b"X-N" in engine.client.get(f"{PREFIX}b:{ids[0]}")) != encrypts
    assert [engine.get(each).content for each in ids] == [
        content(n) for n in range(MANY)
    ]
    engine.now_ms += 1_000
    begun, _ = engine.worker.try_begin(*engine.claim().ids)
    found = {(each.id, engine.worker.fetch(each).content.body) for each in begun}
    assert found == {(each, BODY) for each in ids}


def test_a_body_is_deleted_with_its_last_event(engine: Engine):
    ids = create(engine)

    end(engine, *ids[1:])
    end(engine, *ids[1:])
    assert engine.get(ids[0]).content == content(0)

    end(engine, ids[0])
    assert engine.client.keys(BODIES) == engine.client.keys(SHARERS) == []


def test_an_edited_event_gives_its_share_back(engine: Engine):
    ids = create(engine, count=2)

    for each in ids:
        engine.store.change(engine.get(each), content=content(7, b"new"))

    assert engine.client.keys(BODIES) == engine.client.keys(SHARERS) == []


def test_an_erased_event_gives_its_share_back(engine: Engine):
    ids = create(engine, count=2)

    engine.cell.call("erase_events", {"owner": str(OWNER)}, ids)

    assert engine.client.keys(BODIES) == engine.client.keys(SHARERS) == []


def test_a_repeated_call_keeps_one_body(engine: Engine):
    with engine.repeating():
        ids = create(engine, count=3)

    assert len(engine.client.keys(BODIES)) == 1
    assert [engine.client.ttl(each) for each in engine.client.keys(BODIES)] == [-1]
    end(engine, *ids)
    assert engine.client.keys(BODIES) == []


def test_a_process_that_dies_before_the_events_exist_leaves_a_body_that_expires(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    def die(*_: object, **__: object) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(engine.store, "_call", die)
    with pytest.raises(redis.ConnectionError):
        create(engine)

    [body] = engine.client.keys(BODIES)
    assert 0 < engine.client.ttl(body) <= 600


def test_a_body_that_expired_before_its_events_were_created_is_written_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    call, calls = engine.store._call, 0

    def expire_first(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            engine.client.delete(*engine.client.keys(BODIES))
        return call(*args, **options)

    monkeypatch.setattr(engine.store, "_call", expire_first)
    ids = create(engine)

    assert calls == 2
    assert {engine.get(each).content.body for each in ids} == {BODY}


def test_a_refused_body_is_deleted(engine: Engine):
    engine.client.set(keys.full(PREFIX), 1, ex=60)

    create(engine)

    assert engine.client.keys(BODIES) == []


def limited(engine: Engine, stored: int) -> EventStore:
    """A store whose tenant may store so many bytes."""
    engine.client.hset(keys.tenant(PREFIX, OWNER.tenant), "name", "one")
    limits: Options = {
        "tenant_limits": {
            "tenant": OWNER.tenant,
            "owners": [str(OWNER)],
            "pending": TenantLimits().pending_events,
            "bytes": stored,
        }
    }
    return EventStore(engine.cell, tenant_options=lambda _: limits)


def test_a_shared_body_counts_once_for_the_tenant(engine: Engine):
    engine.store = limited(engine, len(BODY) + MANY * 1_000)
    drafts = [Draft(content(n), 10_000, delay_ms=1_000) for n in range(MANY)]

    accepted = engine.store.create_many(OWNER, drafts, all_or_none=True)

    assert {each.verdict.value for each in accepted} == {"ok"}
    counted = usage.stored_bytes(engine.cell, OWNER.tenant)
    assert counted == stored_bytes(engine)
    assert usage.recount(engine.cell, OWNER.tenant, [str(OWNER)]) == counted


def test_a_tenant_without_room_for_a_shared_body_stores_none_of_its_events(
    engine: Engine,
):
    engine.store = limited(engine, len(BODY))
    drafts = [Draft(content(n), 10_000, delay_ms=1_000) for n in range(MANY)]

    accepted = engine.store.create_many(OWNER, drafts, all_or_none=True)

    assert {each.verdict.value for each in accepted} == {"limit_reached"}
    assert engine.client.keys(BODIES) == []


def test_fsck_reports_a_missing_or_unused_body_and_a_sharer_without_a_record(
    engine: Engine,
):
    engine.checks_faults = False
    ids = create(engine, count=2)
    [body], [sharers] = engine.client.keys(BODIES), engine.client.keys(SHARERS)
    name = body.decode().removeprefix(f"{PREFIX}sb:")
    engine.client.sadd(sharers, "unknown")
    engine.client.rename(body, f"{body.decode()}x")

    faults = engine.faults()

    assert any(f"sb:{name}x" in fault for fault in faults)
    assert any("unknown" in fault for fault in faults)
    for each in ids:
        assert any(each in fault and "content" in fault for fault in faults)
