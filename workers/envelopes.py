"""How envelopes leave RQ: a queue and a job class that read no more than is needed."""

import logging
import redis
import zlib
from collections.abc import Iterable
from redis.client import Pipeline
from rq import Queue
from rq.exceptions import DequeueTimeout, NoSuchJobError, StopRequested
from rq.job import Job
from scheduler_api.core import logs
from scheduler_api.core.dispatch import only_event
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
    """A queue that clears what was taken from it with the command that takes more."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._done: list[Job] = []

    @classmethod
    def like(cls, queue: Queue) -> "EnvelopeQueue":
        """Another view of a queue."""
        return cls(queue.name, connection=queue.connection, serializer=queue.serializer)

    def settle(self, job: Job) -> None:
        """Notes that a job is done; it is cleared when the next is taken."""
        self._done.append(job)

    def clear(self) -> None:
        """Clears what is done.

        Raises: redis.RedisError.
        """
        with self._clearing() as pipe:
            pipe.execute()
        self._done.clear()

    def _clearing(self) -> Pipeline:
        pipe = self.connection.pipeline(transaction=False)
        for job in self._done:
            pipe.lrem(self.intermediate_queue_key, 1, job.id)
            pipe.delete(job.key)
        return pipe

    def take(self, timeout_s: int, job_class: type[Job]) -> Job | None:
        """The next job within that time; None if it is gone meanwhile.

        Raises: DequeueTimeout, redis.RedisError, UnicodeDecodeError.
        """
        with self._clearing() as pipe:
            pipe.blmove(self.key, self.intermediate_queue_key, timeout_s)
            job_id = cast(bytes | None, pipe.execute()[-1])
        self._done.clear()
        if job_id is None:
            raise DequeueTimeout(timeout_s, self.key)
        return self._read(job_id.decode(), job_class)

    def _read(self, job_id: str, job_class: type[Job]) -> Job | None:
        event_id = only_event(job_id)
        if event_id is not None:
            job = job_class(job_id, self.connection, self.serializer)
            job.args = ([event_id], [], False)
            return job
        try:
            return job_class.fetch(
                job_id, connection=self.connection, serializer=self.serializer
            )
        except NoSuchJobError:
            return None

    @classmethod
    def dequeue_any(  # type: ignore[override]
        cls,
        queues: Iterable[Queue],
        timeout: int | None,
        connection: redis.Redis,
        job_class: type[Job] | None = None,
        **others: Any,
    ) -> tuple[Job, Queue] | None:
        """The next job, as RQ has it; by `take` for one queue and a worker that waits.

        Raises: DequeueTimeout, redis.RedisError, UnicodeDecodeError.
        """
        first, *more = queues
        if more or timeout is None or not isinstance(first, cls):
            return super().dequeue_any(
                [first, *more], timeout, connection, job_class=job_class, **others
            )
        while True:
            job = first.take(timeout, job_class or Job)
            if job is not None:
                return job, first


def _inflated(data: bytes) -> bytes:
    """RQ compresses what it stores; it takes uncompressed data too."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data
