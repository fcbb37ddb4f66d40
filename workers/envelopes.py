"""How envelopes leave RQ: a queue and a job class that read no more than is needed."""

import logging
import redis
import zlib
from collections.abc import Iterable
from rq import Queue
from rq.exceptions import DequeueTimeout, NoSuchJobError, StopRequested
from rq.job import Job
from scheduler_api.core import logs
from typing import Any, cast

log = logging.getLogger("scheduler.worker")


class EnvelopeJob(Job):
    """A job of which only the call is read: the rest is RQ's bookkeeping.

    One that cannot be read is passed over: it must not end its worker.
    """

    def refresh(self) -> None:
        """Reads the job.

        Raises: NoSuchJobError, on which RQ goes on with the next; StopRequested, from
            a signal meanwhile; redis.ConnectionError, redis.TimeoutError.
        """
        try:
            stored = cast(bytes | None, self.connection.hget(self.key, "data"))
            if stored is None:
                raise NoSuchJobError(self.key)
            self.data = _inflated(stored)
        except (
            NoSuchJobError,
            StopRequested,
            redis.ConnectionError,
            redis.TimeoutError,
        ):
            raise
        except Exception as err:
            log.error(logs.line("job.unreadable", job=self.id, problem=err))
            raise NoSuchJobError from err


class EnvelopeQueue(Queue):
    """A queue that is not built anew for each job that is taken from it."""

    @classmethod
    def dequeue_any(  # type: ignore[override]
        cls,
        queues: Iterable[Queue],
        timeout: int | None,
        connection: redis.Redis,
        job_class: type[Job] | None = None,
        **others: Any,
    ) -> tuple[Job, Queue] | None:
        """The next job, as RQ has it; on its own for one queue and a worker that waits.

        Raises: DequeueTimeout, redis.RedisError, UnicodeDecodeError.
        """
        first, *more = queues
        if more or timeout is None or job_class is None:
            return super().dequeue_any(
                [first, *more], timeout, connection, job_class=job_class, **others
            )
        while True:
            job_id = cast(
                bytes | None,
                connection.blmove(first.key, first.intermediate_queue_key, timeout),
            )
            if job_id is None:
                raise DequeueTimeout(timeout, first.key)
            try:
                job = job_class.fetch(
                    job_id.decode(), connection=connection, serializer=first.serializer
                )
            except NoSuchJobError:
                continue
            return job, first


def _inflated(data: bytes) -> bytes:
    """RQ compresses what it stores; it takes uncompressed data too."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data
