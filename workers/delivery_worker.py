"""The RQ worker that keeps many deliveries in flight: stock hooks, one event loop."""

import asyncio
import logging
import signal
import sys
import threading
import time
import uvloop
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import partial
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, worker_registration
from rq.exceptions import StopRequested
from rq.utils import now as rq_now
from rq.worker import SimpleWorker, WorkerStatus
from scheduler_api.core import gc_tuning, logfmt
from scheduler_api.core.errors import ForeignDatabase
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.core.store import keys
from scheduler_api.core.store.epoch import take_database
from scheduler_api.core.store.events import Store
from scheduler_api.core.store.rq_envelopes import QUEUE
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.encryption import WrongSecretKey
from types import FrameType
from typing import Any, TypeVar
from workers import supervision
from workers.delivery.assembly import TIMEOUT_S, connect, open_in_flight, read_settings
from workers.delivery.fetcher import Fetcher
from workers.delivery.in_flight import InFlight
from workers.delivery.planner import top_up
from workers.redis_connection import RedisConnection

log = logging.getLogger("scheduler.worker")

WORKER_TTL_S = 30
AGAIN_AFTER_ERROR_S = 1.0
SIGN_OF_LIFE_S = 1.0
ALIVE_TTL_S = 5
SLICE_S = 1.0
HEARTBEAT_S = 5.0
TENANTS_AHEAD = 100

T = TypeVar("T")


class Engine:
    """An event loop in a thread of its own, with the window on it."""

    def __init__(self, queue: Queue) -> None:
        self.settings = read_settings()
        self.client = connect(self.settings)
        take_database(self.client, self.settings.prefix)
        Tenants(
            self.client, self.settings.prefix, secret_key=self.settings.secret_key
        ).check_key()
        store = Store(self.client, self.settings.prefix)
        self._schedules = Schedules(store, grace_ms=self.settings.missed_grace_ms)
        self._planner = ThreadPoolExecutor(1, thread_name_prefix="planner")
        self._loop = uvloop.new_event_loop()
        self._open = AsyncExitStack()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._in_flight: InFlight = self._run(
            self._open.enter_async_context(
                open_in_flight(self.settings, tenants_ahead=TENANTS_AHEAD)
            )
        )
        self._connection = RedisConnection(self.settings.redis_url, timeout_s=TIMEOUT_S)
        self._open.callback(self._connection.close)
        self._fetcher = Fetcher(self._connection, queue, self._in_flight, self._plan)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @property
    def in_flight(self) -> int:
        """Events in hand."""
        return self._in_flight.count

    def _plan(self, schedule_ids: list[str]) -> None:
        self._planner.submit(self._top_up, schedule_ids)

    def _top_up(self, schedule_ids: list[str]) -> None:
        try:
            top_up(self._schedules, schedule_ids)
        except Exception:
            # The claim asks again in five seconds.
            log.exception(logfmt.line("schedules.not_planned", count=len(schedule_ids)))

    @property
    def fetched(self) -> int:
        """Envelopes taken so far."""
        return self._fetcher.fetched

    def fetch(self, *, for_s: float, is_burst: bool, most: int | None) -> bool:
        """Takes envelopes for so long, on the loop (`Fetcher.fetch`).

        Raises: redis.RedisError.
        """
        return self._run(self._fetcher.fetch(for_s=for_s, is_burst=is_burst, most=most))

    def show_life(self) -> None:
        """Says that a worker lives, for `/readyz`.

        Raises: RedisError.
        """
        key = keys.alive(self.settings.prefix, "worker")
        self.client.set(key, int(time.time() * 1000), ex=ALIVE_TTL_S)

    def shut(self) -> None:
        """Has nothing more begun; safe in a signal handler."""
        self._loop.call_soon_threadsafe(self._in_flight.shut)

    def close(self) -> None:
        """Waits for what is in hand as long as the grace allows, then lets go."""
        left = self._run(self._drain(self.settings.drain_grace_s))
        if left:
            log.warning(logfmt.line("worker.left_to_leases", events=left))
        self._planner.shutdown(cancel_futures=True)
        self._run(self._open.aclose())

    async def _drain(self, grace_s: float) -> int:
        end = time.monotonic() + grace_s
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._fetcher.finish()
        return await self._in_flight.drain(end - time.monotonic())


class DeliveryWorker(SimpleWorker):
    """Takes envelopes and delivers their events, on an event loop of its own.

    RQ's loop keeps what is RQ's: registration, sign of life, suspension, maintenance,
    signals. No job comes through it: handed from its thread to the event loop, each
    envelope would wait for both to have their turns (at 1,000 events a second that made
    them 7 ms later). The store may go away at any time: the worker waits for it.
    """

    def __init__(self, queues: list[Queue], *args: Any, **kwargs: Any) -> None:
        kwargs["worker_ttl"] = WORKER_TTL_S
        super().__init__(queues, *args, **kwargs)
        if self.queue_names() != [QUEUE]:
            sys.exit(f"{type(self).__name__} takes from the queue {QUEUE} alone")
        self.connection.set_retry(Retry(NoBackoff(), 0))
        self._engine: Engine | None = None
        self._most: int | None = None
        self._beaten_at = 0.0

    @property
    def engine(self) -> Engine:
        """The event loop and its window; made when the work begins."""
        if self._engine is None:
            try:
                self._engine = Engine(self.queues[0])
            except (SettingsError, WrongSecretKey, ForeignDatabase) as err:
                sys.exit(str(err) or err.__doc__)
        return self._engine

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Opens the window before the first job is taken."""
        logfmt.set_up()
        log.info(logfmt.line("worker.started") + " " + self.engine.settings.log_line())
        super().bootstrap(*args, **kwargs)
        gc_tuning.look_rarely()
        self.log.setLevel(logging.WARNING)
        supervision.run_in_thread(self._show_life, name="sign of life")

    def _show_life(self) -> None:
        shown = ""
        while True:
            try:
                self.engine.show_life()
                if shown != (shown := self._visible_state()):
                    self.connection.hset(self.key, "state", shown)
            except RedisError as err:
                log.warning(logfmt.line("store.unreachable", problem=err))
            time.sleep(SIGN_OF_LIFE_S)

    def _visible_state(self) -> str:
        """Busy while deliveries are in flight, as nothing else tells RQ."""
        busy = self._engine is not None and self._engine.in_flight > 0
        return WorkerStatus.BUSY.value if busy else WorkerStatus(self._state).value

    def set_state(self, state: str, pipeline: "Pipeline | None" = None) -> None:
        """Records RQ's own state; what people see is written once a second."""
        self._state = state

    def heartbeat(
        self, timeout: int | None = None, pipeline: "Pipeline | None" = None
    ) -> None:
        """As RQ's, but every few seconds at most.

        Registers anew where the record expired while the store was away.
        """
        if time.monotonic() - self._beaten_at < HEARTBEAT_S:
            return
        self._beaten_at = time.monotonic()
        if pipeline is not None:
            super().heartbeat(timeout, pipeline)
            return
        known = self._patiently(lambda: self.connection.exists(self.key))
        self._patiently(lambda: super(DeliveryWorker, self).heartbeat(timeout))
        if known == 0:
            self._patiently(self._register_again)

    def _register_again(self) -> None:
        with self.connection.pipeline() as pipe:
            pipe.hset(self.key, mapping=self.serialize())
            worker_registration.register(self, pipe)
            pipe.execute()

    def check_for_suspension(self, burst: bool) -> None:
        """As RQ's, once the store answers."""
        self._patiently(lambda: super(DeliveryWorker, self).check_for_suspension(burst))

    def run_maintenance_tasks(self) -> None:
        """As RQ's; whatever goes wrong in there is no reason to stop delivering."""
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except StopRequested:
            raise
        except Exception:
            log.exception(logfmt.line("maintenance.failed"))
            self.last_cleaned_at = rq_now()  # type: ignore[assignment]

    def work(self, *args: Any, max_jobs: int | None = None, **kwargs: Any) -> bool:
        """As RQ's; a job is an envelope."""
        self._most = max_jobs
        super().work(*args, **kwargs)
        return self.engine.fetched > 0

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> None:
        """Takes envelopes until the worker is to end; RQ's loop gets none of them.

        Raises: StopRequested.
        """
        is_burst, idle_s = timeout is None, 0.0
        self._state = WorkerStatus.IDLE
        self.procline(f"Listening on {QUEUE}")  # type: ignore[no-untyped-call]
        while not self._stop_requested and self.engine.fetched != self._most:
            self.heartbeat()
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()
            self.check_for_suspension(is_burst)
            before = self.engine.fetched
            take = partial(self.engine.fetch, for_s=SLICE_S, most=self._most)
            may_be_more = self._patiently(partial(take, is_burst=is_burst))
            is_busy = self.engine.fetched > before or self.engine.in_flight > 0
            idle_s = 0.0 if is_busy else idle_s + SLICE_S
            idle_too_long = max_idle_time is not None and idle_s >= max_idle_time
            if idle_too_long or not may_be_more:
                return

    def _patiently(self, work: Callable[[], T]) -> T | None:
        """Does work with the store, again each second while the store is away.

        None if the worker was told to stop meanwhile.
        """
        while not self._stop_requested:
            try:
                return work()
            except RedisError as err:
                log.warning(logfmt.line("store.unreachable", problem=err))
            time.sleep(AGAIN_AFTER_ERROR_S)
        return None

    def handle_warm_shutdown_request(self) -> None:
        """Has what waits for room given back: the grace is for what was begun."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        # The exception that RQ raises next may be caught by whatever it interrupts.
        self._stop_requested = True
        if self._engine is not None:
            self._engine.shut()

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """A second SIGTERM changes nothing, the drain is bounded; a second Ctrl-C ends.

        A signal to the whole process group, passed on by a supervisor, comes twice.
        """
        if signum == signal.SIGINT:
            super().request_force_stop(signum, frame)

    def teardown(self) -> None:
        """Drains the window before the worker says good-bye."""
        if self._engine is not None:
            self._engine.close()
        super().teardown()  # type: ignore[no-untyped-call]
