"""How content and attempts are written in the store: one line of JSON, then raw bytes.

Format 1. A body is stored byte for byte; only the head is JSON.
"""

import orjson
from collections.abc import Iterable
from dataclasses import fields
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Attempt, AttemptKind, Content
from typing import Any

FORMAT = 1
HEADERS = "headers"
# What a line may say of an attempt; the rest of it stands beside the line.
LINE = frozenset(field.name for field in fields(Attempt)) - {
    *("event_id", "number", "kind", "ended_ms", "next_ms", HEADERS)
}


def encode_content(content: Content) -> bytes:
    """The stored form of what is to be sent."""
    head: dict[str, Any] = {"u": content.url}
    if content.options:
        head["o"] = dict(content.options)
    return orjson.dumps(head) + b"\n" + content.body


def decode_content(stored: bytes) -> Content:
    """What `encode_content` wrote.

    Raises: UnreadableRecord.
    """
    head, separator, body = stored.partition(b"\n")
    try:
        told = orjson.loads(head)
        url, options = told["u"], told.get("o", {})
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as err:
        raise UnreadableRecord(f"content: {head[:80]!r}") from err
    if not separator or not isinstance(url, str):
        raise UnreadableRecord(f"content: {head[:80]!r}")
    return Content(url, body, options)


def encode_attempt(
    told: dict[str, Any], *, headers: Iterable[tuple[str, str]] = ()
) -> bytes:
    """The log line of an attempt, without what the script adds (kind, end, next)."""
    line = {name: v for name, v in told.items() if v is not None}
    flat = [text for pair in headers for text in pair]
    return orjson.dumps(line | {HEADERS: flat} if flat else line)


def decode_attempt(event_id: str, number: bytes, stored: bytes) -> Attempt:
    """An entry of an event's log; what a later version adds to it is passed over.

    Raises: UnreadableRecord.
    """
    try:
        kind, ended, following, line = stored.split(b" ", 3)
        told = orjson.loads(line)
        flat = iter(told.pop(HEADERS, ()))
        return Attempt(
            event_id=event_id,
            number=int(number),
            kind=AttemptKind(kind.decode()),
            ended_ms=int(ended),
            next_ms=int(following) or None,
            headers=tuple(zip(flat, flat, strict=True)),
            **{name: value for name, value in told.items() if name in LINE},
        )
    except (ValueError, TypeError, AttributeError) as err:
        raise UnreadableRecord(f"log of {event_id}: {stored[:80]!r}") from err
