"""Reads the messages of several events."""

from collections.abc import Iterable, Iterator
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Event
from scheduler_api.core.queries.active_events import Outline
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import log_unreadable
from scheduler_api.dialects.qstash.parsing.message import Message, from_options
from typing import TypeVar

Source = TypeVar("Source", Event, Outline)


def readable_messages(
    cell: Cell, events: Iterable[Source]
) -> Iterator[tuple[Source, Message]]:
    """Yield each event with its message.

    Events whose message is unreadable are logged and left out.
    """
    for event in events:
        try:
            message = from_options(event.content.options)
        except UnreadableRecord as err:
            log_unreadable(cell, event.id, err)
            continue
        yield event, message
