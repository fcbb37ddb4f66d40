"""Puts together from the settings what a worker delivers with."""

import asyncio
import os
import redis
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from redis.backoff import NoBackoff
from redis.retry import Retry
from scheduler_api.core.delivery.destinations import Address, AddressPolicy
from scheduler_api.core.settings.engine import Settings, from_env
from scheduler_api.core.store.events import Store
from scheduler_api.core.store.leases import WorkerStore
from scheduler_api.core.tenants.accounts import Tenants
from workers import supervision
from workers.delivery.breaker_reports import Breakers
from workers.delivery.deliverer import Deliverer
from workers.delivery.fan_out import FanOut
from workers.delivery.in_flight import InFlight
from workers.delivery.key_ring import KeyRing
from workers.http_client.client import HttpClient
from workers.http_client.local_addresses import own_addresses
from workers.redis_connection import RedisConnection

TIMEOUT_S = 5
HTTP_CLIENT_ROOM = 2


def read_settings() -> Settings:
    """This process's settings, from its environment.

    Raises: SettingsError.
    """
    return from_env(os.environ)


def connect(settings: Settings) -> redis.Redis:
    """A client for what a worker does besides deliveries; one silent repeat."""
    return redis.Redis.from_url(
        settings.redis_url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 1),
    )


def address_policy(settings: Settings) -> AddressPolicy:
    """Which addresses deliveries may reach: never the store's port, never our own."""
    closed: set[tuple[Address | None, int]] = {(None, settings.port)}
    if settings.store_address is not None:
        host, port = settings.store_address
        closed.add((None, port))
        closed.update((ip_address(address), port) for address in _addresses_of(host))
    return replace(
        AddressPolicy.of(settings),
        own_addresses=own_addresses(),
        closed_ports=frozenset(closed),
    )


def _addresses_of(host: str) -> set[str]:
    """The store may stand inside an allowed network, on another machine."""
    try:
        answers = socket.getaddrinfo(host, None)
    except OSError:
        return set()
    return {str(answer[4][0]).partition("%")[0] for answer in answers}


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
    store = WorkerStore(connection, settings.prefix, lease_ms=settings.lease_ms)
    blocking = connect(settings)
    ring = KeyRing(Tenants(blocking, settings.prefix, secret_key=settings.secret_key))
    fan_outs = FanOut(Store(blocking, settings.prefix, caps=settings.caps))
    http_client = HttpClient(
        address_policy(settings),
        limit=settings.window * HTTP_CLIENT_ROOM,
        body_cap_bytes=settings.response_log_bytes,
    )
    breakers = Breakers(store, settings.breaker_terms)
    async with http_client:
        deliverer = Deliverer(
            store,
            http_client,
            ring,
            fan_outs,
            settings=settings,
            on_result=breakers.note,
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
