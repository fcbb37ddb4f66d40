"""Fetch envelopes from RQ on the event loop of the deliveries."""

import asyncio
import logging
import redis
import time
from collections.abc import Callable
from redis.exceptions import OutOfMemoryError, RedisError
from rq import Queue
from rq.job import Job
from scheduler_api.core import logfmt
from scheduler_api.core.store.rq_envelopes import Envelope, parse_job_data, parse_job_id
from typing import cast
from workers.delivery.in_flight import InFlight
from workers.redis_connection import RedisConnection

log = logging.getLogger("scheduler.worker")

MAX_WAIT_S = 1
# The fetcher polls at this interval whether the worker has extra room, because there is
# no notification when the extra room opens.
ROOM_POLL_S = 0.05


class Fetcher:
    """Fetch envelopes from an RQ queue while there is room for more events.

    The next envelope is fetched while the events of the previous envelope begin. An
    envelope is deleted from RQ as soon as it is read; if the worker crashes afterwards,
    the events become due again when their leases end. A job that is not an envelope
    stays in RQ's intermediate queue, where RQ's maintenance handles it. Use a fetcher
    on the event loop of `in_flight` only.

    Args:
        connection: used for blocking commands, so it must not be shared.
        plan: called with ids of schedules that need more fire times; must not block.
    """

    def __init__(
        self,
        connection: RedisConnection,
        queue: Queue,
        in_flight: InFlight,
        plan: Callable[[list[str]], None],
    ) -> None:
        self._connection = connection
        self._queue_key = queue.key
        self._intermediate_key = queue.intermediate_queue_key
        self._in_flight = in_flight
        self._plan = plan
        self.fetched = 0
        self._fetching = asyncio.Lock()
        self._accepting: asyncio.Task[None] | None = None

    async def fetch(
        self, *, for_s: float, is_burst: bool, max_fetched: int | None
    ) -> bool:
        """Fetch for some time, or until `in_flight` stops accepting.

        Returns whether there may be more envelopes.

        Args:
            is_burst: return as soon as the queue is empty.
            max_fetched: return when `fetched` has reached this number.
        """
        async with self._fetching:
            end_s = time.monotonic() + for_s
            while (
                time.monotonic() < end_s
                and self._in_flight.is_accepting
                and self.fetched != max_fetched
            ):
                if not await self._in_flight.has_room(ROOM_POLL_S):
                    continue
                job_id = await self._next_job_id(wait=not is_burst)
                if job_id is not None:
                    self.fetched += 1
                    await self._process(job_id)
                elif is_burst:
                    return False
            return True

    async def _next_job_id(self, *, wait: bool) -> bytes | None:
        """Move a job from the queue to RQ's intermediate queue; return the job's id."""
        command, *timeout = ("BLMOVE", MAX_WAIT_S) if wait else ("LMOVE",)
        try:
            job_id = await self._connection.execute(
                *(command, self._queue_key, self._intermediate_key, "LEFT", "RIGHT"),
                *timeout,
            )
        except OutOfMemoryError:
            return await self._pop_job_id(wait=wait)
        return cast(bytes | None, job_id)

    async def _pop_job_id(self, *, wait: bool) -> bytes | None:
        """Remove a job from the queue; return its id.

        A full store refuses to move a job. If the worker crashes before it reads the
        job, the events become due again when their offer ends.
        """
        if not wait:
            popped = await self._connection.execute("LPOP", self._queue_key)
            return cast(bytes | None, popped)
        found = await self._connection.execute("BLPOP", self._queue_key, MAX_WAIT_S)
        return cast(list[bytes], found)[1] if found else None

    async def _process(self, job_id: bytes) -> None:
        try:
            name = job_id.decode()
            envelope = parse_job_id(name) or await self._read(name)
        except (ValueError, RecursionError, redis.ResponseError) as err:
            log.error(logfmt.line("envelope.unreadable", job=job_id, problem=err))
            if isinstance(err, UnicodeDecodeError):
                # Delete the job from the intermediate queue. Otherwise RQ's maintenance
                # would fail to decode the name of this job, and skip all other jobs.
                self._connection.send("LREM", self._intermediate_key, 1, job_id)
            return
        self._connection.send("LREM", self._intermediate_key, 1, job_id)
        self._connection.send("DEL", Job.key_for(name))
        if envelope.schedule_ids:
            self._plan(envelope.schedule_ids)
        await self._wait_until_accepted()
        self._accepting = asyncio.create_task(self._accept(envelope))
        # Let the task start, so that `has_room` counts the events of this envelope.
        await asyncio.sleep(0)

    async def _read(self, name: str) -> Envelope:
        data = await self._connection.execute("HGET", Job.key_for(name), "data")
        if data is None:
            raise ValueError("there is no such job")
        return parse_job_data(cast(bytes, data))

    async def _accept(self, envelope: Envelope) -> None:
        """Accept an envelope; log errors, so that `fetch` continues.

        After an error, the events become due again when their offer ends.
        """
        try:
            await self._in_flight.accept(envelope.ids, isolated=envelope.isolated)
        except RedisError as err:
            log.error(logfmt.line("envelope.lost", problem=err))
        except Exception:
            log.exception(logfmt.line("envelope.lost", events=len(envelope.ids)))

    async def _wait_until_accepted(self) -> None:
        """Wait until the events of the last envelope have begun or been released."""
        if self._accepting is not None:
            await self._accepting

    async def finish(self) -> None:
        """Wait until all fetched events have begun or been released.

        If `fetch` still runs, call `in_flight.stop_accepting` first.
        """
        async with self._fetching:
            await self._wait_until_accepted()
