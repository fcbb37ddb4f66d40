"""Tests of the number of round trips to the store in each step of an event."""

import asyncio
import pytest
import redis
import redis.asyncio
from itertools import pairwise
from scheduler_api.core.model import Draft, FlowLimits, Gates
from scheduler_api.core.store import claims
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.leases import WorkerStore
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_MS,
    OWNER,
    PREFIX,
    TIMEOUTS,
    settlement,
)
from tests.core.round_trips import (
    AsyncCountingConnection,
    CountingConnection,
    RoundTrips,
)

GATES = {
    "ungated": Gates(),
    "gated": Gates(flow=FlowLimits("customer", parallelism=100, rate=100)),
}


@pytest.mark.parametrize("gates", GATES.values(), ids=GATES)
def test_each_step_of_an_event_needs_one_round_trip(valkey: str, gates: Gates):
    asyncio.run(count_round_trips(valkey, gates))


async def count_round_trips(url: str, gates: Gates) -> None:
    trips = RoundTrips()
    pool = redis.ConnectionPool.from_url(
        url, connection_class=CountingConnection, trips=trips
    )
    async_pool = redis.asyncio.ConnectionPool.from_url(
        url, connection_class=AsyncCountingConnection, trips=trips
    )
    client, async_client = (
        redis.Redis.from_pool(pool),
        redis.asyncio.Redis.from_pool(async_pool),
    )
    client.flushall()
    store = EventStore(Cell(client, PREFIX, clock_ms=1_000))
    worker = WorkerStore(async_client, store.cell, lease_ms=LEASE_MS)

    draft = Draft(CONTENT, DEADLINE_MS, at_ms=2_000, ascending=True, gates=gates)

    def create() -> None:
        store.create_many(OWNER, [draft])

    create()
    claims.claim(store.cell, room=0, timeouts=TIMEOUTS)
    await worker.begin([])
    await worker.settle([])
    await worker.renew([])
    await worker.release([])
    counts = []

    for _ in range(50):
        create()
    counts.append(trips.count)
    store.cell.clock_ms = 2_000
    ids = claims.claim(store.cell, room=100, timeouts=TIMEOUTS).ids
    counts.append(trips.count)
    begun, _ = await worker.begin(ids[1:])
    counts.append(trips.count)
    await worker.renew(begun)
    counts.append(trips.count)
    await worker.settle([settlement(each) for each in begun])
    counts.append(trips.count)
    await worker.release(ids[:1])
    counts.append(trips.count)

    await async_client.aclose()
    client.close()
    steps = [after - before for before, after in pairwise(counts)]
    assert len(begun) == 50
    assert steps == [1] * 5


@pytest.mark.parametrize("ascending", [False, True])
def test_a_creation_needs_one_round_trip_including_its_id(valkey: str, ascending: bool):
    trips = RoundTrips()
    pool = redis.ConnectionPool.from_url(
        valkey, connection_class=CountingConnection, trips=trips
    )
    with redis.Redis.from_pool(pool) as client:
        client.flushall()
        store = EventStore(Cell(client, PREFIX, clock_ms=1_000))
        drafts = [Draft(CONTENT, DEADLINE_MS, at_ms=2_000, ascending=ascending)]
        store.create_many(OWNER, drafts)
        before = trips.count

        for _ in range(99):
            store.create_many(OWNER, drafts)

        assert trips.count - before == 99
        store.create_many(OWNER, drafts)
        assert trips.count - before == (100 if ascending else 101)
