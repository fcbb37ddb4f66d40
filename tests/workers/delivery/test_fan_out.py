"""Tests of events for groups: the worker creates one event for each endpoint."""

import asyncio
import pytest
import redis
from collections.abc import Iterator
from dataclasses import dataclass
from scheduler_api.core.errors import NotFound
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import (
    Begun,
    Content,
    Event,
    Outcome,
    Owner,
    ScheduleOptions,
    State,
)
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import claims, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import ClaimTimeouts
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.leases import Settlement
from scheduler_api.core.store.reads import read_event
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.core.tenants.url_groups import Endpoint, Groups
from scheduler_api.dialects.qstash.cron_grammar import GRAMMAR as QSTASH
from scheduler_api.dialects.qstash.outbound import QstashOutbound
from scheduler_api.dialects.qstash.parsing.message import (
    Callback,
    Message,
    from_options,
    to_options,
)
from scheduler_api.settings import Settings
from tests.sync_worker import new_sync_worker
from typing import Any, cast
from workers.delivery.deliverer import Deliverer
from workers.delivery.fan_out import FanOut

OWNER = Owner("1", "qstash")
PREFIX = "{s1}:"
START_MS = 1_900_000_000_000
MINUTE_MS = 60_000
END_MS = START_MS + 2 * MINUTE_MS
TIMEOUTS = ClaimTimeouts(
    offer_ms=3_000, lease_ms=15_000, grace_ms=15_000, missed_grace_ms=60_000
)
MESSAGE = Message(topic="g", retries=1, callback=Callback("https://callback.example/"))
SETTINGS = Settings(redis_url="redis://localhost", secret_key="k" * 32)
EXPAND = QstashOutbound(SETTINGS).expand


class NoSecrets:
    """A key ring without secrets, because an event for a group is not signed."""

    async def of(self, _: str) -> Secrets:
        return Secrets({})


@dataclass
class Run:
    """The first run of a schedule, already begun. Its group has 100 endpoints."""

    store: EventStore
    groups: Groups
    begun: Begun

    def created(self) -> dict[str, Event]:
        """All unfinished events except the run, by destination."""
        index = keys.by_time(PREFIX, str(OWNER), "active")
        ids = cast(list[bytes], self.store.cell.client.zrange(index, 0, -1))
        events = [read_event(self.store.cell, OWNER, id_.decode()) for id_ in ids]
        others = [event for event in events if event.id != self.begun.id]
        assert len({event.content.url for event in others}) == len(others)
        return {event.content.url: event for event in others}

    def deliver(self) -> Settlement | None:
        """Deliver the run as a worker does."""
        settings = Settings(redis_url="redis://localhost", secret_key="k" * 32)
        unused = cast(Any, None)
        fan_out = FanOut(self.store)
        key_ring = cast(Any, NoSecrets())
        deliverer = Deliverer(unused, unused, key_ring, fan_out, settings=settings)
        return asyncio.run(deliverer.deliver(self.begun, may_write=lambda: True))


@pytest.fixture
def run(store_client: redis.Redis) -> Iterator[Run]:
    store = EventStore(Cell(store_client, PREFIX, clock_ms=START_MS))
    groups, schedules = Groups(store.cell), Schedules(store.cell, grace_ms=MINUTE_MS)
    endpoints = [Endpoint(f"https://{n}.example/", f"n{n}") for n in range(100)]
    groups.add(OWNER, "g", endpoints)
    schedule = schedules.create(
        OWNER,
        Content("g", b"x" * 5_000, to_options(MESSAGE)),
        expression="* * * * *",
        tz="UTC",
        grammar=QSTASH,
        deadline_ms=1_000,
        options=ScheduleOptions(end_ms=END_MS),
    )
    store.cell.clock_ms = schedule.times_ms[0]
    [event_id] = claims.claim(store.cell, room=10, timeouts=TIMEOUTS).ids
    worker = new_sync_worker(store_client, PREFIX, clock_ms=store.cell.clock_ms)
    [begun] = worker.begin(event_id)
    yield Run(store, groups, begun)
    assert walk.check(Cell(store_client, PREFIX)) == []


def test_each_endpoint_gets_its_own_message(run: Run):
    settlement = run.deliver()
    created = run.created()

    assert settlement is not None and settlement.outcome is Outcome.DELIVERED
    assert len(created) == 100
    for n in range(100):
        event = created[f"https://{n}.example/"]
        message = from_options(event.content.options)
        assert (message.topic, message.endpoint) == ("g", f"n{n}")
        assert message.schedule_id == f"scd_{run.begun.schedule}"
        assert (message.retries, message.callback) == (1, MESSAGE.callback)
        assert (event.content.body, event.wanted_ms) == (
            b"x" * 5_000,
            run.store.cell.clock_ms,
        )


def test_the_messages_of_a_run_have_the_end_of_the_schedule(run: Run):
    run.deliver()
    event_ids = [event.id for event in run.created().values()]
    claims.claim(run.store.cell, room=200, timeouts=TIMEOUTS)
    run.store.cell.clock_ms = END_MS + 1

    late = new_sync_worker(run.store.cell.client, PREFIX, clock_ms=END_MS + 1)
    begun, not_begun = late.try_begin(*event_ids)

    assert begun == []
    assert not_begun == dict.fromkeys(event_ids, "withdrawn")
    ended = read_event(run.store.cell, OWNER, event_ids[0])
    assert (ended.state, ended.reason) == (State.CANCELLED, "end")


def test_r23_a_crash_during_the_expansion_neither_loses_nor_repeats_a_message(
    run: Run,
):
    group = run.groups.get(OWNER, "g")
    drafts = EXPAND(run.begun, group)
    run.store.create_many(OWNER, drafts[:50])
    before = run.created()
    cancelled = before["https://7.example/"].id
    run.store.cancel(OWNER, [cancelled])
    run.deliver()
    created = run.created()

    assert len(created) == 99 and "https://7.example/" not in created
    assert all(
        created[url].id == event.id for url, event in before.items() if url in created
    )
    run.deliver()
    assert run.created() == created


def test_a_repeated_expansion_uses_the_current_endpoints_of_the_group(run: Run):
    FanOut(run.store).create(run.begun, "g", expand=EXPAND)
    run.groups.add(OWNER, "g", [Endpoint("https://late.example/")])
    run.groups.remove(OWNER, "g", urls=["https://1.example/"], names=[])
    run.deliver()

    assert len(run.created()) == 101


def test_a_run_of_a_deleted_group_is_a_dead_letter(run: Run):
    run.groups.delete(OWNER, "g")
    settlement = run.deliver()

    assert settlement is not None
    assert settlement.outcome is Outcome.DEAD
    assert settlement.reason == "group-missing"
    assert b'"error":"group-missing"' in settlement.log_entry
    [callback] = settlement.follow_ups
    assert callback.content.url == "https://callback.example/"


def test_a_group_of_another_owner_is_not_found(run: Run):
    run.groups.delete(OWNER, "g")
    run.groups.add(Owner("2", "qstash"), "g", [Endpoint("https://2.example/")])

    with pytest.raises(NotFound):
        FanOut(run.store).create(run.begun, "g", expand=EXPAND)


def test_a_full_store_refuses_the_expansion_until_there_is_room(run: Run):
    run.store.cell.client.set(keys.full(PREFIX), "1")

    assert not FanOut(run.store).create(run.begun, "g", expand=EXPAND)
    assert run.created() == {}
    run.store.cell.client.delete(keys.full(PREFIX))
    assert FanOut(run.store).create(run.begun, "g", expand=EXPAND)
    assert len(run.created()) == 100
