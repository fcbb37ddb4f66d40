"""The RQ worker that keeps many deliveries in flight; its hooks are RQ's own."""

import logging
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, worker_registration
from rq.exceptions import StopRequested
from rq.utils import now as rq_now
from rq.worker import SimpleWorker, WorkerStatus
from scheduler_api.core import gc_tuning, logfmt
from scheduler_api.core.errors import ForeignDatabase, UnknownLayout
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.core.store.connection import NO_RETRY, RETRY_INTERVAL_S
from scheduler_api.core.store.rq_envelopes import QUEUE
from scheduler_api.core.tenants.encryption import WrongSecretKey
from types import FrameType
from typing import Any, TypeVar
from workers import supervision
from workers.delivery.delivery_loop import DeliveryLoop

log = logging.getLogger("scheduler.worker")

WORKER_TTL_S = 30
SIGN_OF_LIFE_S = 1.0
SLICE_S = 1.0
HEARTBEAT_S = 5.0

# What no wait mends: the process ends with the reason.
UNFIT = (SettingsError, WrongSecretKey, ForeignDatabase, UnknownLayout)

T = TypeVar("T")


class DeliveryWorker(SimpleWorker):
    """Fetches envelopes and delivers their events, on an event loop of its own.

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
        self.connection.set_retry(NO_RETRY)
        self._loop: DeliveryLoop | None = None
        self._most: int | None = None
        self._beaten_at = 0.0

    @property
    def loop(self) -> DeliveryLoop:
        """The event loop of the deliveries; made when the work begins."""
        if self._loop is None:
            try:
                self._loop = DeliveryLoop(self.queues[0])
            except UNFIT as err:
                sys.exit(str(err) or err.__doc__)
        return self._loop

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        """Starts the event loop before the first envelope is fetched."""
        logfmt.set_up()
        log.info(logfmt.line("worker.started") + " " + self.loop.settings.log_line())
        super().bootstrap(*args, **kwargs)
        gc_tuning.look_rarely()
        self.log.setLevel(logging.WARNING)
        supervision.run_in_thread(self._show_life, name="sign of life")

    def _show_life(self) -> None:
        shown = ""
        while True:
            try:
                self.loop.show_life()
                if shown != (shown := self._visible_state()):
                    self.connection.hset(self.key, "state", shown)
            except RedisError as err:
                log.warning(logfmt.line("store.unreachable", problem=err))
            time.sleep(SIGN_OF_LIFE_S)

    def _visible_state(self) -> str:
        """Busy while deliveries are in flight, as nothing else tells RQ."""
        busy = self._loop is not None and self._loop.in_flight > 0
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
        return self.loop.fetched > 0

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> None:
        """Fetches envelopes until the worker is to end; RQ's loop gets none of them.

        Raises: StopRequested.
        """
        is_burst, idle_s = timeout is None, 0.0
        self._state = WorkerStatus.IDLE
        self.procline(f"Listening on {QUEUE}")  # type: ignore[no-untyped-call]
        while not self._stop_requested and self.loop.fetched != self._most:
            self.heartbeat()
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()
            self.check_for_suspension(is_burst)
            before = self.loop.fetched
            fetch = partial(self.loop.fetch, for_s=SLICE_S, most=self._most)
            may_be_more = self._patiently(partial(fetch, is_burst=is_burst))
            is_busy = self.loop.fetched > before or self.loop.in_flight > 0
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
            time.sleep(RETRY_INTERVAL_S)
        return None

    def handle_warm_shutdown_request(self) -> None:
        """Release events not begun yet; the drain grace is for in-flight deliveries."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        # The exception that RQ raises next may be caught by whatever it interrupts.
        self._stop_requested = True
        if self._loop is not None:
            self._loop.shut()

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """A second SIGTERM changes nothing, the drain is bounded; a second Ctrl-C ends.

        A signal to the whole process group, passed on by a supervisor, comes twice.
        """
        if signum == signal.SIGINT:
            super().request_force_stop(signum, frame)

    def teardown(self) -> None:
        """Waits for the deliveries in flight before the worker unregisters."""
        if self._loop is not None:
            self._loop.close()
        super().teardown()  # type: ignore[no-untyped-call]
