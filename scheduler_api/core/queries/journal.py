"""Reads an owner's journal of events, forwards or backwards in time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Attempt, Event, Owner
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import (
    execute_reads,
    log_unreadable,
    read_events,
    readable,
)
from typing import Any, NamedTuple, cast

# How many entries of a journal, and how many events, are read at once. The contents of
# these events have to fit in memory.
ENTRIES = 500
RECORDS = 100
FIRST, LAST = "-", "+"

Cursor = tuple[int, int]
Reply = list[tuple[bytes, dict[bytes, bytes]]]


class Entry(NamedTuple):
    """A change of an event; `keys.journal` lists the kinds."""

    ms: int
    sequence: int
    event_id: str
    kind: str
    attempt: int

    @property
    def cursor(self) -> Cursor:
        """The position of the entry in the journal."""
        return self.ms, self.sequence


@dataclass(frozen=True)
class JournalRange:
    """A part of a journal, from `start_ms` to `end_ms` inclusive; None is unbounded.

    `after` is the position of the last entry that the reader has seen; None if the
    reader starts at the beginning of the range.
    """

    start_ms: int | None = None
    end_ms: int | None = None
    newest_first: bool = True
    after: Cursor | None = None


class Journal:
    """Reads the journals of one cell."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._client = cell.client
        self._prefix = cell.prefix

    def chunks(self, owner: Owner, range_: JournalRange) -> Iterator[list[Entry]]:
        """Yield lists of the entries in a range. Redis: one read for each list."""
        key = keys.journal(self._prefix, str(owner))
        after = range_.after
        while True:
            low, high = _bounds(range_, after)
            if range_.newest_first:
                reply = self._client.xrevrange(key, high, low, count=ENTRIES)
            else:
                reply = self._client.xrange(key, low, high, count=ENTRIES)
            entries = [_entry(name, fields) for name, fields in cast(Reply, reply)]
            if entries:
                yield entries
            if len(entries) < ENTRIES:
                return
            after = entries[-1].cursor

    def events(self, owner: Owner, event_ids: Iterable[str]) -> Iterator[Event]:
        """Yield the existing, readable events with the given ids; read in batches."""
        for ids in batches(dict.fromkeys(event_ids), RECORDS):
            yield from self._readable(owner, ids)

    def _readable(self, owner: Owner, ids: Sequence[str]) -> Iterator[Event]:
        """Read events at once, or one by one if any event is unreadable."""
        try:
            found = read_events(self._cell, owner, ids)
            yield from (event for event in found if event is not None)
        except UnreadableRecord as err:
            if len(ids) == 1:
                log_unreadable(self._cell, ids[0], err)
                return
            for event_id in ids:
                yield from self._readable(owner, [event_id])

    def attempts(self, of: Sequence[tuple[str, int]]) -> list[Attempt | None]:
        """Return an attempt for each pair of an event id and an attempt number.

        If the attempt is missing or unreadable, its place in the result is None.
        """
        pipe = self._client.pipeline(transaction=False)
        for event_id, number in of:
            pipe.hget(keys.log(self._prefix, event_id), str(number))
        return [
            None if stored is None else _attempt(self._cell, event_id, number, stored)
            for (event_id, number), stored in zip(of, execute_reads(pipe), strict=True)
        ]


def _bounds(range_: JournalRange, after: Cursor | None) -> tuple[str, str]:
    """Return the lowest and the highest entry to read, as arguments of XRANGE.

    Entries that the reader has already seen, up to and including `after`, are excluded.
    """
    low = FIRST if range_.start_ms is None else str(range_.start_ms)
    high = LAST if range_.end_ms is None else str(range_.end_ms)
    if after is None:
        return low, high
    bound = "({}-{}".format(*after)
    if range_.newest_first:
        ends_first = range_.end_ms is not None and range_.end_ms < after[0]
        return low, high if ends_first else bound
    starts_later = range_.start_ms is not None and range_.start_ms > after[0]
    return low if starts_later else bound, high


def _entry(name: bytes, fields: dict[bytes, bytes]) -> Entry:
    ms, _, sequence = name.partition(b"-")
    return Entry(
        int(ms),
        int(sequence),
        fields[b"e"].decode(),
        fields[b"k"].decode(),
        int(fields[b"n"]),
    )


def _attempt(cell: Cell, event_id: str, number: int, stored: Any) -> Attempt | None:
    try:
        return codec.decode_attempt(event_id, str(number).encode(), readable(stored))
    except UnreadableRecord as err:
        log_unreadable(cell, event_id, err)
        return None
