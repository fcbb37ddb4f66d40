"""How events, what they send and their attempts are written in the store. Pure.

Format 1. Content is one line of JSON, then its body byte for byte. `keys.event` lists
the fields of an event.
"""

import orjson
from collections.abc import Iterable
from dataclasses import fields
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import (
    Attempt,
    AttemptKind,
    Content,
    Event,
    Owner,
    State,
)
from scheduler_api.core.store import keys
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


def content_key(prefix: str, event_id: str, record: dict[bytes, bytes]) -> str:
    """Where what an event sends is kept, as its record has it (`b`, `s`, `rv`)."""
    if b"s" in record:
        schedule, revision = record[b"s"].decode(), record.get(b"rv", b"").decode()
        return keys.template(prefix, schedule, revision)
    return keys.body(prefix, event_id, record.get(b"b", b"").decode())


def decode_event(
    event_id: str,
    record: dict[bytes, bytes],
    stored: bytes | None,
    *,
    stuck_score: float | None,
) -> Event:
    """An event from its record, its content, and its score in `keys.stuck`.

    Raises: UnreadableRecord.
    """
    try:
        at_ms = int(record[b"at"])
        return Event(
            id=event_id,
            owner=Owner.parse(record[b"o"].decode()),
            content=decode_content(stored or b""),
            state=State(record.get(b"st", b"active").decode()),
            wanted_ms=int(record.get(b"w", at_ms)),
            next_ms=at_ms,
            created_ms=int(record[b"c"]),
            updated_ms=int(record.get(b"u", record[b"c"])),
            attempts=int(record.get(b"n", 0)),
            finished_ms=int(record[b"fin"]) if b"fin" in record else None,
            reason=record[b"y"].decode() if b"y" in record else None,
            change=record.get(b"ch", b"").decode(),
            stuck_ms=None if stuck_score is None else int(stuck_score),
            schedule=record[b"s"].decode() if b"s" in record else None,
        )
    except (KeyError, ValueError) as err:
        raise UnreadableRecord(f"event {event_id}") from err


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
