"""An API on a real store, and a worker that sends real HTTP requests to receivers.

Tests set the worker's clock instead of waiting for fire times and retries.
"""

import asyncio
import redis
from collections.abc import Sequence
from scheduler_api.app import create_app
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.model import Begun
from scheduler_api.core.settings.variables import read_networks
from scheduler_api.core.store import claims, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.leases import Settlement
from scheduler_api.core.tenants.accounts import NewTenant
from scheduler_api.core.traces import Spans
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings
from tests.dialects.engine import TIMEOUTS
from tests.sync_worker import SyncWorker, new_sync_worker
from tests.workers.http_client.sending import system_tls
from typing import Any, cast
from workers.delivery.deliverer import Deliverer
from workers.delivery.fan_out import FanOut
from workers.delivery.key_ring import KeyRing
from workers.http_client.client import HttpClient
from workers.http_client.resolver import Lookup, resolve

SECRET_KEY = "0123456789abcdef"
MAX_CLAIMS = 1_000


class World:
    """The API under test, and a worker whose clock shows `now_ms`.

    `lookup` resolves the names of destinations for the worker. Only destinations in
    the networks `allow` are allowed, and public ones.
    """

    def __init__(
        self,
        store_url: str,
        *,
        allow: str = "127.0.0.0/8",
        spans: Spans | None = None,
        **changes: Any,
    ) -> None:
        self.settings = Settings(
            redis_url=store_url,
            secret_key=SECRET_KEY,
            allow_networks=read_networks(allow),
            **changes,
        )
        self._spans = spans
        self.app = create_app(self.settings)
        self.cell = Cell(redis.Redis.from_url(store_url), self.settings.prefix)
        self.now_ms = self.cell.now_ms()
        self.lookup: Lookup = resolve

    def new_tenant(self) -> NewTenant:
        return outbound.tenants(self.cell, self.settings).create("test")

    def run_for(self, duration_ms: int) -> None:
        """Advance the worker's clock, and deliver all webhooks that become due."""
        end_ms = max(self.now_ms, self.cell.now_ms()) + duration_ms
        for _ in range(MAX_CLAIMS):
            due = self.cell.client.zrange(
                keys.due(self.settings.prefix), 0, 0, withscores=True
            )
            wanted = cast(list[tuple[bytes, float]], due)
            if not wanted or wanted[0][1] > end_ms:
                self.now_ms = end_ms
                return
            self.now_ms = max(self.now_ms, int(wanted[0][1]))
            self._deliver_due()
        raise AssertionError("the due set never empties")

    def _deliver_due(self) -> None:
        cell = Cell(self.cell.client, self.cell.prefix, clock_ms=self.now_ms)
        ids = claims.claim(cell, room=100, timeouts=TIMEOUTS).ids
        worker = new_sync_worker(cell.client, cell.prefix, clock_ms=self.now_ms)
        if begun := worker.begin(*ids) if ids else []:
            settlements = asyncio.run(self._send(cell, worker, begun))
            worker.settle(*settlements)

    async def _send(
        self, cell: Cell, worker: SyncWorker, begun: Sequence[Begun]
    ) -> list[Settlement]:
        ring = KeyRing(outbound.tenants(cell, self.settings))
        policy = AddressPolicy.of(self.settings)
        client = HttpClient(
            policy,
            limit=10,
            body_cap_bytes=4096,
            tls=system_tls(),
            lookup=self.lookup,
        )
        async with client as http_client:
            deliverer = Deliverer(
                worker.store,
                http_client,
                ring,
                FanOut(EventStore(cell)),
                settings=self.settings,
                spans=self._spans,
            )
            deliveries = (deliverer.deliver(b, may_write=lambda: True) for b in begun)
            settled = await asyncio.gather(*deliveries)
        return [settlement for settlement in settled if settlement is not None]
