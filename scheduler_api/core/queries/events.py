"""Queries for users: lists of events, and histories of events and schedules."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Attempt, Content, Event, Owner, State
from scheduler_api.core.queries.filters import (
    ALWAYS,
    FINAL_PHASES,
    Phase,
    Selection,
    Span,
)
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import (
    execute_reads,
    log_unreadable,
    read_event,
    read_events,
    readable,
)
from scheduler_api.core.store.records import EVENT
from typing import NamedTuple, cast

# How many events are read at once; their contents have to fit in memory.
BATCH = 100
# How many members of an index are read at once. The size of the pages doubles, up to
# the largest.
FIRST_PAGE, LARGEST_PAGE = 500, 16_000
# How often an event is read again if an edit between two reads made it unreadable.
MAX_REREADS = 20
# How many occurrences of each schedule `busy` checks, newest first. More than one,
# because several occurrences may be under way at the same time.
MAX_OVERLAPPING = 5


class IndexEntry(NamedTuple):
    """A member of an index. Entries sort by fire time, then by the number in the id.

    `digits` is the length of the id. It is compared before the id, because the text of
    ids in base 36 sorts like their numbers only if the ids have the same length.
    """

    wanted_ms: float
    digits: int
    id: str


class PastAttempt(NamedTuple):
    """An attempt of an occurrence; `content` is None if the content was deleted."""

    occurrence_ms: int
    content: Content | None
    attempt: Attempt


PAST = EVENT.codes("due_ms", "first_due_ms", "revision")
UNDER_WAY = EVENT.codes("attempts", "state")


class Queries:
    """Reads the events of one cell."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._client = cell.client
        self._prefix = cell.prefix

    def events(
        self, owner: Owner, selection: Selection, *, now_ms: int
    ) -> Iterator[Event]:
        """Yield events by fire time, then by id, without occurrences of schedules.

        The events are read in batches on demand. An event whose state changes meanwhile
        is yielded at most once.
        """
        entries = heapq.merge(*self._sources(owner, selection, now_ms=now_ms))
        yielded: set[str] = set()
        for batch in batches(entries, BATCH):
            for event in self._read([entry.id for entry in batch], owner):
                if event.id not in yielded and selection.matches(event):
                    yielded.add(event.id)
                    yield event

    def event(self, owner: Owner, event_id: str) -> Event:
        """The owner's event with that id.

        Reads the record, then the content. An edit between the two reads deletes the
        content that the record names, and the event seems unreadable. So an unreadable
        event is read again, up to `MAX_REREADS` times.

        Raises: NotFound, UnreadableRecord.
        """
        for _ in range(MAX_REREADS):
            try:
                return read_event(self._cell, owner, event_id)
            except UnreadableRecord:
                continue
        return read_event(self._cell, owner, event_id)

    def _read(self, event_ids: Sequence[str], owner: Owner) -> Iterator[Event]:
        """The readable events; unreadable events are logged and left out."""
        try:
            events = read_events(self._cell, owner, event_ids)
        except UnreadableRecord:
            for event_id in event_ids:
                try:
                    yield self.event(owner, event_id)
                except NotFound:
                    continue
                except UnreadableRecord as err:
                    log_unreadable(self._cell, event_id, err)
        else:
            yield from (event for event in events if event is not None)

    def _sources(
        self, owner: Owner, selection: Selection, *, now_ms: int
    ) -> list[Iterator[IndexEntry]]:
        sources = []
        active = keys.by_time(self._prefix, str(owner), State.ACTIVE)
        if Phase.WAITING in selection.phases:
            sources.append(self._walk(active, selection.wanted))
        elif Phase.UNDER_WAY in selection.phases:
            # Events never begin before their fire time, so skip future fire times.
            sources.append(self._walk(active, selection.wanted.until(now_ms)))
        if Phase.QUARANTINED in selection.phases:
            sources.append(self._quarantined(owner, selection))
        for state, phase in FINAL_PHASES.items():
            if phase in selection.phases:
                ended = selection.ended.get(phase, ALWAYS)
                sources.append(self._ended(owner, state, selection.wanted, ended))
        return sources

    def _quarantined(self, owner: Owner, selection: Selection) -> Iterator[IndexEntry]:
        """Quarantined events, with fire times from the index of active events."""
        quarantined = keys.quarantine(self._prefix)
        span = selection.ended.get(Phase.QUARANTINED, ALWAYS)
        by_time = keys.by_time(self._prefix, str(owner), State.ACTIVE)
        return self._sorted(quarantined, span, by_time=by_time, wanted=selection.wanted)

    def _ended(
        self, owner: Owner, state: State, wanted: Span, ended: Span
    ) -> Iterator[IndexEntry]:
        """Events that ended in a span, by the cheaper of two methods.

        One method reads the events that ended in the span, and sorts them by fire time.
        The other method reads the index by fire time from its start, and skips events
        that did not end in the span.
        """
        by_time = keys.by_time(self._prefix, str(owner), state)
        if ended == ALWAYS:
            return self._walk(by_time, wanted)
        finished = keys.finished(self._prefix, str(owner), state)
        pipe = self._client.pipeline(transaction=False)
        pipe.zcount(finished, *ended.bounds)
        # The second method skips about as many events as were due before the span,
        # because most of these events also ended before the span.
        pipe.zcount(by_time, *wanted.until(ended.start_ms).bounds)
        to_sort, to_skip = pipe.execute()
        if to_sort <= to_skip:
            return self._sorted(finished, ended, by_time=by_time, wanted=wanted)
        return self._walk(by_time, wanted, finished=finished, ended=ended)

    def _sorted(
        self, key: str, span: Span, *, by_time: str, wanted: Span
    ) -> Iterator[IndexEntry]:
        """Members of the set `key` with a score in `span`, sorted by fire time."""
        entries: list[IndexEntry] = []
        for page in self._pages(key, span):
            members = [member for member, _ in page if _is_event(member)]
            scores = self._scores(by_time, members)
            entries += [
                IndexEntry(score, len(member), member.decode())
                for member, score in zip(members, scores, strict=True)
                if score is not None and wanted.contains(score)
            ]
        entries.sort()
        yield from entries

    def _walk(
        self, by_time: str, wanted: Span, *, finished: str = "", ended: Span = ALWAYS
    ) -> Iterator[IndexEntry]:
        """Yield the entries of the index by fire time, then by id."""
        tied: list[IndexEntry] = []
        for page in self._pages(by_time, wanted):
            kept = [pair for pair in page if _is_event(pair[0])]
            if finished:
                ends = self._scores(finished, [member for member, _ in kept])
                kept = [
                    pair
                    for pair, end in zip(kept, ends, strict=True)
                    if end is not None and ended.contains(end)
                ]
            for member, score in kept:
                if tied and tied[0].wanted_ms != score:
                    yield from sorted(tied)
                    tied = []
                tied.append(IndexEntry(score, len(member), member.decode()))
        yield from sorted(tied)

    def _scores(self, key: str, members: list[bytes]) -> list[float | None]:
        return self._client.zmscore(key, cast(list[str], members)) if members else []

    def _pages(self, key: str, span: Span) -> Iterator[list[tuple[bytes, float]]]:
        """Yield pages of a sorted set, by score.

        Each page starts at the last score of the previous page instead of at an index,
        because the indexes of members change when members are removed meanwhile.
        """
        start, end = span.bounds
        skipped, size = 0, FIRST_PAGE
        while True:
            page = cast(
                list[tuple[bytes, float]],
                self._client.zrange(
                    key,
                    *(start, end),
                    byscore=True,
                    offset=skipped,
                    num=size,
                    withscores=True,
                ),
            )
            yield page
            if len(page) < size:
                return
            last_ms = int(page[-1][1])
            at_last = sum(1 for _, score in page if score == last_ms)
            skipped = at_last if last_ms != start else skipped + at_last
            start, size = last_ms, min(size * 2, LARGEST_PAGE)

    def attempts(self, event_id: str) -> list[Attempt]:
        """The attempts of an event, oldest first. Redis: one read.

        Raises: UnreadableRecord.
        """
        pipe = self._client.pipeline(transaction=False)
        pipe.hgetall(keys.log(self._prefix, event_id))
        [lines] = execute_reads(pipe)
        return _attempts(event_id, readable(lines))

    def history(self, schedule_id: str, *, limit: int) -> Iterator[PastAttempt]:
        """The attempts of a schedule's newest occurrences, oldest first.

        The attempts are read in batches on demand.

        Args:
            limit: the maximum number of occurrences.

        Raises: UnreadableRecord.
        """
        key = keys.occurrences(self._prefix, schedule_id)
        newest = cast(list[bytes], self._client.zrange(key, -limit, -1))
        ids = [member.decode() for member in newest]
        contents: dict[bytes, Content | None] = {}
        for batch in batches(ids, BATCH):
            yield from self._past(schedule_id, batch, contents)

    def _past(
        self, schedule_id: str, ids: list[str], contents: dict[bytes, Content | None]
    ) -> Iterator[PastAttempt]:
        pipe = self._client.pipeline(transaction=False)
        for event_id in ids:
            pipe.hmget(keys.event(self._prefix, event_id), PAST)
            pipe.hgetall(keys.log(self._prefix, event_id))
        replies = [readable(reply) for reply in execute_reads(pipe)]
        for event_id, record, lines in zip(
            ids, replies[::2], replies[1::2], strict=True
        ):
            at, first_wanted, revision = record
            if at is None or revision is None:
                continue
            if revision not in contents:
                contents.clear()
                contents[revision] = self._template(schedule_id, revision.decode())
            for attempt in _attempts(event_id, lines):
                yield PastAttempt(int(first_wanted or at), contents[revision], attempt)

    def _template(self, schedule_id: str, revision: str) -> Content | None:
        key = keys.template(self._prefix, schedule_id, revision)
        stored = cast(bytes | None, self._client.get(key))
        return None if stored is None else codec.decode_content(stored)

    def busy(self, schedule_ids: Sequence[str]) -> set[str]:
        """Return which of the schedules have an occurrence under way."""
        pipe = self._client.pipeline(transaction=False)
        for schedule_id in schedule_ids:
            pipe.zrange(
                keys.occurrences(self._prefix, schedule_id), -MAX_OVERLAPPING, -1
            )
        newest = cast(list[list[bytes]], pipe.execute())
        ids = [member.decode() for members in newest for member in members]
        for event_id in ids:
            pipe.hmget(keys.event(self._prefix, event_id), UNDER_WAY)
        records = execute_reads(pipe)
        return {
            event_id.partition(".")[0]
            for event_id, record in zip(ids, records, strict=True)
            if not isinstance(record, UnreadableRecord) and _is_under_way(*record)
        }


def _is_under_way(begun: bytes | None, ended: bytes | None) -> bool:
    return begun is not None and ended is None


def _attempts(event_id: str, lines: Mapping[bytes, bytes]) -> list[Attempt]:
    found = [codec.decode_attempt(event_id, n, line) for n, line in lines.items()]
    return sorted(found, key=lambda attempt: attempt.number)


def _is_event(member: bytes) -> bool:
    """Whether a member is an event that is not an occurrence.

    The other members are occurrences (`….…`) and schedules (`s:…`).
    """
    return b":" not in member and b"." not in member
