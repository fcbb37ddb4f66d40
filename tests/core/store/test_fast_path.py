"""Tests of the number of Redis commands that events without gates need."""

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

# The number of times that each call runs each Redis command, for 50 events. TIME is
# not among the commands, because the test sets the clock.
CREATE = {
    **{"get": 1, "set": 1 + 50, "exists": 1 + 50},
    **{"hset": 50, "sadd": 1, "zadd": 2, "hincrby": 1, "publish": 1},
}
CLAIM = {
    **{"mget": 2, "set": 2, "exists": 1, "zrange": 3},
    **{"zrangebyscore": 1, "zadd": 1, "zrem": 1},
}
BEGIN = {
    **{"exists": 1, "get": 1, "mget": 1, "hgetall": 50, "zmscore": 1},
    **{"getrange": 50, "hset": 50, "zadd": 1},
}
RENEW = {"hmget": 50, "zadd": 50}
DELIVERED = {
    **{"exists": 2, "hmget": 50, "hset": 100, "hdel": 50},
    **{"zadd": 2, "zrem": 2},
}
RETRY = {
    **{"hmget": 50, "hset": 100, "hincrby": 50, "hdel": 50},
    **{"exists": 2, "zadd": 50, "zrem": 100, "get": 1, "set": 1, "publish": 1},
}


class CommandCounter:
    """Counts the commands that the server runs, including commands in functions."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._before: dict[str, int] = {}
        self.new()

    def new(self) -> dict[str, int]:
        stats = self._client.info("commandstats")
        counts = {
            name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()
        }
        new = {
            name: count - self._before.get(name, 0) for name, count in counts.items()
        }
        self._before = counts
        ignored = (
            "info",
            "fcall",
            "function|load",
            "hello",
            "client|setinfo",
            "flushall",
        )
        return {name: n for name, n in new.items() if n and name not in ignored}


@pytest.fixture
def client(valkey: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        yield client


def test_an_event_without_gates_needs_these_commands(client: redis.Redis, valkey: str):
    asyncio.run(count_commands(client, valkey))


async def count_commands(client: redis.Redis, url: str) -> None:
    async_client = redis.asyncio.Redis.from_url(url)
    store = EventStore(Cell(client, PREFIX, clock_ms=1_000))
    worker = WorkerStore(async_client, store.cell, lease_ms=LEASE_MS)
    drafts = [Draft(CONTENT, DEADLINE_MS, at_ms=2_000)] * 50
    store._ids.take()
    claims.claim(store.cell, room=0, timeouts=TIMEOUTS)
    await worker.begin([])
    commands = CommandCounter(client)

    store.create_many(OWNER, drafts)
    assert commands.new() == CREATE
    store.cell.clock_ms = 2_000
    ids = claims.claim(store.cell, room=100, timeouts=TIMEOUTS).ids
    assert commands.new() == CLAIM
    begun, _ = await worker.begin(ids)
    assert commands.new() == BEGIN
    await worker.renew(begun)
    assert commands.new() == RENEW
    await worker.settle([settlement(each) for each in begun])
    assert commands.new() == DELIVERED
    store.create_many(OWNER, drafts)
    begun, _ = await worker.begin(
        claims.claim(store.cell, room=100, timeouts=TIMEOUTS).ids
    )
    commands.new()
    later = [settlement(each, Outcome.RETRY, delay_ms=1_000) for each in begun]
    await worker.settle(later)
    assert commands.new() == RETRY
    await async_client.aclose()
