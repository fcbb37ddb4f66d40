"""What an event without gates costs the store: these commands, and no more."""

import asyncio
import pytest
import redis
import redis.asyncio
from collections.abc import Iterator
from scheduler_api.core.model import Draft, Outcome
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

# Per call and, behind the plus, for each of 50 events; the clock is the test's own.
CREATE = {
    **{"get": 1, "set": 1 + 50, "exists": 1 + 50},
    **{"hset": 50, "sadd": 1, "zadd": 2, "publish": 1},
}
CLAIM = {
    **{"mget": 1, "set": 2, "exists": 1, "zrange": 3},
    **{"zrangebyscore": 1, "zadd": 1, "zrem": 1},
}
BEGIN = {
    **{"exists": 1, "get": 1, "hgetall": 50, "zscore": 50},
    **{"getrange": 50, "hset": 50, "zadd": 50},
}
RENEW = {"hmget": 50, "zadd": 50}
DELIVERED = {
    **{"exists": 1, "hmget": 50, "hset": 100, "hdel": 50},
    **{"zadd": 100, "zrem": 100},
}
RETRY = {
    **{"hmget": 50, "hset": 100, "hincrby": 50, "hdel": 50},
    **{"exists": 1, "zadd": 50, "zrem": 100, "get": 1, "set": 1, "publish": 1},
}


class Bill:
    """What the server has run since the last look, commands of functions included."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._seen: dict[str, int] = {}
        self.since()

    def since(self) -> dict[str, int]:
        stats = self._client.info("commandstats")
        now = {
            name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()
        }
        spent = {name: count - self._seen.get(name, 0) for name, count in now.items()}
        self._seen = now
        ours = ("info", "fcall", "function|load", "hello", "client|setinfo", "flushall")
        return {name: n for name, n in spent.items() if n and name not in ours}


@pytest.fixture
def client(valkey: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        yield client


def test_an_event_without_gates_costs_these_commands(client: redis.Redis, valkey: str):
    asyncio.run(one_way(client, valkey))


async def one_way(client: redis.Redis, url: str) -> None:
    async_client = redis.asyncio.Redis.from_url(url)
    store = EventStore(Cell(client, PREFIX, clock_ms=1_000))
    worker = WorkerStore(async_client, store.cell, lease_ms=LEASE_MS)
    drafts = [Draft(CONTENT, DEADLINE_MS, at_ms=2_000)] * 50
    store._ids.take()
    claims.claim(store.cell, room=0, timeouts=TIMEOUTS)
    await worker.begin([])
    bill = Bill(client)

    store.create_many(OWNER, drafts)
    assert bill.since() == CREATE
    store.cell.clock_ms = 2_000
    ids = claims.claim(store.cell, room=100, timeouts=TIMEOUTS).ids
    assert bill.since() == CLAIM
    begun, _ = await worker.begin(
        ids, share={"limit": 50, "in_flight": {"d:1:other": 3}}
    )
    assert bill.since() == BEGIN
    await worker.renew(begun)
    assert bill.since() == RENEW
    await worker.settle([settlement(each) for each in begun])
    assert bill.since() == DELIVERED
    store.create_many(OWNER, drafts)
    begun, _ = await worker.begin(
        claims.claim(store.cell, room=100, timeouts=TIMEOUTS).ids
    )
    bill.since()
    later = [settlement(each, Outcome.RETRY, delay_ms=1_000) for each in begun]
    await worker.settle(later)
    assert bill.since() == RETRY
    await async_client.aclose()
