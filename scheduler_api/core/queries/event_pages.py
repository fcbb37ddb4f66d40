"""Pages of events for people, ordered by time, read in bounded steps."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Content, Event, Owner, State
from scheduler_api.core.queries.filters import (
    ALWAYS,
    ANYWHERE,
    Labels,
    Span,
    Target,
    has_label,
)
from scheduler_api.core.queries.heads import read_contents, read_records
from scheduler_api.core.queries.positions import Position, collect, walk
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import log_unreadable
from scheduler_api.core.store.records import EVENT, Record

PAGE_SIZE = 50
# How many events a page examines at most to find those that match.
MAX_EXAMINED = 1_000
FIELDS = EVENT.codes(
    *("owner", "state", "due_ms", "first_due_ms", "created_ms", "finished_ms"),
    *("attempts", "reason", "schedule", "revision", "body_revision", "token"),
    *("destination", "gates", "waits_at"),
)


class Status(StrEnum):
    """The state of an event as people see it.

    `scheduled`: its time has not come. `due`: its time has come, and it has not ended.
    """

    SCHEDULED = "scheduled"
    DUE = "due"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


STATES_OF = {
    Status.DELIVERED: (State.DELIVERED,),
    Status.FAILED: (State.DEAD, State.CLEARED),
    Status.CANCELLED: (State.CANCELLED,),
}
STATUSES = {state: status for status, states in STATES_OF.items() for state in states}
# What the list shows first.
PAST = frozenset(Status) - {Status.SCHEDULED}


def status_of(event: Event, now_ms: int) -> Status:
    """Return the status of an event, as lists of events have it."""
    if event.state is not State.ACTIVE:
        return STATUSES[event.state]
    return Status.SCHEDULED if event.wanted_ms > now_ms else Status.DUE


@dataclass(frozen=True)
class EventFilter:
    """Which events a page shows.

    Attributes:
        statuses: not `scheduled` together with others.
        time: scheduled and due events: when they are first due; others: when they
            ended.
        target: where the events go.
        label: a label that the client gave; '' for any.
    """

    statuses: frozenset[Status] = PAST
    time: Span = ALWAYS
    target: Target = ANYWHERE
    label: str = ""


@dataclass(frozen=True)
class Summary:
    """An event in a list. `content` has no body; it is None if it is unreadable.

    `at_ms` is its time in the list, `next_ms` when it is due next. `waits_at` is the
    gate at which it waits, '' if it does not. `is_sent` is whether an attempt runs.
    """

    id: str
    owner: Owner
    status: Status
    at_ms: int
    created_ms: int
    next_ms: int
    attempts: int
    reason: str
    schedule: str
    waits_at: str
    is_sent: bool
    content: Content | None


@dataclass(frozen=True)
class EventPage:
    """Events that match, and where the next page begins.

    Attributes:
        next: the position of the last examined event, None at the end of the list.
        is_searched: whether the page ended because it examined `MAX_EXAMINED` events.
    """

    events: Sequence[Summary]
    next: Position | None
    is_searched: bool


class EventPages:
    """Reads the events of several owners of one cell, page by page."""

    def __init__(self, cell: Cell, labels: Labels) -> None:
        self._cell = cell
        self._labels = labels

    def read(
        self,
        owners: Sequence[Owner],
        wanted: EventFilter,
        *,
        now_ms: int,
        after: Position | None = None,
        size: int = PAGE_SIZE,
    ) -> EventPage:
        """Return the events that come next after a position.

        Scheduled events begin with the one that is due first, others with the newest.
        Redis: a few reads for each owner and status, and two for each batch.
        """
        found: list[Summary] = []
        following, is_searched = collect(
            found,
            self._entries(owners, wanted, now_ms=now_ms, after=after),
            partial(self._summaries, wanted=wanted, now_ms=now_ms),
            size=size,
            most=MAX_EXAMINED,
        )
        return EventPage(found, following, is_searched)

    def _entries(
        self,
        owners: Sequence[Owner],
        wanted: EventFilter,
        *,
        now_ms: int,
        after: Position | None,
    ) -> Iterator[Position]:
        is_rising = Status.SCHEDULED in wanted.statuses
        sources = [
            walk(self._cell, key, span, after=after, is_rising=is_rising)
            for owner in owners
            for key, span in _indexes(self._cell.prefix, owner, wanted, now_ms)
        ]
        return heapq.merge(*sources, reverse=not is_rising)

    def _summaries(
        self, batch: Sequence[Position], *, wanted: EventFilter, now_ms: int
    ) -> Iterator[tuple[Position, Summary | None]]:
        """Yield each position, with its event if it matches."""
        found = read_records(self._cell, (each.id for each in batch), FIELDS)
        records = {
            event_id: record
            for event_id, record in found
            if "owner" in record and wanted.target.may_match(record)
        }
        contents = {
            event_id: None if isinstance(content, UnreadableRecord) else content
            for event_id, content in read_contents(self._cell, records)
        }
        for position in batch:
            record, summary = records.get(position.id), None
            content = contents.get(position.id)
            if record is not None and self._matches(wanted, record, content):
                try:
                    summary = _summary(position, record, content, now_ms=now_ms)
                except (KeyError, ValueError) as err:
                    problem = UnreadableRecord(f"record: {err!r}")
                    log_unreadable(self._cell, position.id, problem)
            yield position, summary

    def _matches(
        self, wanted: EventFilter, record: Record, content: Content | None
    ) -> bool:
        owner = Owner.parse(record["owner"].decode())
        return wanted.target.matches(content) and has_label(
            wanted.label, content, self._labels, owner.dialect
        )


def _indexes(
    prefix: str, owner: Owner, wanted: EventFilter, now_ms: int
) -> Iterator[tuple[str, Span]]:
    active = keys.by_time(prefix, str(owner), State.ACTIVE)
    if Status.SCHEDULED in wanted.statuses:
        start_ms = max(now_ms + 1, wanted.time.start_ms or 0)
        yield active, Span(start_ms, wanted.time.end_ms)
        return
    if Status.DUE in wanted.statuses:
        yield active, wanted.time.until(now_ms)
    for status, states in STATES_OF.items():
        if status in wanted.statuses:
            for state in states:
                yield keys.finished(prefix, str(owner), state), wanted.time


def _summary(
    position: Position, record: Record, content: Content | None, *, now_ms: int
) -> Summary:
    state = record.get("state")
    due_ms = int(record.get("first_due_ms") or record["due_ms"])
    if state is None:
        status = Status.SCHEDULED if due_ms > now_ms else Status.DUE
    else:
        status = STATUSES[State(state.decode())]
    return Summary(
        id=position.id,
        owner=Owner.parse(record["owner"].decode()),
        status=status,
        at_ms=position.at_ms,
        created_ms=int(record["created_ms"]),
        next_ms=int(record["due_ms"]),
        attempts=int(record.get("attempts", 0)),
        reason=record.get("reason", b"").decode(),
        schedule=record.get("schedule", b"").decode(),
        waits_at=record.get("waits_at", b"").decode(),
        is_sent="token" in record and state is None,
        content=content,
    )
