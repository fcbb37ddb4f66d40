"""Ids as clients know them, and the events that they stand for. Pure."""

import re
from typing import NamedTuple

EVENT_ID = r"[0-9a-z]{1,16}(?:\.[0-9a-z]{1,16}){0,4}"

_MESSAGE = re.compile(rf"msg_({EVENT_ID})")
_LETTER = re.compile(rf"([0-9]{{1,15}})-({EVENT_ID})")


class LetterId(NamedTuple):
    """What the id of a dead letter consists of: its event, and when that was wanted."""

    wanted_ms: int
    event_id: str


def event_id(message_id: str) -> str | None:
    """The id of the event that clients know by this one, None if it is no id."""
    found = _MESSAGE.fullmatch(message_id)
    return None if found is None else found[1]


def dlq_id(wanted_ms: int, event_id: str) -> str:
    """The id of the dead letter that an event leaves."""
    return f"{wanted_ms}-{event_id}"


def read_dlq_id(text: str) -> LetterId | None:
    """What `dlq_id` wrote, None if it is no such id."""
    found = _LETTER.fullmatch(text)
    return None if found is None else LetterId(int(found[1]), found[2])
