"""The engine's data types: events, their content and attempts, and schedules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from scheduler_api.core.cron.clock_changes import ClockChange
from scheduler_api.core.deduplication import DeduplicationKey, Duplicate
from scheduler_api.core.frozen import frozen
from scheduler_api.core.headers import POSSIBLE_DUPLICATE
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Owner:
    """A tenant combined with a dialect; each event and schedule belongs to an owner."""

    tenant: str
    dialect: str

    def __str__(self) -> str:
        return f"{self.tenant}:{self.dialect}"

    @staticmethod
    @lru_cache(maxsize=1024)
    def parse(text: str) -> "Owner":
        """Parse the result of `str(owner)`; cached, because many events have it."""
        tenant, _, dialect = text.partition(":")
        return Owner(tenant, dialect)


@frozen
class Content:
    """What to send, and where. Stored content never changes; edits store new content.

    `options` is JSON that only the event's dialect reads. `trace` is the trace of its
    creation, which only `spans` reads; '' without one.
    """

    url: str
    body: bytes
    options: Mapping[str, Any] = field(default_factory=dict)
    trace: str = ""


@dataclass(frozen=True)
class FlowLimits:
    """A flow-control key, and the limits that an event sets for the key, if any."""

    key: str
    parallelism: int | None = None
    rate: int | None = None
    period_ms: int = 1_000


@dataclass(frozen=True)
class Gates:
    """The queue and the flow-control key that limit an event's attempts."""

    queue: str = ""
    flow: FlowLimits | None = None


NO_GATES = Gates()


@dataclass(frozen=True)
class Draft:
    """An event to be stored, due at `at_ms`, or `delay_ms` from now.

    Attributes:
        journal: whether the event is recorded in its owner's journal.
        id: normally empty; the event then gets a new id. An event that must be created
            at most once, such as a callback, has an id that is derived from its origin.
        ascending: whether the new id must be higher than all ids issued so far.
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
    """The result of storing a draft. It determines what `Accepted.id` contains.

    `ok`: the draft was stored. `Accepted.id` is the id of the new event.
    `duplicate`: an existing event has the same deduplication key or id. `Accepted.id`
    is the id of the existing event.
    `past`: the fire time is not in the future.
    `full`: the store is nearly full.
    `gone`: the dead letter that the draft replaces does not exist.
    `fault`: the dead letter is unreadable. `Accepted.id` is the error message.
    `limit_reached`: the owner or its tenant may store no more. `Accepted.id` is the
    message of `LimitReached`.
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
    """The result of storing a draft.

    `wanted_ms` and `created_ms` are set only if the event was stored. `duplicate_of` is
    set if another event has the same deduplication key.
    """

    verdict: Verdict
    id: str
    wanted_ms: int
    created_ms: int
    duplicate_of: Duplicate | None = None


@dataclass(frozen=True)
class FollowUp:
    """An event, such as a callback, that is created when another event's attempt ends.

    `id` is derived from the id of the attempted event.
    """

    id: str
    content: Content
    deadline_ms: int
    delay_ms: int = 0


class State(StrEnum):
    """The state of an event; all but `active` are final.

    `cleared`: the event was `dead`, then its dead letter was removed or replayed.
    """

    ACTIVE = "active"
    DELIVERED = "delivered"
    DEAD = "dead"
    CANCELLED = "cancelled"
    CLEARED = "cleared"


FINAL_STATES = (State.DELIVERED, State.DEAD, State.CANCELLED, State.CLEARED)


class Held(NamedTuple):
    """An event that is due, but waits for its destination.

    `by` is the URL of the origin or route.
    """

    by: str
    since_ms: int


@dataclass(frozen=True)
class Event:
    """A stored event.

    `wanted_ms` is the fire time, and `next_ms` is the time of the next attempt; the two
    times differ while a retry is planned. `change` is the nonce of the last edit, '' if
    the event was not edited. `quarantined_ms` is when the event was quarantined. `held`
    is None unless the event waits for its destination. `deadline_ms` is the time limit
    of an attempt, 0 if it is not known.
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
    held: Held | None = None
    deadline_ms: int = 0

    @classmethod
    def new(
        cls,
        event_id: str,
        owner: Owner,
        content: Content,
        *,
        wanted_ms: int,
        created_ms: int,
        deadline_ms: int = 0,
    ) -> "Event":
        """Create an event in the state in which new events are stored."""
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
            deadline_ms=deadline_ms,
        )


class Outcome(StrEnum):
    """What happens to an event after an attempt: it is delivered, dead or retried.

    After an attempt without an outcome, the event is due again, and is charged with no
    failure. `INTERRUPTED`: the request may have arrived. `UNSENT`: nothing was sent.
    """

    DELIVERED = "delivered"
    RETRY = "retry"
    DEAD = "dead"
    INTERRUPTED = "interrupted"
    UNSENT = "unsent"


class AttemptKind(StrEnum):
    """How an attempt ended.

    `SETTLED`: the worker stored the result in time, before its lease ended.
    `INTERRUPTED`: the lease ended, and the worker has stored no result. `LATE`: the
    worker stored the result after the lease ended.
    """

    SETTLED = "a"
    INTERRUPTED = "i"
    LATE = "l"


@dataclass(frozen=True)
class Attempt:
    """The log of one HTTP request for an event.

    Times are in epoch ms. `error` is a stable code, and `detail` a sentence about the
    failure, which the tenant may see. `headers` are the response headers that the
    dialect keeps. `signed` has those parts of the request that cannot be computed
    again.

    `response` is the body of the response. `body_incomplete`: it was cut off, late or
    malformed. `body_truncated`: only its start was kept.
    """

    event_id: str
    number: int
    kind: AttemptKind
    started_ms: int
    ended_ms: int
    next_ms: int | None
    status: int | None = None
    error: str | None = None
    detail: str = ""
    connect_ms: float | None = None
    first_byte_ms: float | None = None
    total_ms: float | None = None
    response: bytes = b""
    body_incomplete: bool = False
    body_truncated: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    signed: dict[str, str] | None = None

    @property
    def possible_duplicate(self) -> bool:
        """Whether a header of the request marked it as a possible duplicate."""
        return POSSIBLE_DUPLICATE in (self.signed or {})


class ScheduleState(StrEnum):
    """Whether a schedule fires; an `ended` schedule has no further fire times."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class MissedRuns(StrEnum):
    """Which missed fire times to make up for.

    A fire time is missed if no worker claims it within the grace period.
    """

    LATEST = "latest"
    SKIP = "skip"
    ALL = "all"


class Overlap(StrEnum):
    """What happens at a fire time while the newest occurrence is unfinished.

    `run`: a new occurrence runs at the same time. `skip`: the fire time is skipped.
    `queue`: the fire time waits until the newest occurrence is finished.
    An occurrence for a URL group is finished as soon as the events for the group's
    endpoints are stored.
    """

    RUN = "run"
    SKIP = "skip"
    QUEUE = "queue"


@dataclass(frozen=True)
class ScheduleOptions:
    """The options of a schedule.

    Attributes:
        delay_ms: how long after its fire time an event is due.
        max_missed: with `MissedRuns.ALL`, how many missed fire times to make up for.
        journal: whether events are recorded in the owner's journal.
        start_ms, end_ms: the schedule does not fire before the start, and no attempt
            begins after the end.
        max_runs: how often the schedule may fire in total.
        jitter_ms: the maximum delay of an event after its fire time. The actual delay
            is computed from the fire time, and the event is due before the next fire
            time.
        strict: whether pausing or deleting the schedule also withdraws its unfinished
            events. Events of a strict schedule are retried only before its next fire
            time, and not at all if its fire times are less than a minute apart.
        gates: the queue and the flow-control key of the events.
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
    """A stored schedule: a rule that creates events.

    `last_used_ms` is the newest fire time that fired, was skipped, or missed.
    `last_fired_ms` is the newest fire time that fired. `first_begun_ms` is the time at
    which the first attempt of any event of the schedule began; it is recorded only for
    strict schedules. `missed` counts missed fire times. `pauses` counts how often the
    schedule was paused. `queries.schedule_search.search_term` creates the
    `search_terms`.
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
    last_used_ms: int
    times_ms: tuple[int, ...]
    missed: int
    name: str = ""
    last_fired_ms: int | None = None
    options: ScheduleOptions = ScheduleOptions()
    search_terms: tuple[str, ...] = ()
    first_begun_ms: int | None = None
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
        """A new active schedule without fire times."""
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
            last_used_ms=created_ms,
            times_ms=(),
            missed=0,
            name=name,
            options=options,
            search_terms=tuple(search_terms),
        )

    def is_over(self, now_ms: int) -> bool:
        """Whether the schedule has ended, or its end time has passed."""
        end_ms = self.options.end_ms
        past = end_ms is not None and end_ms < now_ms
        return past or self.state is ScheduleState.ENDED


@frozen
class Begun:
    """An event for which a worker has begun an attempt.

    `failures` counts failed attempts. `interruptions` counts the latest attempts in a
    row that were interrupted. `content` is None if the content is too large for the
    reply of `begin`; the key `content_key` then has the content. `origin` and `route`
    are the gates of the event's destination, `origin_held` and `route_held` whether
    they held events back when the attempt began, and `passes_origin` whether the event
    passed a slowed origin because its route is healthy. `may_repeat` is whether the
    store may have lost an earlier delivery, or knows of an interrupted attempt. No
    attempt may begin later than `left_ms` from now; None means no limit. `is_trial` is
    whether a busy worker only tries whether the destination is fast.
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
    origin: str = ""
    route: str = ""
    origin_held: bool = False
    route_held: bool = False
    passes_origin: bool = False
    may_repeat: bool = False
    left_ms: int | None = None
    is_trial: bool = False

    @property
    def possible_duplicate(self) -> bool:
        """Whether an earlier attempt without a result may have reached the receiver."""
        return self.may_repeat or self.attempt - 1 > self.failures
