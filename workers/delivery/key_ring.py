"""The signing keys of tenants, at hand: at most a tenant's first delivery reads them.

Whatever happens between begin and send makes a rate uneven at the receiver.
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
from scheduler_api.core.tenants.accounts import KEYS_KEPT_S, SigningKeys, Tenants

log = logging.getLogger("scheduler.worker")

CHECK_EVERY_S = KEYS_KEPT_S / 2


class KeyRing:
    """Keeps keys while nobody has rotated any, which it asks in the background.

    Lives on one event loop.
    """

    def __init__(
        self, tenants: Tenants, *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._tenants = tenants
        self._clock_s = clock_s
        self._stamp: bytes | None = None
        self._kept: dict[str, SigningKeys] = {}
        self._sound_until_s = -math.inf
        self._asking: dict[str | None, asyncio.Task[None]] = {}

    async def look_ahead(self, most: int) -> None:
        """Reads the keys of the newest tenants, for their first deliveries here."""
        with suppress(RedisError):
            await self._share(None)
            tenants = await asyncio.to_thread(self._tenants.all_ids)
            for tenant in tenants[-most:]:
                with suppress(SchedulerError):
                    await self._share(tenant)

    async def run(self) -> None:
        """Asks twice as often as keys may be kept, until cancelled."""
        while True:
            try:
                await self._share(None)
            except RedisError as err:
                log.warning(logfmt.line("store.unreachable", problem=err))
            await asyncio.sleep(CHECK_EVERY_S)

    async def of(self, tenant: str) -> SigningKeys:
        """A tenant's keys, as they were a second ago or later.

        Raises: NotFound, WrongSecretKey.
        """
        while True:
            try:
                if self._clock_s() >= self._sound_until_s:
                    await self._share(None)
                kept = self._kept.get(tenant)
                if kept is not None:
                    return kept
                await self._share(tenant)
            except RedisError:
                await asyncio.sleep(RETRY_INTERVAL_S)

    async def _share(self, tenant: str | None) -> None:
        """Has one question asked for everybody who waits for its answer."""
        asking = self._asking.get(tenant)
        if asking is None:
            work = self._check() if tenant is None else self._read(tenant)
            asking = self._asking[tenant] = asyncio.create_task(work)
            asking.add_done_callback(lambda _: self._asking.pop(tenant))
        await asking

    async def _check(self) -> None:
        asked_s = self._clock_s()
        stamp = await asyncio.to_thread(self._tenants.rotated)
        if stamp != self._stamp:
            # A read on its way still fills the ring of before, which nobody asks.
            self._stamp, self._kept = stamp, {}
        self._sound_until_s = asked_s + KEYS_KEPT_S

    async def _read(self, tenant: str) -> None:
        kept = self._kept
        kept[tenant] = await asyncio.to_thread(self._tenants.signing, tenant)
