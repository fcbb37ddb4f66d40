"""Reads for people: lists, filters, histories. Workers never import it."""

import heapq
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from scheduler_api.core import logfmt
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
from scheduler_api.core.store.reads import read_event, read_events
from scheduler_api.core.store.records import EVENT
from typing import NamedTuple, cast

# Records read at once: few enough that their bodies fit in memory, whatever they hold.
BATCH = 100
# Members of an index read at once, growing while nothing among them is wanted.
FIRST_PAGE, LARGEST_PAGE = 500, 16_000
# In how many tries the two reads of an event may be parted by an edit.
EDITED_MEANWHILE = 20
# Executions of one schedule that may overlap: a retry may wait longer than its rhythm.
OVERLAPPING = 5

log = logging.getLogger("scheduler.web")


class Entry(NamedTuple):
    """A member of an index; entries sort by time, then by the number of the id.

    A number with more digits is larger, one with as many is compared as text.
    """

    wanted_ms: float
    digits: int
    id: str


class Past(NamedTuple):
    """One attempt of an occurrence, and what it sent, if that is still kept."""

    occurrence_ms: int
    content: Content | None
    attempt: Attempt


PAST = EVENT.codes("due_ms", "first_due_ms", "revision")
UNDER_WAY = EVENT.codes("attempts", "state")


class Queries:
    """Reads of one cell; nothing here writes."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._client = cell.client
        self._prefix = cell.prefix

    def events(
        self, owner: Owner, selection: Selection, *, now_ms: int
    ) -> Iterator[Event]:
        """Events by wanted time, then by id, without occurrences of schedules.

        Read in batches as they are asked for: an event that moves on meanwhile is shown
        once, as it stood when it was read.

        Raises: redis.RedisError.
        """
        entries = heapq.merge(*self._sources(owner, selection, now_ms=now_ms))
        shown: set[str] = set()
        while batch := list(islice(entries, BATCH)):
            for event in self._read([entry.id for entry in batch], owner):
                if event.id not in shown and selection.takes(event):
                    shown.add(event.id)
                    yield event

    def event(self, owner: Owner, event_id: str) -> Event:
        """The event of that id, if it is this owner's.

        An edit between the two reads takes away the content that the first one named,
        so what seems unreadable is read again.

        Raises: NotFound, UnreadableRecord, redis.RedisError.
        """
        for _ in range(EDITED_MEANWHILE):
            try:
                return read_event(self._cell, owner, event_id)
            except UnreadableRecord:
                continue
        return read_event(self._cell, owner, event_id)

    def _read(self, event_ids: Sequence[str], owner: Owner) -> Iterator[Event]:
        """The readable ones: one bad record must not hide the others."""
        try:
            events = read_events(self._cell, owner, event_ids)
        except UnreadableRecord:
            for event_id in event_ids:
                try:
                    yield self.event(owner, event_id)
                except NotFound:
                    continue
                except UnreadableRecord as err:
                    log.warning(logfmt.line("record.unreadable", problem=err))
        else:
            yield from (event for event in events if event is not None)

    def _sources(
        self, owner: Owner, selection: Selection, *, now_ms: int
    ) -> list[Iterator[Entry]]:
        sources = []
        active = keys.by_time(self._prefix, str(owner), State.ACTIVE)
        if Phase.WAITING in selection.phases:
            sources.append(self._walk(active, selection.wanted))
        elif Phase.UNDER_WAY in selection.phases:
            # Nothing is begun before it is wanted, so the future need not be read.
            sources.append(self._walk(active, selection.wanted.until(now_ms)))
        if Phase.QUARANTINED in selection.phases:
            sources.append(self._quarantined(owner, selection))
        for state, phase in FINAL_PHASES.items():
            if phase in selection.phases:
                ended = selection.ended.get(phase, ALWAYS)
                sources.append(self._ended(owner, state, selection.wanted, ended))
        return sources

    def _quarantined(self, owner: Owner, selection: Selection) -> Iterator[Entry]:
        """What stands aside still is in its owner's index of the unfinished."""
        quarantined = keys.quarantine(self._prefix)
        span = selection.ended.get(Phase.QUARANTINED, ALWAYS)
        by_time = keys.by_time(self._prefix, str(owner), State.ACTIVE)
        return self._sorted(quarantined, span, by_time=by_time, wanted=selection.wanted)

    def _ended(
        self, owner: Owner, state: State, wanted: Span, ended: Span
    ) -> Iterator[Entry]:
        """Those that ended in a span, by the cheaper of two ways."""
        by_time = keys.by_time(self._prefix, str(owner), state)
        if ended == ALWAYS:
            return self._walk(by_time, wanted)
        finished = keys.finished(self._prefix, str(owner), state)
        pipe = self._client.pipeline(transaction=False)
        pipe.zcount(finished, *ended.bounds)
        # What was wanted before the span has mostly ended before it.
        pipe.zcount(by_time, *wanted.until(ended.start_ms).bounds)
        to_sort, to_skip = pipe.execute()
        if to_sort <= to_skip:
            return self._sorted(finished, ended, by_time=by_time, wanted=wanted)
        return self._walk(by_time, wanted, finished=finished, ended=ended)

    def _sorted(
        self, key: str, span: Span, *, by_time: str, wanted: Span
    ) -> Iterator[Entry]:
        """Members of one set with a score in a span, in the order of another."""
        entries: list[Entry] = []
        for page in self._pages(key, span):
            members = [member for member, _ in page if _is_event(member)]
            scores = self._scores(by_time, members)
            entries += [
                Entry(score, len(member), member.decode())
                for member, score in zip(members, scores, strict=True)
                if score is not None and wanted.holds(score)
            ]
        entries.sort()
        yield from entries

    def _walk(
        self, by_time: str, wanted: Span, *, finished: str = "", ended: Span = ALWAYS
    ) -> Iterator[Entry]:
        """An index in its order; those of one instant by the number of their ids."""
        tied: list[Entry] = []
        for page in self._pages(by_time, wanted):
            kept = [pair for pair in page if _is_event(pair[0])]
            if finished:
                ends = self._scores(finished, [member for member, _ in kept])
                kept = [
                    pair
                    for pair, end in zip(kept, ends, strict=True)
                    if end is not None and ended.holds(end)
                ]
            for member, score in kept:
                if tied and tied[0].wanted_ms != score:
                    yield from sorted(tied)
                    tied = []
                tied.append(Entry(score, len(member), member.decode()))
        yield from sorted(tied)

    def _scores(self, key: str, members: list[bytes]) -> list[float | None]:
        return self._client.zmscore(key, cast(list[str], members)) if members else []

    def _pages(self, key: str, span: Span) -> Iterator[list[tuple[bytes, float]]]:
        """A sorted set by score, a page at a time.

        Each goes on from the last score, so that what leaves meanwhile moves nothing.
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

        Raises: UnreadableRecord, redis.RedisError.
        """
        key = keys.log(self._prefix, event_id)
        return _attempts(event_id, cast(dict[bytes, bytes], self._client.hgetall(key)))

    def history(self, schedule_id: str, *, most: int) -> Iterator[Past]:
        """The attempts of a schedule's newest occurrences, oldest first.

        Read in batches as they are asked for. `most` counts occurrences.

        Raises: UnreadableRecord, redis.RedisError.
        """
        key = keys.occurrences(self._prefix, schedule_id)
        ids = [
            m.decode() for m in cast(list[bytes], self._client.zrange(key, -most, -1))
        ]
        contents: dict[bytes, Content | None] = {}
        for at in range(0, len(ids), BATCH):
            yield from self._past(schedule_id, ids[at : at + BATCH], contents)

    def _past(
        self, schedule_id: str, ids: list[str], contents: dict[bytes, Content | None]
    ) -> Iterator[Past]:
        pipe = self._client.pipeline(transaction=False)
        for event_id in ids:
            pipe.hmget(keys.event(self._prefix, event_id), PAST)
            pipe.hgetall(keys.log(self._prefix, event_id))
        replies = pipe.execute()
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
                yield Past(int(first_wanted or at), contents[revision], attempt)

    def _template(self, schedule_id: str, revision: str) -> Content | None:
        key = keys.template(self._prefix, schedule_id, revision)
        stored = cast(bytes | None, self._client.get(key))
        return None if stored is None else codec.decode_content(stored)

    def busy(self, schedule_ids: Sequence[str]) -> set[str]:
        """Those of the schedules that have an occurrence under way.

        Raises: redis.RedisError.
        """
        pipe = self._client.pipeline(transaction=False)
        for schedule_id in schedule_ids:
            pipe.zrange(keys.occurrences(self._prefix, schedule_id), -OVERLAPPING, -1)
        newest = cast(list[list[bytes]], pipe.execute())
        ids = [member.decode() for members in newest for member in members]
        for event_id in ids:
            pipe.hmget(keys.event(self._prefix, event_id), UNDER_WAY)
        records = pipe.execute()
        return {
            event_id.partition(".")[0]
            for event_id, (begun, ended) in zip(ids, records, strict=True)
            if begun is not None and ended is None
        }


def _attempts(event_id: str, lines: Mapping[bytes, bytes]) -> list[Attempt]:
    found = [codec.decode_attempt(event_id, n, line) for n, line in lines.items()]
    return sorted(found, key=lambda attempt: attempt.number)


def _is_event(member: bytes) -> bool:
    """Whether it is neither a schedule (`s:…`) nor an occurrence (`….…`)."""
    return b":" not in member and b"." not in member
