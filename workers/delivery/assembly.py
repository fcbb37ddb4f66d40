"""Builds the parts of a delivering worker from its settings."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import RETRY_ONCE, TIMEOUT_S, connect
from scheduler_api.core.store.content_encryption import content_cipher
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.leases import WorkerStore
from scheduler_api.core.traces import open_spans
from scheduler_api.dialects import outbound
from workers import supervision
from workers.bootstrap import address_policy
from workers.delivery.attempt_counts import AttemptCounts
from workers.delivery.breaker_reports import BreakerReports
from workers.delivery.deliverer import Deliverer
from workers.delivery.fan_out import FanOut
from workers.delivery.freezes import Freezes
from workers.delivery.in_flight import InFlight
from workers.delivery.key_ring import KeyRing
from workers.delivery.own_faults import OwnFaults
from workers.delivery.pacer import Pacer
from workers.delivery.suspicion import Suspicion
from workers.descriptors import reserve
from workers.http_client.client import HttpClient
from workers.redis_connection import RedisConnection

# The request limit of the HTTP client, divided by the maximum number of deliveries in
# flight. It exceeds 1, so that no request has to wait in the client: the time that a
# request waits counts towards its deadline.
HTTP_CLIENT_LIMIT_FACTOR = 2


@asynccontextmanager
async def open_in_flight(
    settings: EngineSettings, *, preload_tenants: int = 0
) -> AsyncIterator[InFlight]:
    """Create an `InFlight` with its own connections and background tasks.

    On exit, deliveries in flight are aborted; their events become due again when their
    leases end.

    Args:
        preload_tenants: the number of tenants whose secrets are read in advance.

    Raises: TooFewDescriptors.
    """
    capacity = settings.max_in_flight
    limit = capacity * HTTP_CLIENT_LIMIT_FACTOR
    connections_max = min(2 * limit, reserve(capacity) - capacity)
    connection = RedisConnection(settings.store_url, timeout_s=TIMEOUT_S)
    client = connect(settings.store_url, retry=RETRY_ONCE)
    cell = Cell(client, settings.prefix, cipher=content_cipher(settings))
    store = WorkerStore(connection, cell, lease_ms=settings.lease_ms)
    ring = KeyRing(outbound.tenants(cell, settings))
    fan_out = FanOut(EventStore(cell, caps=settings.caps))
    http_client = HttpClient(
        address_policy(settings),
        limit=limit,
        connections_max=connections_max,
        body_cap_bytes=settings.response_log_bytes,
    )
    longest_holds_ms = outbound.longest_holds_ms(settings)
    pacer, counts = Pacer(settings.breaker_attempts), AttemptCounts(store)
    suspicion, freezes = Suspicion(), Freezes()
    spans = open_spans(are_wanted=settings.wants_traces, role="worker")
    breakers = BreakerReports(
        store,
        replace(settings.breaker_limits, longest_holds_ms=longest_holds_ms),
        pacer=pacer,
        suspicion=suspicion,
    )
    async with http_client:
        deliverer = Deliverer(
            store,
            http_client,
            ring,
            fan_out,
            settings=settings,
            cipher=cell.cipher,
            own_faults=OwnFaults(suspicion, freezes),
            on_result=breakers.count,
            spans=spans,
        )
        in_flight = InFlight(
            store,
            deliverer,
            capacity=capacity,
            renew_interval_ms=settings.renew_interval_ms,
            share_percent=settings.destination_share_percent,
            pacer=pacer,
            suspicion=suspicion,
            counts=counts,
        )
        background = [
            supervision.watch(asyncio.create_task(breakers.run(), name="reports")),
            supervision.watch(asyncio.create_task(freezes.run(), name="freezes")),
            supervision.watch(asyncio.create_task(ring.run(), name="key ring")),
            supervision.watch(asyncio.create_task(counts.run(), name="counts")),
        ]
        try:
            if preload_tenants:
                await ring.preload(preload_tenants)
            yield in_flight
        finally:
            await in_flight.close()
            for task in background:
                task.cancel()
            await counts.write()
            connection.close()
            if spans is not None:
                spans.close()
