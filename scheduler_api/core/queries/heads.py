"""Reads parts of records, and the heads of contents: URL and options, no bodies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Content
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import execute_reads, log_unreadable
from scheduler_api.core.store.records import EVENT, Record
from typing import cast

# How many bytes of a content are read at first; most heads (first lines) are shorter.
HEAD_BYTES = 2048


def read_records(
    cell: Cell, event_ids: Iterable[str], codes: Sequence[str]
) -> Iterator[tuple[str, Record]]:
    """Yield some fields of each event; unreadable events are logged and left out.

    Redis: one round trip.

    Args:
        codes: the codes of the fields, as `EVENT.codes` returns them.
    """
    ids, pipe = [*event_ids], cell.client.pipeline(transaction=False)
    for event_id in ids:
        pipe.hmget(keys.event(cell.prefix, event_id), codes)
    for event_id, values in zip(ids, execute_reads(pipe), strict=True):
        if isinstance(values, UnreadableRecord):
            log_unreadable(cell, event_id, values)
            continue
        pairs = zip(codes, values, strict=True)
        yield event_id, EVENT.named({c.encode(): v for c, v in pairs if v is not None})


def read_contents(
    cell: Cell, records: Mapping[str, Record]
) -> Iterator[tuple[str, Content | UnreadableRecord]]:
    """Yield the content of each event without its body, or why it is unreadable.

    Redis: one round trip, and one for each event with a long head.

    Args:
        records: the records, with `schedule`, `revision` and `body_revision`.
    """
    places = {
        event_id: codec.content_key(cell.prefix, event_id, record)
        for event_id, record in records.items()
    }
    heads = read_heads(cell, list(dict.fromkeys(places.values())))
    for event_id, place in places.items():
        try:
            yield event_id, codec.decode_content(heads[place])
        except UnreadableRecord as err:
            yield event_id, err


def read_heads(cell: Cell, places: Sequence[str]) -> dict[str, bytes]:
    """Return the head (first line) of the content at each key; b"" if unreadable.

    Reads the first HEAD_BYTES of each content. If a head is longer, its content is read
    in full.
    """
    pipe = cell.client.pipeline(transaction=False)
    for place in places:
        pipe.getrange(place, 0, HEAD_BYTES - 1)
    heads = {}
    for place, start in zip(places, execute_reads(pipe), strict=True):
        if isinstance(start, UnreadableRecord):
            heads[place] = b""
            continue
        head = codec.head_of(start)
        if head is None:
            head = codec.head_of(cast(bytes | None, cell.client.get(place)) or b"")
        heads[place] = head or b""
    return heads
