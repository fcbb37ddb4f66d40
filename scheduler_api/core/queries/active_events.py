"""Iterates over an owner's unfinished events, which may finish meanwhile."""

from collections.abc import Iterator
from dataclasses import dataclass
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Content, Owner, State
from scheduler_api.core.queries.filters import Span
from scheduler_api.core.queries.heads import read_heads
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import execute_reads, log_unreadable
from scheduler_api.core.store.records import EVENT, Record
from typing import cast

AT_ONCE = 500


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
    places = {
        event_id: codec.content_key(cell.prefix, event_id, record)
        for event_id, record in records.items()
    }
    heads = read_heads(cell, list(dict.fromkeys(places.values())))
    for event_id, record in records.items():
        try:
            content = codec.decode_content(heads[places[event_id]])
        except UnreadableRecord as err:
            log_unreadable(cell, event_id, err)
            continue
        schedule = record["schedule"].decode() if "schedule" in record else None
        yield Outline(event_id, schedule, content)


def _records(cell: Cell, event_ids: list[str], span: Span) -> dict[str, Record]:
    codes = EVENT.codes("created_ms", "body_revision", "schedule", "revision")
    pipe = cell.client.pipeline(transaction=False)
    for event_id in event_ids:
        pipe.hmget(keys.event(cell.prefix, event_id), codes)
    found: dict[str, Record] = {}
    for event_id, values in zip(event_ids, execute_reads(pipe), strict=True):
        if isinstance(values, UnreadableRecord):
            log_unreadable(cell, event_id, values)
            continue
        pairs = zip(codes, values, strict=True)
        record = EVENT.named({c.encode(): v for c, v in pairs if v is not None})
        created = record.get("created_ms", b"")
        if created.isdigit() and span.contains(int(created)):
            found[event_id] = record
    return found
