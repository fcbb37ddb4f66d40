"""What the engine is about: events, their content, their attempts, schedules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Owner:
    """Who a thing belongs to: a tenant, through one dialect."""

    tenant: str
    dialect: str

    def __str__(self) -> str:
        return f"{self.tenant}:{self.dialect}"

    @classmethod
    def parse(cls, text: str) -> "Owner":
        """The owner that `str` wrote."""
        tenant, _, dialect = text.partition(":")
        return cls(tenant, dialect)


@dataclass(frozen=True)
class Content:
    """What is to be sent where. Immutable once stored; an edit stores a new one.

    `options` is the dialect's own: plain JSON that only its folder reads.
    """

    url: str
    body: bytes
    options: Mapping[str, Any] = field(default_factory=dict)


class State(StrEnum):
    """How far an event is; the last three are final."""

    ACTIVE = "active"
    DELIVERED = "delivered"
    DEAD = "dead"
    CANCELLED = "cancelled"


FINAL_STATES = (State.DELIVERED, State.DEAD, State.CANCELLED)


@dataclass(frozen=True)
class Event:
    """An event as it stands in the store.

    `wanted_ms` is its fire time; `next_ms` when it is wanted next (later, once a retry
    is planned). `change` names its last edit, '' if none. `stuck` tells why no script
    could read it.
    """

    id: str
    owner: Owner
    content: Content
    state: State
    wanted_ms: int
    next_ms: int
    created_ms: int
    updated_ms: int
    attempts: int
    finished_ms: int | None
    reason: str | None
    change: str
    stuck_ms: int | None = None


class AttemptKind(StrEnum):
    """How an attempt ended: settled, interrupted, or too late (another took over)."""

    SETTLED = "a"
    INTERRUPTED = "i"
    LATE = "l"


@dataclass(frozen=True)
class Attempt:
    """One HTTP request for an event, as logged; times in epoch ms, durations in ms."""

    event_id: str
    number: int
    kind: AttemptKind
    started_ms: int
    ended_ms: int
    next_ms: int | None
    status: int | None = None
    error: str | None = None
    connect_ms: float | None = None
    first_byte_ms: float | None = None
    total_ms: float | None = None
    response: str = ""
    signed: dict[str, str] | None = None


class ScheduleState(StrEnum):
    """Whether a schedule fires; `ended` when its rule yields no further time."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True)
class Schedule:
    """A rule that yields events, as it stands in the store."""

    id: str
    owner: Owner
    content: Content
    state: ScheduleState
    expression: str
    tz: str
    revision: str
    deadline_ms: int
    created_ms: int
    updated_ms: int
    last_ms: int
    times_ms: tuple[int, ...]
    missed: int


@dataclass(frozen=True)
class Begun:
    """An event in a worker's hand: what `begin` answered.

    `failures` counts failed attempts, `interruptions` those lost in a row; `content`
    is None while it must still be fetched under `content_key`.
    """

    id: str
    token: str
    attempt: int
    failures: int
    interruptions: int
    wanted_ms: int
    created_ms: int
    deadline_ms: int
    owner: Owner
    content_key: str
    content: Content | None
    schedule: str | None
