"""Tests of what a worker says about events that it cannot begin."""

import asyncio
import logging
import pytest
import redis
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store import claims, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import ClaimTimeouts
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.leases import WorkerStore
from scheduler_api.core.store.records import EVENT
from tests.sync_worker import AwaitableClient
from typing import Any, cast
from workers.delivery.in_flight import InFlight

PREFIX = "{s1}:"
TIMEOUTS = ClaimTimeouts(
    offer_ms=3_000, lease_ms=15_000, grace_ms=15_000, missed_grace_ms=60_000
)


def test_an_event_that_a_worker_cannot_read_is_logged_with_its_id_and_the_reason(
    store_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    cell = Cell(store_client, PREFIX)
    client = cast(Any, AwaitableClient(store_client))
    store = WorkerStore(client, cell, lease_ms=15_000)
    draft = Draft(Content("http://a/", b""), 1_000)
    [event] = EventStore(cell).create_many(Owner("1", "qstash"), [draft])
    claimed = claims.claim(cell, room=10, timeouts=TIMEOUTS).ids
    store_client.hset(keys.event(PREFIX, event.id), EVENT.code("due_ms"), "soon")

    async def accept() -> None:
        deliverer = cast(Any, None)
        in_flight = InFlight(store, deliverer, capacity=10, renew_interval_ms=5_000)
        await in_flight.accept(claimed, isolated=False)

    with caplog.at_level(logging.INFO):
        asyncio.run(accept())

    assert caplog.messages == [
        f"record.quarantined event=msg_{event.id} owner=1:qstash"
        ' problem="due_ms is not an integer: soon"'
    ]
