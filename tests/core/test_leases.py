"""A worker's store and its connections; its scripts have modules of their own."""

import pytest
import redis.asyncio
import uvloop
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from scheduler_api.core.leases import WorkerStore
from tests.core.engine import LEASE_MS, PREFIX


def test_r06_a_closed_connection_is_a_store_that_is_away(valkey: str):
    async def main() -> None:
        client = redis.asyncio.Redis.from_url(valkey, retry=Retry(NoBackoff(), 0))
        store = WorkerStore(client, PREFIX, lease_ms=LEASE_MS)
        await store.release(["unknown"])
        connection = await client.connection_pool.get_connection()
        # Nothing public closes it behind the client's back, as an outage does.
        connection._writer.transport.abort()
        await client.connection_pool.release(connection)

        with pytest.raises(redis.ConnectionError):
            await store.release(["unknown"])
        assert await store.release(["unknown"]) == 0
        await client.aclose()

    uvloop.run(main())
