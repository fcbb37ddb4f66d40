"""Pages of schedules for people, the newest first, read in bounded steps."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Content, Owner, Schedule, ScheduleState
from scheduler_api.core.queries.filters import (
    ALWAYS,
    ANYWHERE,
    Labels,
    Target,
    has_label,
)
from scheduler_api.core.queries.heads import read_heads
from scheduler_api.core.queries.positions import Position, collect, walk
from scheduler_api.core.store import codec, keys, schedule_records
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import execute_reads, log_unreadable
from scheduler_api.core.store.records import SCHEDULE, Record

PAGE_SIZE = 50
# How many schedules a page examines at most to find those that match.
MAX_EXAMINED = 750
EXAMINED = SCHEDULE.codes(
    *("owner", "state", "end_ms", "revision", "destination", "gates")
)
NO_TIME = float("inf")


@dataclass(frozen=True)
class ScheduleFilter:
    """Which schedules a page shows.

    Attributes:
        state: None for any. A schedule whose end has passed has ended.
        target: where the occurrences go.
        label: a label that the client gave; '' for any.
    """

    state: ScheduleState | None = None
    target: Target = ANYWHERE
    label: str = ""


@dataclass(frozen=True)
class SchedulePage:
    """Schedules that match, without bodies, and where the next page begins.

    Attributes:
        next: the position of the last examined schedule, None at the end of the list.
        is_searched: whether the page ended because it examined `MAX_EXAMINED`.
    """

    schedules: Sequence[Schedule]
    next: Position | None
    is_searched: bool


class SchedulePages:
    """Reads the schedules of several owners of one cell, page by page."""

    def __init__(self, cell: Cell, labels: Labels) -> None:
        """
        Args:
            labels: returns the labels in the options of content, by the name of the
                dialect.
        """
        self._cell = cell
        self._labels = labels

    def read(
        self,
        owners: Sequence[Owner],
        wanted: ScheduleFilter,
        *,
        now_ms: int,
        after: Position | None = None,
        size: int = PAGE_SIZE,
    ) -> SchedulePage:
        """Return the schedules that were created before a position, newest first.

        Unreadable schedules are logged and left out. Redis: a few reads for each owner,
        two for each batch, and two for the page.
        """
        indexes = [keys.schedules(self._cell.prefix, str(owner)) for owner in owners]
        walks = [
            walk(self._cell, index, ALWAYS, after=after, is_rising=False)
            for index in indexes
        ]
        found: list[str] = []
        following, is_searched = collect(
            found,
            heapq.merge(*walks, reverse=True),
            partial(self._examine, wanted=wanted, now_ms=now_ms),
            size=size,
            most=MAX_EXAMINED,
        )
        return SchedulePage([*self._decoded(found)], following, is_searched)

    def _examine(
        self, batch: Sequence[Position], *, wanted: ScheduleFilter, now_ms: int
    ) -> Iterator[tuple[Position, str | None]]:
        """Yield each position, with its id if the schedule matches."""
        records = self._records([each.id for each in batch])
        matching = {
            schedule_id: record
            for schedule_id, record in records.items()
            if _record_matches(record, wanted, now_ms=now_ms)
        }
        if wanted.target.url or wanted.label:
            matching = self._by_content(matching, wanted)
        for position in batch:
            yield position, position.id if position.id in matching else None

    def _records(self, schedule_ids: Sequence[str]) -> dict[str, Record]:
        pipe = self._cell.client.pipeline(transaction=False)
        for schedule_id in schedule_ids:
            pipe.hmget(keys.schedule(self._cell.prefix, schedule_id), EXAMINED)
        records: dict[str, Record] = {}
        for schedule_id, values in zip(schedule_ids, execute_reads(pipe), strict=True):
            if isinstance(values, UnreadableRecord):
                log_unreadable(self._cell, f"s:{schedule_id}", values)
                continue
            pairs = zip(EXAMINED, values, strict=True)
            stored = {code.encode(): v for code, v in pairs if v is not None}
            records[schedule_id] = SCHEDULE.named(stored)
        return records

    def _by_content(
        self, records: dict[str, Record], wanted: ScheduleFilter
    ) -> dict[str, Record]:
        heads = self._heads(records)
        return {
            schedule_id: record
            for schedule_id, record in records.items()
            if self._content_matches(
                Owner.parse(record["owner"].decode()),
                *(_content(heads[schedule_id]), wanted),
            )
        }

    def _content_matches(
        self, owner: Owner, content: Content | None, wanted: ScheduleFilter
    ) -> bool:
        if content is None or not wanted.target.matches(content):
            return False
        return has_label(wanted.label, content, self._labels, owner.dialect)

    def _heads(self, records: dict[str, Record]) -> dict[str, bytes]:
        places = {
            schedule_id: keys.template(
                *(self._cell.prefix, schedule_id),
                record.get("revision", b"").decode(errors="replace"),
            )
            for schedule_id, record in records.items()
        }
        heads = read_heads(self._cell, [*places.values()])
        return {schedule_id: heads[place] for schedule_id, place in places.items()}

    def _decoded(self, schedule_ids: Sequence[str]) -> Iterator[Schedule]:
        pipe = self._cell.client.pipeline(transaction=False)
        for schedule_id in schedule_ids:
            pipe.hgetall(keys.schedule(self._cell.prefix, schedule_id))
        records: dict[str, Record] = {
            schedule_id: SCHEDULE.named(stored)
            for schedule_id, stored in zip(
                schedule_ids, execute_reads(pipe), strict=True
            )
            if stored and not isinstance(stored, UnreadableRecord)
        }
        heads = self._heads(records)
        for schedule_id, record in records.items():
            try:
                yield schedule_records.decode(schedule_id, record, heads[schedule_id])
            except UnreadableRecord as err:
                log_unreadable(self._cell, f"s:{schedule_id}", err)


def _record_matches(record: Record, wanted: ScheduleFilter, *, now_ms: int) -> bool:
    if wanted.state is not None:
        has_ended = float(record.get("end_ms") or NO_TIME) < now_ms
        state = ScheduleState.ENDED if has_ended else record.get("state", b"").decode()
        if state != wanted.state:
            return False
    return "owner" in record and wanted.target.may_match(record)


def _content(head: bytes) -> Content | None:
    """Return a content without its body, None if it is unreadable."""
    try:
        return codec.decode_content(head)
    except UnreadableRecord:
        return None
