"""Reads of events by id."""

from collections.abc import Sequence
from scheduler_api.core.errors import NotFound
from scheduler_api.core.model import Event, Owner
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.records import EVENT


def read_event(cell: Cell, owner: Owner, event_id: str) -> Event:
    """Read an event of an owner. Redis: two round trips, not atomic.

    Raises: NotFound, UnreadableRecord.
    """
    [event] = read_events(cell, owner, [event_id])
    if event is None:
        raise NotFound
    return event


def read_events(
    cell: Cell, owner: Owner, event_ids: Sequence[str]
) -> list[Event | None]:
    """Return the events of an owner with the given ids, in the same order.

    If the owner has no event with an id, the result contains None in its place.

    Redis: two round trips, not atomic.

    Raises: UnreadableRecord: at least one of the events is unreadable.
    """
    pipe = cell.client.pipeline(transaction=False)
    for event_id in event_ids:
        pipe.hgetall(keys.event(cell.prefix, event_id))
        pipe.zscore(keys.quarantine(cell.prefix), event_id)
    replies = pipe.execute()
    found = [EVENT.named(record) for record in replies[::2]]
    records = [
        record if record.get("owner") == str(owner).encode() else None
        for record in found
    ]
    for event_id, record in zip(event_ids, records, strict=True):
        if record is not None:
            pipe.get(codec.content_key(cell.prefix, event_id, record))
    contents = iter(pipe.execute())
    return [
        None
        if record is None
        else codec.decode_event(event_id, record, next(contents), quarantined_ms=at)
        for event_id, record, at in zip(event_ids, records, replies[1::2], strict=True)
    ]
