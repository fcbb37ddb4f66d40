"""Runs the deliveries of a worker on an event loop in a separate thread."""

import asyncio
import logging
import threading
import time
import uvloop
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from rq import Queue
from scheduler_api.core import logfmt
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store.connection import TIMEOUT_S
from scheduler_api.core.store.processes import SignOfLife
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings
from typing import Any, TypeVar
from workers.bootstrap import open_cell
from workers.delivery.assembly import open_in_flight
from workers.delivery.fetcher import Fetcher
from workers.delivery.in_flight import InFlight
from workers.delivery.planner import top_up
from workers.delivery.slowness import Slowness
from workers.redis_connection import RedisConnection

log = logging.getLogger("scheduler.worker")

PRELOADED_TENANTS = 100

T = TypeVar("T")


class DeliveryLoop:
    """Controls the deliveries on the event loop from RQ's thread.

    Do not call the methods on the thread of the event loop.
    """

    def __init__(self, queue: Queue, settings: Settings) -> None:
        self.settings = settings
        cell = open_cell(self.settings)
        self._sign = SignOfLife(
            *(cell, "worker"), settings=settings.digest(), shared=settings.shared()
        )
        outbound.tenants(cell, self.settings).check_key()
        self._cell = cell
        self._schedules = Schedules(cell, grace_ms=self.settings.missed_grace_ms)
        self._planner = ThreadPoolExecutor(1, thread_name_prefix="planner")
        self._loop = uvloop.new_event_loop()
        self._open = AsyncExitStack()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._in_flight: InFlight = self._run(
            self._open.enter_async_context(
                open_in_flight(self.settings, preload_tenants=PRELOADED_TENANTS)
            )
        )
        self._slowness = Slowness(self.settings.max_in_flight)
        self._connection = RedisConnection(self.settings.store_url, timeout_s=TIMEOUT_S)
        self._open.callback(self._connection.close)
        self._fetcher = Fetcher(self._connection, queue, self._in_flight, self._plan)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @property
    def in_flight(self) -> int:
        """The number of events that are begun and not yet settled."""
        return self._in_flight.count

    @property
    def delivered(self) -> int:
        """The number of attempts so far that have delivered their event."""
        return self._in_flight.counts.delivered

    @property
    def failed(self) -> int:
        """The number of attempts so far that have failed."""
        return self._in_flight.counts.failed

    def _plan(self, schedule_ids: list[str]) -> None:
        self._planner.submit(self._top_up, schedule_ids)

    def _top_up(self, schedule_ids: list[str]) -> None:
        try:
            top_up(self._cell, self._schedules, schedule_ids)
        except Exception:
            # Do not try again here: in five seconds, another envelope contains these
            # schedules.
            log.exception(logfmt.line("schedules.not_planned", count=len(schedule_ids)))

    @property
    def fetched(self) -> int:
        """The number of envelopes fetched so far."""
        return self._fetcher.fetched

    def fetch(self, *, for_s: float, is_burst: bool, max_fetched: int | None) -> bool:
        """Run `Fetcher.fetch` on the loop."""
        if is_burst:
            self._loop.call_soon_threadsafe(self._in_flight.stop_pacing)
        return self._run(
            self._fetcher.fetch(for_s=for_s, is_burst=is_burst, max_fetched=max_fetched)
        )

    def report_alive(self) -> None:
        """Report that this worker runs, and how full and how slow its window is."""
        is_slow = self._slowness.is_slow(self._in_flight.slow(), now_s=time.monotonic())
        self._sign.report(
            {
                "inFlight": self._in_flight.count,
                "capacity": self.settings.max_in_flight,
                "slow": is_slow,
                "suspected": self._in_flight.is_suspected,
            }
        )

    def report_end(self) -> None:
        """Report that this worker was asked to end."""
        self._sign.end()

    def stop_accepting(self) -> None:
        """Stop beginning events. This method may be called in a signal handler."""
        self._loop.call_soon_threadsafe(self._in_flight.stop_accepting)

    def close(self) -> None:
        """Wait for the events in flight, at most for the drain grace; then clean up."""
        left = self._run(self._drain(self.settings.drain_grace_s))
        if left:
            log.warning(logfmt.line("worker.drain_incomplete", events=left))
        self._planner.shutdown(cancel_futures=True)
        self._run(self._open.aclose())

    async def _drain(self, grace_s: float) -> int:
        end_s = time.monotonic() + grace_s
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._fetcher.finish()
        return await self._in_flight.drain(end_s - time.monotonic())
