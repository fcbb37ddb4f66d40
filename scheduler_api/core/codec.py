"""How content and attempts are written in the store: one line of JSON, then raw bytes.

Format 1. A body is stored byte for byte; only the head is JSON.
"""

import orjson
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Attempt, AttemptKind, Content
from typing import Any

FORMAT = 1


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
        fields = orjson.loads(head)
        url, options = fields["u"], fields.get("o", {})
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as err:
        raise UnreadableRecord(f"content: {head[:80]!r}") from err
    if not separator or not isinstance(url, str):
        raise UnreadableRecord(f"content: {head[:80]!r}")
    return Content(url, body, options)


def encode_attempt(fields: dict[str, Any]) -> bytes:
    """The log line of an attempt, without what the script adds (kind, end, next)."""
    return orjson.dumps({name: v for name, v in fields.items() if v is not None})


def decode_attempt(event_id: str, number: bytes, stored: bytes) -> Attempt:
    """An entry of an event's log.

    Raises: UnreadableRecord.
    """
    try:
        kind, ended, following, line = stored.split(b" ", 3)
        return Attempt(
            event_id=event_id,
            number=int(number),
            kind=AttemptKind(kind.decode()),
            ended_ms=int(ended),
            next_ms=int(following) or None,
            **orjson.loads(line),
        )
    except (ValueError, TypeError) as err:
        raise UnreadableRecord(f"log of {event_id}: {stored[:80]!r}") from err
