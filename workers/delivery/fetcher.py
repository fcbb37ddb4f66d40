"""Fetches envelopes from RQ, on the event loop of the deliveries."""

import asyncio
import logging
import redis
import time
from collections.abc import Callable
from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job
from scheduler_api.core import logfmt
from scheduler_api.core.store.rq_envelopes import Envelope, read, told_by
from typing import cast
from workers.delivery.in_flight import InFlight
from workers.redis_connection import RedisConnection

log = logging.getLogger("scheduler.worker")

LONGEST_WAIT_S = 1
# Room may come with time alone, without anything that tells of it.
ROOM_WAIT_S = 0.05


class Fetcher:
    """Fetches envelopes from an RQ queue while there is room for more events.

    The next one is fetched while the events of the previous one are begun. An envelope
    is removed from RQ at once: leases bring back what is lost after that. What cannot
    be read stays in RQ's intermediate queue, where its maintenance finds it. Lives on
    the event loop of `in_flight`.

    Args:
        connection: waits in the store, so nobody else may use it.
        plan: tops up schedules; must not block.
    """

    def __init__(
        self,
        connection: RedisConnection,
        queue: Queue,
        in_flight: InFlight,
        plan: Callable[[list[str]], None],
    ) -> None:
        self._connection = connection
        self._from = queue.key
        self._to = queue.intermediate_queue_key
        self._in_flight = in_flight
        self._plan = plan
        self.fetched = 0
        self._busy = asyncio.Lock()
        self._accepting: asyncio.Task[None] | None = None

    async def fetch(self, *, for_s: float, is_burst: bool, most: int | None) -> bool:
        """Fetches for so long, or until nothing more is begun.

        Returns whether there may be more.

        Args:
            is_burst: whether to end as soon as nothing is there.
            most: until `fetched` is so many.

        Raises: redis.RedisError.
        """
        async with self._busy:
            end = time.monotonic() + for_s
            while (
                time.monotonic() < end
                and not self._in_flight.is_shut
                and self.fetched != most
            ):
                if not await self._in_flight.has_room(ROOM_WAIT_S):
                    continue
                job_id = await self._next(wait=not is_burst)
                if job_id is not None:
                    self.fetched += 1
                    await self._open(job_id)
                elif is_burst:
                    return False
            return True

    async def _next(self, *, wait: bool) -> bytes | None:
        """From head to tail, as RQ's own workers take."""
        command, *last = ("BLMOVE", LONGEST_WAIT_S) if wait else ("LMOVE",)
        job_id = await self._connection.ask(
            command, self._from, self._to, "LEFT", "RIGHT", *last
        )
        return cast(bytes | None, job_id)

    async def _open(self, job_id: bytes) -> None:
        try:
            name = job_id.decode()
            envelope = told_by(name) or await self._read(name)
        except (ValueError, RecursionError, redis.ResponseError) as err:
            log.error(logfmt.line("envelope.unreadable", job=job_id, problem=err))
            if isinstance(err, UnicodeDecodeError):
                # RQ itself fails over such a name, and over all beside it.
                self._connection.tell("LREM", self._to, 1, job_id)
            return
        self._connection.tell("LREM", self._to, 1, job_id)
        self._connection.tell("DEL", Job.key_for(name))
        if envelope.schedule_ids:
            self._plan(envelope.schedule_ids)
        await self._accepted()
        self._accepting = asyncio.create_task(self._accept(envelope))
        # From here on `in_flight` knows what is coming.
        await asyncio.sleep(0)

    async def _read(self, name: str) -> Envelope:
        data = await self._connection.ask("HGET", Job.key_for(name), "data")
        if data is None:
            raise ValueError("there is no such job")
        return read(cast(bytes, data))

    async def _accept(self, envelope: Envelope) -> None:
        """One envelope's fault is no other's: what was offered comes back by itself."""
        try:
            await self._in_flight.accept(envelope.ids, isolated=envelope.isolated)
        except RedisError as err:
            log.error(logfmt.line("envelope.lost", problem=err))
        except Exception:
            log.exception(logfmt.line("envelope.lost", events=len(envelope.ids)))

    async def _accepted(self) -> None:
        """Waits until the events of the last envelope are begun or given back."""
        if self._accepting is not None:
            await self._accepting

    async def finish(self) -> None:
        """Waits until nothing is fetched any more, and what was is begun or given back.

        Shut `in_flight` before, unless `fetch` has returned.
        """
        async with self._busy:
            await self._accepted()
