"""Tests that every key expires, is removed, or is one of those that always stay."""

import pytest
from collections.abc import Callable
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from tests.dialects.engine import Engine, Web, settings_with
from tests.dialects.furnished import NAME, Furnished, furnish, hook
from tests.system.key_audit import ownerless
from workers import chores

DAY_MS = 86_400_000
# What stays for each tenant and its APIs while the tenant exists, and for each chore.
OF_A_TENANT = {"tn", "tok", "tokens", "audit", "journal", "chore"}


@pytest.fixture
def furnished(make_web: Callable[..., Web]) -> Furnished:
    return furnish(make_web())


def owners(cell: Cell) -> list[Owner]:
    members = cell.client.smembers(keys.owners(cell.prefix))
    return [Owner.parse(member.decode()) for member in members]


def end_everything(furnished: Furnished) -> None:
    """Delete what a client can delete, and cancel all other events."""
    ids = furnished.ids
    for path in (
        f"/api/cronjobs/{ids['jiter']['cron_id']}",
        f"/v1/events/{ids['events_v1']['event_id']}",
        f"/v2/schedules/{ids['qstash']['schedule_id']}",
        f"/v2/queues/{NAME}",
        f"/v2/topics/{NAME}",
    ):
        furnished.make("DELETE", path)
    cell = furnished.web.cell
    for owner in owners(cell):
        active = keys.by_time(cell.prefix, str(owner), "active")
        events = [member.decode() for member in cell.client.zrange(active, 0, -1)]
        furnished.web.store.cancel(owner, events)


def retain(furnished: Furnished, patch: pytest.MonkeyPatch, *, after_days: int) -> int:
    """Claim, expire and delete what will be due, expired and old in some days."""
    cell = furnished.web.cell
    later_ms = cell.now_ms() + after_days * DAY_MS
    Engine(cell.client, cell.prefix).offer(now_ms=later_ms)
    for key in cell.client.scan_iter(count=1_000):
        if 0 <= cell.client.pttl(key) <= after_days * DAY_MS:
            cell.client.delete(key)
    later = Cell(cell.client, cell.prefix, clock_ms=later_ms)
    patch.setattr(chores, "start_job", lambda: settings_with(None, {}, redis_url=""))
    patch.setattr(chores, "open_cell", lambda _: later)
    return chores.retention()


def families_without_ttl(cell: Cell) -> set[str]:
    """The kinds of the keys that never expire."""
    return {
        key.decode().removeprefix(cell.prefix).partition(":")[0]
        for key in cell.client.scan_iter(count=1_000)
        if cell.client.ttl(key) == walk.NO_TTL
    }


def test_r28_every_key_of_what_all_dialects_create_has_an_owner_or_a_ttl(
    furnished: Furnished,
) -> None:
    engine = Engine(furnished.web.cell.client, furnished.web.cell.prefix)
    message = furnished.make("POST", f"/v2/publish/{hook(NAME)}")["messageId"]
    engine.begin(message.removeprefix("msg_"))

    assert ownerless(furnished.web.cell) == []


def test_r28_what_has_ended_leaves_only_keys_that_expire_or_always_stay(
    furnished: Furnished, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = furnished.web.cell
    assert {"e", "s", "t", "ix", "fin", "log"} <= families_without_ttl(cell)

    end_everything(furnished)
    deleted = retain(furnished, monkeypatch, after_days=32)

    assert deleted > 3
    assert families_without_ttl(cell) <= walk.PERMANENT | OF_A_TENANT
    assert ownerless(cell) == []


@pytest.mark.parametrize("key", ["{s1}:what:1", "rq:job:of-nobody", "other"])
def test_a_key_that_nothing_removes_is_found(furnished: Furnished, key: str) -> None:
    client = furnished.web.cell.client
    client.set(key, "x", ex=60)
    assert ownerless(furnished.web.cell) == []

    client.persist(key)

    [found] = ownerless(furnished.web.cell)
    assert "is an unknown key without a TTL" in found
