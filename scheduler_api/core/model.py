"""What the engine is about: events, their content, their attempts, schedules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from scheduler_api.core.cron.clock_changes import ClockChange
from scheduler_api.core.deduplication import DeduplicationKey, Duplicate
from scheduler_api.core.headers import POSSIBLE_DUPLICATE
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


@dataclass(frozen=True)
class FlowLimits:
    """A flow-control key, and the limits that an event brings to it; None is none."""

    key: str
    parallelism: int | None = None
    rate: int | None = None
    period_ms: int = 1_000


@dataclass(frozen=True)
class Gates:
    """What an event waits at before each attempt: its queue, its flow-control key."""

    queue: str = ""
    flow: FlowLimits | None = None


NO_GATES = Gates()


@dataclass(frozen=True)
class Draft:
    """An event about to be stored: wanted at a time, or a while from now.

    A repeat has the same `deduplication` key; `journal` says whether its owner's
    journal tells of it. An `id` is for what is made once and never again,
    derived from what makes it; without one a new id is taken, which is higher than all
    given out so far if it is to be `ascending`.
    """

    content: Content
    deadline_ms: int
    at_ms: int | None = None
    delay_ms: int = 0
    must_be_future: bool = False
    journal: bool = False
    deduplication: DeduplicationKey | None = None
    id: str = ""
    ascending: bool = False
    gates: Gates = NO_GATES


class Verdict(StrEnum):
    """What became of a draft; `duplicate` names the event with its key or id.

    `gone`: there is no such dead letter as it was to replace; `fault`: that could not
    be read, and the id tells why; `limit_reached`: its owner has too many gates of the
    kind that the id names.
    """

    OK = "ok"
    PAST = "past"
    FULL = "full"
    DUPLICATE = "duplicate"
    GONE = "gone"
    FAULT = "fault"
    LIMIT_REACHED = "limit_reached"


@dataclass(frozen=True)
class Accepted:
    """The answer to a draft; times only if it was stored, else its duplicate."""

    verdict: Verdict
    id: str
    wanted_ms: int
    created_ms: int
    duplicate_of: Duplicate | None = None


@dataclass(frozen=True)
class FollowUp:
    """An event that the end of an attempt brings about; its id derives from it."""

    id: str
    content: Content
    deadline_ms: int
    delay_ms: int = 0


class State(StrEnum):
    """How far an event is; all but the first are final.

    `cleared` was dead, until somebody removed the dead letter or sent it anew.
    """

    ACTIVE = "active"
    DELIVERED = "delivered"
    DEAD = "dead"
    CANCELLED = "cancelled"
    CLEARED = "cleared"


FINAL_STATES = (State.DELIVERED, State.DEAD, State.CANCELLED, State.CLEARED)


@dataclass(frozen=True)
class Event:
    """An event as it stands in the store.

    `wanted_ms` is its fire time; `next_ms` when it is wanted next (later, once a retry
    is planned). `change` names its last edit, '' if none. `quarantined_ms` says
    since when it has been in quarantine.
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
    quarantined_ms: int | None = None
    schedule: str | None = None

    @classmethod
    def new(
        cls,
        event_id: str,
        owner: Owner,
        content: Content,
        *,
        wanted_ms: int,
        created_ms: int,
    ) -> "Event":
        """An event as it stands once it is stored."""
        return cls(
            id=event_id,
            owner=owner,
            content=content,
            state=State.ACTIVE,
            wanted_ms=wanted_ms,
            next_ms=wanted_ms,
            created_ms=created_ms,
            updated_ms=created_ms,
            attempts=0,
            finished_ms=None,
            reason=None,
            change="",
        )


INTERRUPTED = "the attempt was interrupted; the request may have arrived"


class AttemptKind(StrEnum):
    """How an attempt ended: settled, interrupted, or too late (another took over)."""

    SETTLED = "a"
    INTERRUPTED = "i"
    LATE = "l"


@dataclass(frozen=True)
class Attempt:
    """One HTTP request for an event, as logged; times in epoch ms, durations in ms.

    `headers` are what its dialect keeps of the response's.
    """

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
    headers: tuple[tuple[str, str], ...] = ()
    signed: dict[str, str] | None = None

    @property
    def possible_duplicate(self) -> bool:
        """Whether its request said that an earlier one may have arrived."""
        return POSSIBLE_DUPLICATE in (self.signed or {})


class ScheduleState(StrEnum):
    """Whether a schedule fires; `ended` when its rule yields no further time."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class MissedRuns(StrEnum):
    """What happens to fire times that nobody claimed within their grace."""

    LATEST = "latest"
    SKIP = "skip"
    ALL = "all"


class Overlap(StrEnum):
    """What a fire time does while the newest occurrence has not ended.

    It runs beside it, is skipped, or waits for it. What goes to a URL group has ended
    once its endpoints have events of their own.
    """

    RUN = "run"
    SKIP = "skip"
    QUEUE = "queue"


@dataclass(frozen=True)
class ScheduleOptions:
    """What a schedule does beside firing; `max_missed` bounds `all`.

    Nothing fires before `start_ms`, and no attempt begins after `end_ms`. `max_runs`
    bounds how often it fires in all. Each occurrence is late by its own part of
    `jitter_ms`, always the same one, and never by so much as to reach the next fire
    time. A strict one takes back what it has made once it
    is paused or deleted, tries again only before its next fire time, and not at all if
    that is less than a minute away; any other leaves what it has made alone. `gates`
    are those of its events.
    """

    delay_ms: int = 0
    missed_runs: MissedRuns = MissedRuns.LATEST
    max_missed: int = 0
    journal: bool = False
    start_ms: int | None = None
    end_ms: int | None = None
    max_runs: int | None = None
    jitter_ms: int = 0
    overlap: Overlap = Overlap.RUN
    clock: ClockChange = field(default_factory=ClockChange)
    strict: bool = False
    gates: Gates = NO_GATES


@dataclass(frozen=True)
class Schedule:
    """A rule that creates events, as it is stored.

    `fired_ms` is the newest fire time used. `called_ms` is when an attempt was first
    begun; only strict schedules have it. `pauses` counts how often the schedule was
    paused. `search_terms` are made by `queries.schedule_search.search_term`.
    """

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
    name: str = ""
    fired_ms: int | None = None
    options: ScheduleOptions = ScheduleOptions()
    search_terms: tuple[str, ...] = ()
    called_ms: int | None = None
    pauses: int = 0
    runs_left: int | None = None

    @classmethod
    def new(
        cls,
        schedule_id: str,
        owner: Owner,
        content: Content,
        *,
        expression: str,
        tz: str,
        deadline_ms: int,
        created_ms: int = 0,
        name: str = "",
        options: ScheduleOptions = ScheduleOptions(),
        search_terms: Sequence[str] = (),
    ) -> "Schedule":
        """An active one without fire times, as it is before or once it is stored."""
        return cls(
            id=schedule_id,
            owner=owner,
            content=content,
            state=ScheduleState.ACTIVE,
            expression=expression,
            tz=tz,
            revision="",
            deadline_ms=deadline_ms,
            created_ms=created_ms,
            updated_ms=created_ms,
            last_ms=created_ms,
            times_ms=(),
            missed=0,
            name=name,
            options=options,
            search_terms=tuple(search_terms),
        )

    def is_over(self, now_ms: int) -> bool:
        """Whether nothing more can come of it, even if no claim has seen that yet."""
        end_ms = self.options.end_ms
        past = end_ms is not None and end_ms < now_ms
        return past or self.state is ScheduleState.ENDED


@dataclass(frozen=True)
class Begun:
    """An event in a worker's hand: what `begin` answered.

    `failures` counts failed attempts, `interruptions` those lost in a row; `content`
    is None while it must still be fetched under `content_key`. `destination` is the
    gate of where it goes, `watched` while that held events back; after `left_ms` from
    then on no attempt may begin.
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
    destination: str = ""
    watched: bool = False
    left_ms: int | None = None

    @property
    def possible_duplicate(self) -> bool:
        """Whether an earlier attempt has no known end: its request may have arrived."""
        return self.attempt - 1 > self.failures
