"""Settles attempts in batches; keeps the outcomes while the store is unreachable."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.batches import batches
from scheduler_api.core.store.connection import RETRY_INTERVAL_S
from scheduler_api.core.store.leases import Settled, Settlement, WorkerStore

log = logging.getLogger("scheduler.worker")

# The maximum number of events that are begun or settled in one call. The limit makes a
# full worker use several calls, so that begin, send and settle overlap. With a single
# large call, store and worker would work in turns, each idle half of the time.
MAX_BATCH = 25
REPEATED_S = 5.0
MAX_REPEATED = 10_000


class Settler:
    """A queue of settlements; `run` is the only task that writes them to the store.

    After a reconnect, `run` repeats the settlements of the last five seconds, because
    the store may have failed over and lost its latest writes. If a settlement was not
    lost, its repetition has no effect.

    Args:
        on_settled: called with each settlement and the answer of the store.
    """

    def __init__(
        self, store: WorkerStore, on_settled: Callable[[Settlement, Settled], None]
    ) -> None:
        self._store = store
        self._on_settled = on_settled
        self._waiting: list[Settlement] = []
        self._recent: deque[tuple[float, Settlement]] = deque(maxlen=MAX_REPEATED)
        self._connects_seen = 0
        self._added = asyncio.Event()

    def add(self, settlement: Settlement) -> None:
        """Queue a settlement; it is kept until the store has accepted it."""
        self._waiting.append(settlement)
        self._added.set()

    async def run(self) -> None:
        """Settle until cancelled."""
        while True:
            await self._added.wait()
            batch = self._waiting[:MAX_BATCH]
            await self._settle(batch)
            del self._waiting[: len(batch)]
            if not self._waiting:
                self._added.clear()

    async def _settle(self, batch: list[Settlement]) -> None:
        results = await self._settle_with_retries(batch)
        now_s = time.monotonic()
        self._forget_before(now_s - REPEATED_S)
        for settlement, settled in zip(batch, results, strict=True):
            self._recent.append((now_s, settlement))
            self._on_settled(settlement, settled)

    def _forget_before(self, earliest_s: float) -> None:
        while self._recent and self._recent[0][0] < earliest_s:
            self._recent.popleft()

    async def _settle_with_retries(self, batch: list[Settlement]) -> list[Settled]:
        while True:
            try:
                results = await self._store.settle(batch)
                await self._repeat_after_reconnect()
                return results
            except RedisError as err:
                log.warning(
                    logfmt.line(
                        "settle.failed", waiting=len(self._waiting), problem=err
                    )
                )
                await asyncio.sleep(RETRY_INTERVAL_S)

    async def _repeat_after_reconnect(self) -> None:
        """Repeat recent settlements if the worker has a new connection to the store."""
        connects = self._store.connects
        if connects == self._connects_seen:
            return
        recent = [settlement for _, settlement in self._recent]
        for batch in batches(recent, MAX_BATCH):
            await self._store.settle(batch)
        self._connects_seen = connects
