"""Reads what happened to an owner's events, in the order of time or against it."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from scheduler_api.core import logfmt
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Attempt, Event, Owner
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import read_events
from typing import NamedTuple, cast

# Lines of a journal read at once, and records: few enough that their bodies fit in
# memory, whatever they hold.
LINES = 500
RECORDS = 100
FIRST, LAST = "-", "+"

Cursor = tuple[int, int]
Reply = list[tuple[bytes, dict[bytes, bytes]]]

log = logging.getLogger("scheduler.web")


class Entry(NamedTuple):
    """What happened to an event: `kind` as `keys.journal` has it."""

    ms: int
    sequence: int
    event_id: str
    kind: str
    attempt: int

    @property
    def cursor(self) -> Cursor:
        """Where it stands."""
        return self.ms, self.sequence


@dataclass(frozen=True)
class Stretch:
    """A part of a journal: times in epoch ms, both included; None is open.

    `after` is the line that a reader has seen last.
    """

    start_ms: int | None = None
    end_ms: int | None = None
    newest_first: bool = True
    after: Cursor | None = None


class Journal:
    """The journals of one cell; nothing here writes."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._client = cell.client
        self._prefix = cell.prefix

    def chunks(self, owner: Owner, stretch: Stretch) -> Iterator[list[Entry]]:
        """The lines of a stretch, some hundred at a time. Redis: one read for each.

        Raises: redis.RedisError.
        """
        key = keys.journal(self._prefix, str(owner))
        after = stretch.after
        while True:
            low, high = _bounds(stretch, after)
            if stretch.newest_first:
                reply = self._client.xrevrange(key, high, low, count=LINES)
            else:
                reply = self._client.xrange(key, low, high, count=LINES)
            lines = [_line(name, fields) for name, fields in cast(Reply, reply)]
            if lines:
                yield lines
            if len(lines) < LINES:
                return
            after = lines[-1].cursor

    def events(self, owner: Owner, event_ids: Iterable[str]) -> Iterator[Event]:
        """Those of the events that are there and can be read, in batches.

        Raises: redis.RedisError.
        """
        ids = list(dict.fromkeys(event_ids))
        for at in range(0, len(ids), RECORDS):
            yield from self._readable(owner, ids[at : at + RECORDS])

    def _readable(self, owner: Owner, ids: Sequence[str]) -> Iterator[Event]:
        """One bad record must not hide the others."""
        try:
            found = read_events(self._cell, owner, ids)
            yield from (event for event in found if event is not None)
        except UnreadableRecord as err:
            if len(ids) == 1:
                log.warning(logfmt.line("record.unreadable", problem=err))
                return
            for event_id in ids:
                yield from self._readable(owner, [event_id])

    def attempts(self, of: Sequence[tuple[str, int]]) -> list[Attempt | None]:
        """Attempts by event and number, None where there is no log of it.

        Raises: redis.RedisError.
        """
        pipe = self._client.pipeline(transaction=False)
        for event_id, number in of:
            pipe.hget(keys.log(self._prefix, event_id), str(number))
        return [
            None if line is None else _attempt(event_id, number, line)
            for (event_id, number), line in zip(of, pipe.execute(), strict=True)
        ]


def _bounds(stretch: Stretch, after: Cursor | None) -> tuple[str, str]:
    """What is left of a stretch behind a line, as Redis takes it."""
    low = FIRST if stretch.start_ms is None else str(stretch.start_ms)
    high = LAST if stretch.end_ms is None else str(stretch.end_ms)
    if after is None:
        return low, high
    bound = "({}-{}".format(*after)
    if stretch.newest_first:
        ends_first = stretch.end_ms is not None and stretch.end_ms < after[0]
        return low, high if ends_first else bound
    starts_later = stretch.start_ms is not None and stretch.start_ms > after[0]
    return low if starts_later else bound, high


def _line(name: bytes, fields: dict[bytes, bytes]) -> Entry:
    ms, _, sequence = name.partition(b"-")
    return Entry(
        int(ms),
        int(sequence),
        fields[b"e"].decode(),
        fields[b"k"].decode(),
        int(fields[b"n"]),
    )


def _attempt(event_id: str, number: int, line: bytes) -> Attempt | None:
    try:
        return codec.decode_attempt(event_id, str(number).encode(), line)
    except UnreadableRecord as err:
        log.warning(logfmt.line("record.unreadable", problem=err))
        return None
