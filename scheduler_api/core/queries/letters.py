"""Pages of dead letters: which there are, and why they failed."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from scheduler_api.core.batches import batches
from scheduler_api.core.delivery import causes
from scheduler_api.core.delivery.causes import Cause, cause_of
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Content, Owner, State
from scheduler_api.core.queries.filters import (
    ALWAYS,
    ANYWHERE,
    Labels,
    Span,
    Target,
    has_label,
)
from scheduler_api.core.queries.heads import read_contents, read_records
from scheduler_api.core.queries.positions import Position, walk
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import execute_reads, log_unreadable, readable
from scheduler_api.core.store.records import EVENT, Record

PAGE_SIZE = 50
# How many dead letters a page or a count examines at most. Fewer than events: most
# filters need the attempt log or the content of each.
MAX_EXAMINED = 750
BATCH = 250
FIELDS = EVENT.codes(
    *("owner", "state", "created_ms", "finished_ms", "attempts", "reason"),
    *("schedule", "revision", "body_revision", "destination", "gates"),
)


@dataclass(frozen=True)
class LetterFilter:
    """Which dead letters are meant.

    Attributes:
        time: when they failed.
        target: where they were to go.
        cause: the code of the last failure, such as `refused` or `http-500`, a status,
            such as `500`, or a class of statuses, such as `5xx`; '' for any.
        label: a label that the client gave; '' for any.
    """

    time: Span = ALWAYS
    target: Target = ANYWHERE
    cause: str = ""
    label: str = ""

    @property
    def is_by_time(self) -> bool:
        """Whether only the time decides."""
        return self == LetterFilter(self.time)

    def has_cause(self, code: str) -> bool:
        """Whether a letter whose last failure has this code may match."""
        wanted = self.cause.lower()
        if wanted.endswith("xx") and wanted[:-2].isdigit():
            return code.startswith(f"http-{wanted[:-2]}")
        return code == (f"http-{wanted}" if wanted.isdigit() else wanted)


@dataclass(frozen=True)
class Letter:
    """A dead letter. `content` has no body; it is None if it is unreadable.

    `cause` is why the last attempt failed, and `end` why no attempt followed; '' if the
    store does not know.
    """

    id: str
    owner: Owner
    failed_ms: int
    created_ms: int
    attempts: int
    cause: Cause | None
    end: str
    content: Content | None


@dataclass(frozen=True)
class LetterPage:
    """Dead letters that match, the newest first.

    Attributes:
        next: the position after which the next page begins; None if there is none.
        is_searched: whether the page ended because it examined `MAX_EXAMINED` letters.
    """

    letters: Sequence[Letter]
    next: Position | None
    is_searched: bool


@dataclass(frozen=True)
class LetterCount:
    """How many dead letters match: at least `least` and at most `most`."""

    least: int
    most: int


class Letters:
    """Reads the dead letters of several owners of one cell."""

    def __init__(self, cell: Cell, labels: Labels) -> None:
        self._cell = cell
        self._labels = labels

    def page(
        self,
        owners: Sequence[Owner],
        wanted: LetterFilter,
        *,
        after: Position | None = None,
        size: int = PAGE_SIZE,
    ) -> LetterPage:
        """Return the letters that come next after a position, the newest first.

        Redis: a few reads for each owner, and three for each batch.
        """
        places = self.places(owners, wanted.time, after=after, newest_first=True)
        found: list[Letter] = []
        examined, last = 0, after
        at_once = size + 1 if wanted.is_by_time else BATCH
        for batch in batches(islice(places, MAX_EXAMINED), at_once):
            for place, letter in self.examine(batch, wanted):
                if letter is not None and len(found) == size:
                    return LetterPage(found, last, is_searched=False)
                last, examined = place, examined + 1
                if letter is not None:
                    found.append(letter)
        is_searched = examined == MAX_EXAMINED
        return LetterPage(found, last if is_searched else None, is_searched)

    def count(self, owners: Sequence[Owner], wanted: LetterFilter) -> LetterCount:
        """Count the letters that match, examining the newest `MAX_EXAMINED`.

        Redis: one round trip if only the time decides; otherwise as for a page.
        """
        pipe = self._cell.client.pipeline(transaction=False)
        for owner in owners:
            pipe.zcount(_index(self._cell, owner), *wanted.time.bounds)
        total = sum(pipe.execute())
        if wanted.is_by_time:
            return LetterCount(total, total)
        places = self.places(owners, wanted.time, after=None, newest_first=True)
        examined = found = 0
        for batch in batches(islice(places, MAX_EXAMINED), BATCH):
            examined += len(batch)
            found += sum(
                letter is not None for _, letter in self.examine(batch, wanted)
            )
        return LetterCount(found, found + max(0, total - examined))

    def places(
        self,
        owners: Sequence[Owner],
        time: Span,
        *,
        after: Position | None,
        newest_first: bool,
    ) -> Iterator[Position]:
        """Yield the positions of the letters that failed within a span."""
        sources = [
            walk(
                *(self._cell, _index(self._cell, owner), time),
                after=after,
                is_rising=not newest_first,
            )
            for owner in owners
        ]
        return heapq.merge(*sources, reverse=newest_first)

    def examine(
        self, places: Sequence[Position], wanted: LetterFilter
    ) -> Iterator[tuple[Position, Letter | None]]:
        """Yield each position, with its letter if there still is one and it matches."""
        found = read_records(self._cell, (each.id for each in places), FIELDS)
        records = {
            event_id: record
            for event_id, record in found
            if record.get("state") == State.DEAD.encode()
            and "owner" in record
            and wanted.target.may_match(record)
        }
        # What a filter excludes by its cause needs no content, and the other way round.
        if wanted.cause:
            failures = self._causes(records)
            records = {
                event_id: record
                for event_id, record in records.items()
                if (cause := failures[event_id]) and wanted.has_cause(cause.code)
            }
        contents = {
            event_id: None if isinstance(content, UnreadableRecord) else content
            for event_id, content in read_contents(self._cell, records)
        }
        records = {
            event_id: record
            for event_id, record in records.items()
            if self._matches(record, contents.get(event_id), wanted)
        }
        if not wanted.cause:
            failures = self._causes(records)
        for place in places:
            letter, record = None, records.get(place.id)
            if record is not None:
                content, cause = contents.get(place.id), failures[place.id]
                letter = self._letter(place, record, content, cause)
            yield place, letter

    def _causes(self, records: Mapping[str, Record]) -> dict[str, Cause | None]:
        """Return why the last attempt of each letter failed. One round trip if any."""
        if not records:
            return {}
        pipe = self._cell.client.pipeline(transaction=False)
        for event_id, record in records.items():
            number = record.get("attempts", b"0")
            pipe.hget(keys.log(self._cell.prefix, event_id), number.decode())
        found: dict[str, Cause | None] = {}
        replies = execute_reads(pipe)
        for (event_id, record), reply in zip(records.items(), replies, strict=True):
            found[event_id] = None
            try:
                if (stored := readable(reply)) is not None:
                    number = record.get("attempts", b"0")
                    attempt = codec.decode_attempt(event_id, number, stored)
                    found[event_id] = cause_of(attempt)
            except UnreadableRecord as err:
                log_unreadable(self._cell, event_id, err)
        return found

    def _matches(
        self, record: Record, content: Content | None, wanted: LetterFilter
    ) -> bool:
        if not wanted.target.matches(content):
            return False
        owner = Owner.parse(record["owner"].decode())
        return has_label(wanted.label, content, self._labels, owner.dialect)

    def _letter(
        self,
        place: Position,
        record: Record,
        content: Content | None,
        cause: Cause | None,
    ) -> Letter | None:
        try:
            return Letter(
                id=place.id,
                owner=Owner.parse(record["owner"].decode()),
                failed_ms=place.at_ms,
                created_ms=int(record["created_ms"]),
                attempts=int(record.get("attempts", 0)),
                cause=cause,
                end=causes.end_of(record.get("reason", b"").decode()),
                content=content,
            )
        except (KeyError, ValueError) as err:
            problem = UnreadableRecord(f"record: {err!r}")
            log_unreadable(self._cell, place.id, problem)
            return None


def _index(cell: Cell, owner: Owner) -> str:
    return keys.finished(cell.prefix, str(owner), State.DEAD)
