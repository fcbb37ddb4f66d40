"""A cache of tenants' secrets.

Due to the cache, only the first delivery of a tenant waits until its secrets are read.
If every delivery waited before it is sent, receivers would get requests at an uneven
rate.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.store.connection import RETRY_INTERVAL_S
from scheduler_api.core.tenants.accounts import SECRETS_CACHED_S, Tenants
from scheduler_api.core.tenants.secrets import Secrets

log = logging.getLogger("scheduler.worker")

CHECK_EVERY_S = SECRETS_CACHED_S / 2


class KeyRing:
    """Caches secrets; `run` empties the cache when secrets of any tenant are rotated.

    Use an instance on one event loop only; it is not thread-safe.
    """

    def __init__(
        self, tenants: Tenants, *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._tenants = tenants
        self._clock_s = clock_s
        self._rotation: bytes | None = None
        self._cached: dict[str, Secrets] = {}
        self._valid_until_s = -math.inf
        self._reads: dict[str | None, asyncio.Task[None]] = {}

    async def preload(self, count: int) -> None:
        """Read the secrets of the `count` newest tenants in advance."""
        with suppress(RedisError):
            await self._shared_read(None)
            tenants = await asyncio.to_thread(self._tenants.all_ids)
            for tenant in tenants[-count:]:
                with suppress(SchedulerError):
                    await self._shared_read(tenant)

    async def run(self) -> None:
        """Check for rotations twice per cache lifetime, until cancelled."""
        while True:
            try:
                await self._shared_read(None)
            except RedisError as err:
                log.warning(logfmt.line("store.unreachable", problem=err))
            await asyncio.sleep(CHECK_EVERY_S)

    async def of(self, tenant: str) -> Secrets:
        """Return the secrets of a tenant, at most `SECRETS_CACHED_S` old.

        Waits while the store is unavailable.

        Raises: NotFound, WrongSecretKey.
        """
        while True:
            try:
                if self._clock_s() >= self._valid_until_s:
                    await self._shared_read(None)
                cached = self._cached.get(tenant)
                if cached is not None:
                    return cached
                await self._shared_read(tenant)
            except RedisError:
                await asyncio.sleep(RETRY_INTERVAL_S)

    async def _shared_read(self, tenant: str | None) -> None:
        """Read the secrets of a tenant, or check for rotations if `tenant` is None.

        Concurrent callers share one read.
        """
        task = self._reads.get(tenant)
        if task is None:
            work = self._check() if tenant is None else self._read(tenant)
            task = self._reads[tenant] = asyncio.create_task(work)
            task.add_done_callback(lambda _: self._reads.pop(tenant))
        await task

    async def _check(self) -> None:
        started_s = self._clock_s()
        rotation = await asyncio.to_thread(self._tenants.rotated)
        if rotation != self._rotation:
            # Replace the dict instead of emptying it. A read that began before the
            # rotation then stores its old secrets in the old dict.
            self._rotation, self._cached = rotation, {}
        self._valid_until_s = started_s + SECRETS_CACHED_S

    async def _read(self, tenant: str) -> None:
        cached = self._cached
        cached[tenant] = await asyncio.to_thread(self._tenants.secrets, tenant)
