"""Iterates over an owner's unfinished events, which may finish meanwhile."""

from collections.abc import Iterator
from dataclasses import dataclass
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Content, Owner, State
from scheduler_api.core.queries.filters import Span
from scheduler_api.core.queries.heads import read_contents, read_records
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import log_unreadable
from scheduler_api.core.store.records import EVENT, Record
from typing import cast

AT_ONCE = 500
FIELDS = EVENT.codes("created_ms", "body_revision", "schedule", "revision")


@dataclass(frozen=True)
class Outline:
    """An unfinished event without its body: `content.body` is empty."""

    id: str
    schedule: str | None
    content: Content


def unfinished(cell: Cell, owner: Owner) -> Iterator[list[str]]:
    """Yield lists of the ids of unfinished events, in no particular order.

    Events that stay unfinished meanwhile are yielded at least once. Redis: ZSCAN.
    """
    key, cursor = keys.by_time(cell.prefix, str(owner), State.ACTIVE), 0
    while True:
        cursor, found = cast(
            tuple[int, list[tuple[bytes, float]]],
            cell.client.zscan(key, cursor, count=AT_ONCE),
        )
        ids = [member.decode() for member, _ in found]
        yield from batches(ids, AT_ONCE)
        if not cursor:
            return


def created_within(cell: Cell, event_ids: list[str], span: Span) -> list[str]:
    """Return which of the events were created in a span. Redis: one round trip."""
    return [*_records(cell, event_ids, span)]


def outlines(cell: Cell, event_ids: list[str], span: Span) -> Iterator[Outline]:
    """Yield outlines of those events that were created in a span.

    Unreadable events are logged and left out.
    Redis: two round trips, and one for each event with a long head.
    """
    records = _records(cell, event_ids, span)
    for event_id, content in read_contents(cell, records):
        if isinstance(content, UnreadableRecord):
            log_unreadable(cell, event_id, content)
            continue
        record = records[event_id]
        schedule = record["schedule"].decode() if "schedule" in record else None
        yield Outline(event_id, schedule, content)


def _records(cell: Cell, event_ids: list[str], span: Span) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for event_id, record in read_records(cell, event_ids, FIELDS):
        created = record.get("created_ms", b"")
        if created.isdigit() and span.contains(int(created)):
            found[event_id] = record
    return found
