"""Formats and parses the ids of messages, schedules and dead letters. Pure."""

import hashlib
import re
from typing import NamedTuple

SCHEDULE_PREFIX = "scd_"
EVENT_ID = r"[0-9a-z]{1,16}(?:\.[0-9a-z]{1,16}){0,4}"

_MESSAGE = re.compile(rf"msg_({EVENT_ID})")
_DEAD_LETTER = re.compile(rf"([0-9]{{1,15}})-({EVENT_ID})")


class DeadLetterId(NamedTuple):
    """The parts of a dead letter's id: the fire time and the id of its event."""

    wanted_ms: int
    event_id: str


def read_message_id(message_id: str) -> str | None:
    """Return the event id in a message id, None if the text is not a message id."""
    match = _MESSAGE.fullmatch(message_id)
    return None if match is None else match[1]


def schedule_id(internal_id: str, name: str) -> str:
    """Return the id that clients see: the schedule's name, or `scd_` and its id."""
    return name or f"{SCHEDULE_PREFIX}{internal_id}"


def dlq_id(wanted_ms: int, event_id: str) -> str:
    """Return the id of an event's dead letter."""
    return f"{wanted_ms}-{event_id}"


def read_dlq_id(text: str) -> DeadLetterId | None:
    """Return the parts of a dead letter's id, None if the text is not such an id."""
    match = _DEAD_LETTER.fullmatch(text)
    return None if match is None else DeadLetterId(int(match[1]), match[2])


def stored_id(text: str) -> str | None:
    """Return the stored id of a message, dead letter or unnamed schedule, or None."""
    letter, schedule = read_dlq_id(text), text.removeprefix(SCHEDULE_PREFIX)
    if letter is not None:
        return letter.event_id
    return schedule if schedule != text else read_message_id(text)


def message_key_name(deduplication_id: str) -> str:
    """Return the name of a message's deduplication key."""
    return "i" + hashlib.sha256(deduplication_id.encode()).hexdigest()


def schedule_key_name(message_key: str) -> str:
    """Return the name of a schedule's deduplication key, from that of a message.

    No message has a key of this name.
    """
    return f"s{message_key}"


def deduplication_names(deduplication_id: str) -> tuple[str, ...]:
    """Return the names of the keys of a message or schedule with a deduplication id.

    The keys of messages to a URL group have other names.
    """
    name = message_key_name(deduplication_id)
    return name, schedule_key_name(name)
