"""Stored jobs that retry or delete all dead letters that match a filter.

A job keeps its filter, its cursor and its counts in the store. Any process may work on
it, and continues where another one was killed. What is done is counted by the calls
that do it, so that the count is right after a kill, too. A job that was removed with
its tenant is never written again.
"""

import orjson
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from scheduler_api.core.errors import NotFound
from scheduler_api.core.ids import typed_id
from scheduler_api.core.queries.filters import Span, Target
from scheduler_api.core.queries.letters import LetterCount, LetterFilter
from scheduler_api.core.queries.positions import Position
from scheduler_api.core.store import audit, keys
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.cell import Cell, Command
from typing import Any, cast

TTL_S = 30 * 86_400
TTL_MS = TTL_S * 1_000
# How many jobs of a tenant are listed.
MAX_LISTED = 100
# The most letters per second that a job may retry or delete.
MAX_RATE = 1_000
DEFAULT_RATE = 100


class Action(StrEnum):
    """What a job does with each dead letter."""

    RETRY = "retry"
    DELETE = "delete"


class JobState(StrEnum):
    """`running`: there is work left. `stopped`: a person stopped the job."""

    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"


@dataclass(frozen=True)
class LetterJob:
    """A job. Letters that failed after it was created are not part of it.

    Attributes:
        rate: how many letters per second are retried or deleted at most.
        by: who created the job.
        expected: how many letters matched when the job was created.
        cursor: the position of the last letter that was examined.
        examined: how many letters were examined up to the cursor; after a kill, those
            that were done already are not counted again.
        done: how many letters were retried or deleted.
        skipped: how many letters up to the cursor cannot be retried, because they
            cannot be read.
        refused: why the store takes no more at present, as in `Handled`.
        updated_ms: when a process last worked on the job.
    """

    id: str
    tenant: str
    action: Action
    wanted: LetterFilter
    rate: int
    by: str
    created_ms: int
    expected: LetterCount
    state: JobState = JobState.RUNNING
    cursor: Position | None = None
    examined: int = 0
    done: int = 0
    skipped: int = 0
    refused: str = ""
    updated_ms: int = 0

    @property
    def name(self) -> str:
        """The name of the job among the jobs of all tenants."""
        return f"{self.tenant}:{self.id}"


class LetterJobs:
    """The jobs of one cell."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._prefix = cell.prefix

    def create(
        self,
        tenant: str,
        action: Action,
        wanted: LetterFilter,
        *,
        rate: int,
        expected: LetterCount,
        by: str,
    ) -> LetterJob:
        """Store a job, which a worker begins within a second or two.

        Redis: one round trip, atomic, with a record in the audit log.
        """
        now_ms = self._cell.now_ms()
        job = LetterJob(
            id=typed_id(),
            tenant=tenant,
            action=action,
            wanted=replace(wanted, time=wanted.time.until(now_ms)),
            rate=max(1, min(rate, MAX_RATE)),
            by=by,
            created_ms=now_ms,
            expected=expected,
        )
        listed = keys.letter_jobs(self._prefix, tenant)
        fields = [text for pair in _encode(job).items() for text in pair]
        change = Change(tenant, by, f"dead_letters.{action}", _describe(wanted))
        after = {"job": job.id, "rate": job.rate}
        self._cell.write_small(
            ("HSET", self._key(job), *fields),
            self._expiry(job),
            ("ZADD", listed, now_ms, job.id),
            ("ZREMRANGEBYSCORE", listed, "-inf", now_ms - TTL_MS),
            ("EXPIRE", listed, TTL_S),
            ("ZADD", keys.open_letter_jobs(self._prefix), now_ms, job.name),
            *audit.commands(
                self._prefix, change, before={"state": "dead"}, after=after
            ),
        )
        return job

    def get(self, tenant: str, job_id: str) -> LetterJob:
        """Return a job of a tenant. Redis: one round trip.

        Raises: NotFound.
        """
        [job] = self._read(tenant, [job_id])
        if job is None:
            raise NotFound
        return job

    def all_of(self, tenant: str) -> list[LetterJob]:
        """Return the newest jobs of a tenant, newest first. Two round trips."""
        key = keys.letter_jobs(self._prefix, tenant)
        found = self._cell.client.zrange(key, 0, MAX_LISTED - 1, desc=True)
        ids = [each.decode() for each in cast(list[bytes], found)]
        return [job for job in self._read(tenant, ids) if job is not None]

    def open_jobs(self) -> list[tuple[str, str]]:
        """Return the tenant and the id of each job with work left, oldest first."""
        found = self._cell.client.zrange(keys.open_letter_jobs(self._prefix), 0, -1)
        names = [each.decode() for each in cast(list[bytes], found)]
        return [(tenant, job) for tenant, _, job in (n.partition(":") for n in names)]

    def stop(self, job: LetterJob, *, by: str) -> None:
        """Stop a running job; a worker stops after the letters that it has begun.

        Redis: one round trip, atomic, with a record in the audit log.
        """
        change = Change(job.tenant, by, "dead_letters.stop", job.id)
        self._end(job, JobState.STOPPED, change)

    def resume(self, job: LetterJob, *, by: str) -> None:
        """Continue a stopped job. Redis: as for `stop`."""
        change = Change(job.tenant, by, "dead_letters.resume", job.id)
        self._cell.write_small(
            ("HSET", self._key(job), "state", JobState.RUNNING),
            self._expiry(job),
            ("ZADD", self._open, job.created_ms, job.name),
            *audit.commands(self._prefix, change, before=_state(job), after=RUNNING),
            if_exists=self._key(job),
        )

    def finish(self, job: LetterJob) -> None:
        """Record that no letter is left. Redis: one round trip, atomic."""
        self._end(job, JobState.DONE, None)

    def forget(self, tenant: str, job_id: str) -> None:
        """Do not work on a job any more that does not exist or does not run."""
        self._cell.write_small(("ZREM", self._open, f"{tenant}:{job_id}"))

    def advance(
        self, job: LetterJob, cursor: Position, *, examined: int, skipped: int
    ) -> None:
        """Record that all letters up to the cursor are handled. One round trip."""
        self._cell.write_small(
            (
                *("HSET", self._key(job), "cursor", _encode_cursor(cursor)),
                *("refused", "", "updated_ms", self._cell.now_ms()),
            ),
            ("HINCRBY", self._key(job), "examined", examined),
            ("HINCRBY", self._key(job), "skipped", skipped),
            self._expiry(job),
            if_exists=self._key(job),
        )

    def note_refused(self, job: LetterJob, refused: str) -> None:
        """Record why the store takes no more. Redis: one round trip."""
        fields = ("refused", refused, "updated_ms", self._cell.now_ms())
        key = self._key(job)
        self._cell.write_small(("HSET", key, *fields), if_exists=key)

    def lease(self, job: LetterJob, worker: str, *, ttl_ms: int) -> bool:
        """Lease a job, or extend the lease; return whether the worker has it.

        Two workers at the same time would do no harm, but double the rate.
        """
        key = keys.letter_job_lease(self._prefix, job.tenant, job.id)
        set_lease = ("SET", key, worker, "PX", ttl_ms)
        if self._cell.write_small((*set_lease, "NX"))[0] is not None:
            return True
        if self._cell.client.get(key) != worker.encode():
            return False
        self._cell.write_small(set_lease)
        return True

    def is_leased(self, job: LetterJob) -> bool:
        """Whether a process works on the job now. Redis: one round trip."""
        key = keys.letter_job_lease(self._prefix, job.tenant, job.id)
        return bool(self._cell.client.exists(key))

    def release(self, job: LetterJob, worker: str) -> None:
        """End the lease of a job, unless another worker has it."""
        key = keys.letter_job_lease(self._prefix, job.tenant, job.id)
        if self._cell.client.get(key) == worker.encode():
            self._cell.write_small(("DEL", key))

    def is_running(self, job: LetterJob) -> bool:
        """Whether the job exists and nobody has stopped it. One round trip."""
        state = cast(bytes | None, self._cell.client.hget(self._key(job), "state"))
        return state == JobState.RUNNING.encode()

    @property
    def _open(self) -> str:
        return keys.open_letter_jobs(self._prefix)

    def _key(self, job: LetterJob) -> str:
        return keys.letter_job(self._prefix, job.tenant, job.id)

    def _expiry(self, job: LetterJob) -> Command:
        return "EXPIRE", self._key(job), TTL_S

    def _end(self, job: LetterJob, state: JobState, change: Change | None) -> None:
        fields = ("state", state, "refused", "", "updated_ms", self._cell.now_ms())
        after = {"state": state}
        self._cell.write_small(
            ("HSET", self._key(job), *fields),
            self._expiry(job),
            ("ZREM", self._open, job.name),
            *audit.commands(self._prefix, change, before=_state(job), after=after),
            if_exists=self._key(job),
        )

    def _read(self, tenant: str, job_ids: Sequence[str]) -> list[LetterJob | None]:
        pipe = self._cell.client.pipeline(transaction=False)
        for job_id in job_ids:
            pipe.hgetall(keys.letter_job(self._prefix, tenant, job_id))
        return [
            _decode(tenant, job_id, stored) if stored else None
            for job_id, stored in zip(job_ids, pipe.execute(), strict=True)
        ]


RUNNING = {"state": JobState.RUNNING}


def _state(job: LetterJob) -> dict[str, object]:
    return {"state": job.state}


def _describe(wanted: LetterFilter) -> str:
    """Return a filter as text for the audit log."""
    named = {name: value for name, value in _filter_fields(wanted).items() if value}
    return orjson.dumps(named).decode() if named else "all"


def _filter_fields(wanted: LetterFilter) -> dict[str, object]:
    return {
        "start_ms": wanted.time.start_ms,
        "end_ms": wanted.time.end_ms,
        "url": wanted.target.url,
        "queue": wanted.target.queue,
        "cause": wanted.cause,
        "label": wanted.label,
    }


def _encode(job: LetterJob) -> dict[str, str | int]:
    return {
        "action": job.action,
        "filter": orjson.dumps(_filter_fields(job.wanted)).decode(),
        "rate": job.rate,
        "by": job.by,
        "created_ms": job.created_ms,
        "least": job.expected.least,
        "most": job.expected.most,
        "state": job.state,
    }


def _decode(tenant: str, job_id: str, stored: dict[bytes, bytes]) -> LetterJob:
    def integer(name: str) -> int:
        return int(stored.get(name.encode(), b"0"))

    def text(name: str) -> str:
        return stored.get(name.encode(), b"").decode()

    wanted: dict[str, Any] = orjson.loads(text("filter"))
    return LetterJob(
        id=job_id,
        tenant=tenant,
        action=Action(text("action")),
        wanted=LetterFilter(
            Span(wanted["start_ms"], wanted["end_ms"]),
            Target(wanted["url"], wanted["queue"]),
            wanted["cause"],
            wanted["label"],
        ),
        rate=integer("rate"),
        by=text("by"),
        created_ms=integer("created_ms"),
        expected=LetterCount(integer("least"), integer("most")),
        state=JobState(text("state")),
        cursor=_decode_cursor(text("cursor")),
        examined=integer("examined"),
        done=integer("done"),
        skipped=integer("skipped"),
        refused=text("refused"),
        updated_ms=integer("updated_ms"),
    )


def _encode_cursor(cursor: Position) -> str:
    return f"{cursor.at_ms} {cursor.id}"


def _decode_cursor(text: str) -> Position | None:
    at_ms, _, event_id = text.partition(" ")
    return Position(int(at_ms), event_id) if at_ms else None
