"""Puts together from the settings what a worker delivers with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import RETRY_ONCE, TIMEOUT_S, connect
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.leases import WorkerStore
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.settings import Settings
from workers import supervision
from workers.bootstrap import address_policy
from workers.delivery.breaker_reports import BreakerReports
from workers.delivery.deliverer import Deliverer
from workers.delivery.fan_out import FanOut
from workers.delivery.in_flight import InFlight
from workers.delivery.key_ring import KeyRing
from workers.http_client.client import HttpClient
from workers.redis_connection import RedisConnection

HTTP_CLIENT_ROOM = 2


@asynccontextmanager
async def open_in_flight(
    settings: Settings, *, tenants_ahead: int = 0
) -> AsyncIterator[InFlight]:
    """The deliveries of a worker, with connections of their own.

    At the end it leaves what is in hand to its leases.

    Args:
        tenants_ahead: how many tenants' keys are read at once, by a worker that lasts.
    """
    connection = RedisConnection(settings.redis_url, timeout_s=TIMEOUT_S)
    client = connect(settings.redis_url, retry=RETRY_ONCE)
    cell = Cell(client, settings.prefix)
    store = WorkerStore(connection, cell, lease_ms=settings.lease_ms)
    ring = KeyRing(Tenants(cell, secret_key=settings.secret_key))
    fan_outs = FanOut(EventStore(cell, caps=settings.caps))
    http_client = HttpClient(
        address_policy(settings),
        limit=settings.window * HTTP_CLIENT_ROOM,
        body_cap_bytes=settings.response_log_bytes,
    )
    breakers = BreakerReports(store, settings.breaker_limits)
    async with http_client:
        deliverer = Deliverer(
            store,
            http_client,
            ring,
            fan_outs,
            settings=settings,
            on_result=breakers.count,
        )
        in_flight = InFlight(
            store,
            deliverer,
            capacity=settings.window,
            renew_interval_ms=settings.renew_interval_ms,
            share_percent=settings.destination_share_percent,
        )
        beside = [
            supervision.watch(asyncio.create_task(breakers.run(), name="reports")),
            supervision.watch(asyncio.create_task(ring.run(), name="key ring")),
        ]
        try:
            if tenants_ahead:
                await ring.look_ahead(tenants_ahead)
            yield in_flight
        finally:
            await in_flight.close()
            for task in beside:
                task.cancel()
            connection.close()
