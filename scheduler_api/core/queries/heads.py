"""Reads the heads of contents (URL and options) without large bodies."""

from collections.abc import Sequence
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.store import codec
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import execute_reads
from typing import cast

# How many bytes of a content are read at first; most heads (first lines) are shorter.
HEAD_BYTES = 2048


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
