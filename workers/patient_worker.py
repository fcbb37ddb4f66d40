"""RQ's worker loop for a store that is away, full, or a replica for some time."""

import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from redis.client import Pipeline, PubSub, PubSubWorkerThread
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from rq import worker_registration
from rq.exceptions import StopRequested
from rq.utils import now as rq_now
from rq.worker import BaseWorker
from scheduler_api.core import logfmt
from scheduler_api.core.store import rq_workers
from scheduler_api.core.store.connection import RETRY_INTERVAL_S
from typing import Any, TypeVar

log = logging.getLogger("scheduler.worker")

HEARTBEAT_INTERVAL_S = 5.0

T = TypeVar("T")


class PatientWorker(BaseWorker):
    """A base class of workers that RQ's own writes do not end.

    RQ's tools read a worker's registration and heartbeats; the work does not need them.
    A store that refuses them is asked again at the next heartbeat.
    """

    _heartbeat_at = 0.0

    def require_queue(self, name: str) -> None:
        """End the process if it works on another queue, or on several."""
        if self.queue_names() != [name]:
            sys.exit(f"{type(self).__name__} works on the queue {name} only")

    def serialize(self) -> dict[Any, Any]:
        """Return what RQ's registration contains, and that this is our worker."""
        return super().serialize() | {rq_workers.CLASS: type(self).__name__}

    def register_birth(self) -> None:
        """Register with RQ, or leave it to a later heartbeat."""
        self._write_if_possible(super().register_birth)

    def register_death(self) -> None:
        """Unregister from RQ, or let the registration expire."""
        self._write_if_possible(super().register_death)

    def heartbeat(
        self, timeout: int | None = None, pipeline: "Pipeline | None" = None
    ) -> None:
        """Send RQ's heartbeat, at most once every five seconds.

        If the worker is not registered, for example because its key expired while the
        store was unreachable, register it. The heartbeat is never part of a pipeline:
        a full store would refuse the other commands of the pipeline too.
        """
        if time.monotonic() - self._heartbeat_at < HEARTBEAT_INTERVAL_S:
            return
        self._heartbeat_at = time.monotonic()
        exists = self._retry(lambda: self.connection.exists(self.key))
        beat = partial(super().heartbeat, timeout)
        self._retry(lambda: self._write_if_possible(beat))
        if exists == 0:
            self._retry(lambda: self._write_if_possible(self._register_again))

    def _write_if_possible(self, write: Callable[[], object]) -> None:
        """Write what RQ's tools read, unless the store takes no writes."""
        try:
            write()
        except (OutOfMemoryError, ReadOnlyError) as err:
            log.warning(logfmt.line("worker.not_registered", problem=err))

    def _register_again(self) -> None:
        with self.connection.pipeline() as pipe:
            pipe.hset(self.key, mapping=self.serialize())
            worker_registration.register(self, pipe)
            pipe.execute()

    def _pubsub_exception_handler(
        self, exc: Exception, pubsub: PubSub, pubsub_thread: PubSubWorkerThread
    ) -> None:
        """Go on listening for commands of RQ's tools; RQ calls this after an error.

        RQ itself ends the thread after an error that is no `ConnectionError`.
        """
        if not isinstance(exc, RedisError):
            super()._pubsub_exception_handler(exc, pubsub, pubsub_thread)
            return
        log.warning(logfmt.line("store.unreachable", problem=exc))
        time.sleep(RETRY_INTERVAL_S)

    def check_for_suspension(self, burst: bool) -> None:
        """Check for suspension as RQ does; retry while the store is unreachable."""
        check = super().check_for_suspension
        self._retry(lambda: check(burst))

    def run_maintenance_tasks(self) -> None:
        """Run RQ's maintenance; an error in it does not end the worker."""
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except StopRequested:
            raise
        except Exception:
            log.exception(logfmt.line("maintenance.failed"))
            self.last_cleaned_at = rq_now()  # type: ignore[assignment]

    def _retry(self, call: Callable[[], T]) -> T | None:
        """Repeat a call each second while the store is unreachable.

        Returns None if the worker has to stop before the call succeeds.
        """
        while not self._stop_requested:
            try:
                return call()
            except RedisError as err:
                log.warning(logfmt.line("store.unreachable", problem=err))
            time.sleep(RETRY_INTERVAL_S)
        return None
