"""An RQ worker that makes many deliveries at the same time."""

import logging
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from redis.client import Pipeline
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from rq import Queue
from rq.worker import SimpleWorker, WorkerStatus
from scheduler_api.core import gc_tuning, logfmt
from scheduler_api.core.errors import ForeignDatabase, UnknownLayout
from scheduler_api.core.store.connection import NO_RETRY
from scheduler_api.core.store.rq_envelopes import QUEUE
from scheduler_api.core.tenants.encryption import WrongSecretKey
from types import FrameType
from typing import Any
from workers import supervision
from workers.bootstrap import RQ_LEVEL, start_process
from workers.deliver import deliver
from workers.delivery.delivery_loop import DeliveryLoop
from workers.descriptors import TooFewDescriptors
from workers.listed_jobs import ListedJob, by_name, only_listed
from workers.patient_worker import PatientWorker

log = logging.getLogger("scheduler.worker")

WORKER_TTL_S = 30
ALIVE_INTERVAL_S = 1.0
FETCH_INTERVAL_S = 1.0

# After these errors the process exits with the message, because a retry cannot help.
FATAL = (WrongSecretKey, ForeignDatabase, UnknownLayout, TooFewDescriptors)


class EnvelopeJob(ListedJob):
    """An envelope. A delivery worker runs no jobs, but RQ's maintenance reads them."""

    functions = by_name(deliver)


class DeliveryWorker(PatientWorker, SimpleWorker):
    """Fetch envelopes and deliver their events on a separate event loop.

    RQ's work loop does registration, heartbeats, suspension, maintenance and signals.
    The event loop of the deliveries fetches the jobs. If RQ's thread fetched the jobs
    and passed them on, deliveries would be 7 ms later at 1,000 events a second. While
    the store is unreachable, the worker retries.
    """

    def __init__(self, queues: list[Queue], *args: Any, **kwargs: Any) -> None:
        kwargs["worker_ttl"] = WORKER_TTL_S
        super().__init__(queues, *args, **kwargs)
        only_listed(self, EnvelopeJob)
        self.require_queue(QUEUE)
        self.connection.set_retry(NO_RETRY)
        self._loop: DeliveryLoop | None = None
        self._max_jobs: int | None = None

    @property
    def loop(self) -> DeliveryLoop:
        """The event loop of the deliveries; `bootstrap` starts it."""
        assert self._loop is not None
        return self._loop

    def bootstrap(self, *_args: Any, **_kwargs: Any) -> None:
        """Start the event loop before the first fetch."""
        settings = start_process("worker")
        try:
            self._loop = DeliveryLoop(self.queues[0], settings)
        except FATAL as err:
            problem = str(err) or err.__doc__
            log.critical(logfmt.line("worker.unfit", problem=problem))
            sys.exit(1)
        super().bootstrap(logging_level=RQ_LEVEL)
        gc_tuning.collect_rarely()
        supervision.run_in_thread(self._report_alive, name="alive reports")

    def _report_alive(self) -> None:
        written: dict[Any, str | int] = {}
        while True:
            try:
                self.loop.report_alive()
                if written != (displayed := self._displayed()):
                    # A store that takes no writes gets them later.
                    with suppress(OutOfMemoryError, ReadOnlyError):
                        self.connection.hset(self.key, mapping=displayed)
                        written = displayed
            except RedisError as err:
                log.warning(logfmt.line("store.unreachable", problem=err))
            time.sleep(ALIVE_INTERVAL_S)

    def _displayed(self) -> dict[Any, str | int]:
        """What RQ's tools display: busy while deliveries are in flight, and attempts.

        RQ itself would count envelopes, which say nothing of deliveries.
        """
        is_busy = self.loop.in_flight > 0
        state = WorkerStatus.BUSY if is_busy else WorkerStatus(self._state)
        return {
            "state": state.value,
            "successful_job_count": self.loop.delivered,
            "failed_job_count": self.loop.failed,
        }

    def set_state(self, state: str, pipeline: "Pipeline | None" = None) -> None:
        """Keep the state in memory; `_report_alive` writes it to RQ once a second."""
        self._state = state

    def work(self, *args: Any, max_jobs: int | None = None, **kwargs: Any) -> bool:
        """Run the worker as RQ does; `max_jobs` counts envelopes."""
        self._max_jobs = max_jobs
        super().work(*args, **kwargs)
        return self.loop.fetched > 0

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> None:
        """Fetch envelopes until the worker has to stop; return no job to RQ's loop.

        Raises: StopRequested.
        """
        is_burst, idle_s = timeout is None, 0.0
        self._state = WorkerStatus.IDLE
        self.procline(f"Listening on {QUEUE}")  # type: ignore[no-untyped-call]
        while not self._stop_requested and self.loop.fetched != self._max_jobs:
            self.heartbeat()
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()
            self.check_for_suspension(is_burst)
            fetched_before = self.loop.fetched
            fetch = partial(
                self.loop.fetch,
                for_s=FETCH_INTERVAL_S,
                is_burst=is_burst,
                max_fetched=self._max_jobs,
            )
            may_be_more = self._retry(fetch)
            is_busy = self.loop.fetched > fetched_before or self.loop.in_flight > 0
            idle_s = 0.0 if is_busy else idle_s + FETCH_INTERVAL_S
            idle_too_long = max_idle_time is not None and idle_s >= max_idle_time
            if idle_too_long or not may_be_more:
                return

    def handle_warm_shutdown_request(self) -> None:
        """Begin to stop: release the events that have not begun."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        # RQ then raises StopRequested in the interrupted code. This code may catch the
        # exception, so also remember the request.
        self._stop_requested = True
        if self._loop is not None:
            self._loop.stop_accepting()

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """Ignore a second SIGTERM; a second SIGINT (Ctrl-C) stops at once.

        The worker gets SIGTERM twice if the signal is sent to the process group and the
        supervisor forwards it as well. The drain grace limits the shutdown anyway.
        """
        if signum == signal.SIGINT:
            super().request_force_stop(signum, frame)

    def teardown(self) -> None:
        """Wait for the deliveries in flight, then unregister the worker."""
        if self._loop is not None:
            self._loop.close()
            if self._stop_requested:
                self._loop.report_end()
        super().teardown()  # type: ignore[no-untyped-call]
