"""Tests that no settlement is lost if the store is unreachable or loses writes."""

import asyncio
import pytest
import redis
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from scheduler_api.core.model import Content, Draft, Outcome, Owner, State
from scheduler_api.core.store import claims, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import ClaimTimeouts
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.leases import Settled, Settlement, WorkerStore
from scheduler_api.core.store.reads import read_event
from scheduler_api.core.store.records import EVENT
from tests.core.function_calls import count_function_calls
from workers.delivery import settler
from workers.delivery.settler import Settler
from workers.redis_connection import RedisConnection

PREFIX = "{s1}:"
OWNER = Owner("1", "jiter")
TIMEOUTS = ClaimTimeouts(
    offer_ms=3_000, lease_ms=15_000, grace_ms=15_000, missed_grace_ms=60_000
)


class RecordingStore(WorkerStore):
    """A worker store that records the size of each `settle` call."""

    calls: list[int]

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        self.calls.append(len(settlements))
        return await super().settle(settlements)


@asynccontextmanager
async def running_settler(
    url: str,
) -> AsyncIterator[tuple[EventStore, RecordingStore, Settler]]:
    """An empty store and a running settler."""
    client, connection = redis.Redis.from_url(url), RedisConnection(url, timeout_s=5)
    client.flushall()
    cell = Cell(client, PREFIX)
    worker_store = RecordingStore(connection, cell, lease_ms=15_000)
    worker_store.calls = []
    running = Settler(worker_store, lambda _settlement, _settled: None)
    task = asyncio.create_task(running.run())
    try:
        yield EventStore(cell), worker_store, running
    finally:
        task.cancel()
        connection.close()
        client.close()


async def begin(store: EventStore, worker_store: WorkerStore, count: int):
    drafts = [Draft(Content("http://a/", b"x"), 1_000)] * count
    accepted = store.create_many(OWNER, drafts)
    while claimed := claims.claim(store.cell, room=1_000, timeouts=TIMEOUTS).ids:
        await worker_store.begin(claimed)
    client, token = store.cell.client, EVENT.code("token")
    tokens = {
        each.id: client.hget(keys.event(PREFIX, each.id), token) for each in accepted
    }
    return [
        Settlement(event_id, found.decode(), 1, Outcome.DELIVERED, b"{}")
        for event_id, found in tokens.items()
    ]


async def until_delivered(store: EventStore, *event_ids: str) -> None:
    async with asyncio.timeout(10):
        while any(
            read_event(store.cell, OWNER, each).state is not State.DELIVERED
            for each in event_ids
        ):
            await asyncio.sleep(0.01)


def test_a_settlement_lost_in_a_failover_is_repeated_after_the_reconnect(valkey: str):
    async def run() -> None:
        async with running_settler(valkey) as (store, worker_store, running):
            first, second = await begin(store, worker_store, 2)
            key = keys.event(PREFIX, first.event_id)
            before = store.cell.client.dump(key)
            running.add(first)
            await until_delivered(store, first.event_id)
            store.cell.client.restore(key, 0, before, replace=True)
            store.cell.client.zadd(keys.leased(PREFIX), {first.event_id: 1})
            for each in store.cell.client.client_list():
                if each["id"] != str(store.cell.client.client_id()):
                    store.cell.client.client_kill_filter(_id=each["id"])

            running.add(second)

            await until_delivered(store, first.event_id, second.event_id)

    asyncio.run(run())


def test_without_a_reconnect_no_settlement_is_repeated(valkey: str):
    async def run() -> None:
        async with running_settler(valkey) as (store, worker_store, running):
            first, second = await begin(store, worker_store, 2)
            running.add(first)
            await until_delivered(store, first.event_id)
            store.cell.client.config_resetstat()

            running.add(second)

            await until_delivered(store, second.event_id)
            assert count_function_calls(store.cell.client) == 1

    asyncio.run(run())


def test_many_settlements_are_sent_in_several_calls(valkey: str):
    async def run() -> None:
        async with running_settler(valkey) as (store, worker_store, running):
            count = 2 * settler.MAX_BATCH + 1
            settlements = await begin(store, worker_store, count)

            for settlement in settlements:
                running.add(settlement)

            await until_delivered(store, *(s.event_id for s in settlements))
            maximum = settler.MAX_BATCH
            assert worker_store.calls == [maximum, maximum, 1]

    asyncio.run(run())


def test_settlements_are_kept_while_the_store_refuses_them(
    valkey: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(settler, "RETRY_INTERVAL_S", 0.01)

    async def run() -> None:
        async with running_settler(valkey) as (store, worker_store, running):
            [settlement] = await begin(store, worker_store, 1)
            store.cell.client.acl_setuser(
                "default", enabled=True, categories=["-scripting"]
            )
            running.add(settlement)
            async with asyncio.timeout(10):
                while len(worker_store.calls) < 2:
                    await asyncio.sleep(0.01)
            store.cell.client.acl_setuser("default", enabled=True, categories=["+@all"])

            await until_delivered(store, settlement.event_id)

    asyncio.run(run())
