"""The stored form of events, content and attempts. Pure.

Format 1. Content is one line of JSON (URL and options), then the body unchanged; or the
same, encrypted. Events that share a body have content without a body, after the name of
the shared body.
"""

import orjson
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import fields
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import (
    Attempt,
    AttemptKind,
    Content,
    Event,
    Held,
    Owner,
    State,
)
from scheduler_api.core.store import content_encryption, gate_names, keys
from scheduler_api.core.store.content_encryption import ContentCipher
from scheduler_api.core.store.records import Record
from scheduler_api.core.timestamps import LATEST_MS
from typing import Any

FORMAT = 1
# Begins content whose body is shared; the name of the body and a line break follow.
SHARING = b"\3"
# Errors do not show what is encrypted in the store.
NOT_CONTENT = "content: it is not in the form of content"
# A response body is in the field `response` if it is text, otherwise, in base64, in the
# other field.
HEADERS, RESPONSE, RESPONSE_BASE64 = "headers", "response", "response_base64"
# Fields of `Attempt` that the JSON of a log entry has unchanged. Of the others, HEADERS
# and RESPONSE are encoded in the JSON, and the rest is stored outside the JSON.
JSON_FIELDS = frozenset(field.name for field in fields(Attempt)) - {
    *("event_id", "number", "kind", "ended_ms", "next_ms", HEADERS, RESPONSE)
}


def encode_content(content: Content, cipher: ContentCipher | None = None) -> bytes:
    """Encode content as one line of JSON and the body; encrypt it with a cipher."""
    head: dict[str, Any] = {"u": content.url}
    if content.options:
        head["o"] = dict(content.options)
    if content.trace:
        head["t"] = content.trace
    line = orjson.dumps(head) + b"\n"
    return cipher.encrypt(line, content.body) if cipher else line + content.body


def encode_sharing(content: Content, name: str, cipher: ContentCipher | None) -> bytes:
    """Encode content without its body, which is stored as the shared body `name`."""
    bodiless = Content(content.url, b"", content.options, content.trace)
    own = encode_content(bodiless, cipher)
    return SHARING + name.encode() + b"\n" + own


def encode_shared_body(body: bytes, cipher: ContentCipher | None) -> bytes:
    """Encode a body that several events share."""
    return encode_content(Content("", body), cipher)


def shared_body_name(stored: bytes) -> str | None:
    """Return the name of the shared body of content; None if the body is its own."""
    if stored[:1] != SHARING:
        return None
    return stored[1:].partition(b"\n")[0].decode("ascii", "replace")


def decode_content(stored: bytes, shared_body: bytes | None = None) -> Content:
    """Decode the result of `encode_content`, or of `encode_sharing`.

    Args:
        shared_body: what is stored as the shared body of the content.

    Raises: UnreadableRecord.
    """
    if stored[:1] == SHARING:
        if shared_body is None:
            raise UnreadableRecord("content: the shared body is missing")
        body = decode_content(shared_body).body
        own = decode_content(stored.partition(b"\n")[2])
        return Content(own.url, body, own.options, own.trace)
    rest = b""
    if content_encryption.is_encrypted(stored):
        stored, rest = content_encryption.decrypt(stored)
    head, separator, body = stored.partition(b"\n")
    try:
        parsed = orjson.loads(head)
        url, options, trace = parsed["u"], parsed.get("o", {}), parsed.get("t", "")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as err:
        raise UnreadableRecord(NOT_CONTENT) from err
    are_typed = isinstance(url, str) and isinstance(options, dict)
    if not separator or not are_typed:
        raise UnreadableRecord(NOT_CONTENT)
    return Content(url, body + rest, options, trace)


def head_of(start: bytes) -> bytes | None:
    """Return the line of JSON of content, with its line break, from its beginning.

    None if `start` does not have the whole line. What cannot be decrypted has no line:
    the result is b"".
    """
    if start[:1] == SHARING:
        start = start.partition(b"\n")[2]
    if content_encryption.is_encrypted(start):
        try:
            first = content_encryption.decrypt_first(start)
        except UnreadableRecord:
            return b""
        start, _ = first or (b"", 0)
    line, end, _ = start.partition(b"\n")
    return line + end if end else None


def content_key(prefix: str, event_id: str, record: Record) -> str:
    """Return the key of an event's content.

    The content of an occurrence is a template of its schedule; the content of any other
    event is the body of the event.
    """
    if "schedule" in record:
        schedule = record["schedule"].decode(errors="replace")
        return keys.template(
            prefix, schedule, record.get("revision", b"").decode(errors="replace")
        )
    return keys.body(
        prefix, event_id, record.get("body_revision", b"").decode(errors="replace")
    )


def decode_event(
    event_id: str,
    record: Record,
    stored: bytes | None,
    *,
    quarantined_ms: float | None,
    shared_body: bytes | None = None,
) -> Event:
    """Build an event from its record and its content.

    `quarantined_ms` is the event's score in `keys.quarantine`, or None if the event is
    not in quarantine.

    Raises: UnreadableRecord.
    """
    try:
        at_ms = stored_integer(record["due_ms"])
        content = decode_content(stored or b"", shared_body)
        return Event(
            id=event_id,
            owner=Owner.parse(record["owner"].decode()),
            content=content,
            state=State(record.get("state", b"active").decode()),
            wanted_ms=stored_integer(record.get("first_due_ms", at_ms)),
            next_ms=at_ms,
            created_ms=stored_integer(record["created_ms"]),
            updated_ms=stored_integer(record.get("updated_ms", record["created_ms"])),
            attempts=stored_integer(record.get("attempts", 0)),
            finished_ms=_optional_integer(record, "finished_ms"),
            reason=record["reason"].decode() if "reason" in record else None,
            change=record.get("change", b"").decode(),
            quarantined_ms=None if quarantined_ms is None else int(quarantined_ms),
            schedule=record["schedule"].decode() if "schedule" in record else None,
            held=decode_held(record, content.url) if "waits_at" in record else None,
            deadline_ms=stored_integer(record.get("deadline_ms", 0)),
        )
    except (KeyError, ValueError) as err:
        raise UnreadableRecord(f"event {event_id}") from err


def decode_held(record: Record, url: str) -> Held | None:
    """Return where an event waits for its destination, or None.

    Args:
        url: the URL of the event.

    Raises: KeyError, ValueError: the record is unreadable.
    """
    by = gate_names.readable_gate(record["waits_at"].decode(), url)
    since_ms = record.get("waits_since_ms") or record["due_ms"]
    return None if by is None else Held(by, int(since_ms))


def _optional_integer(record: Record, name: str) -> int | None:
    return stored_integer(record[name]) if name in record else None


def stored_integer(text: bytes | int) -> int:
    """Return a stored number, which may be a time.

    Raises: ValueError: it is no integer, or too large for a time.
    """
    number = int(text)
    if abs(number) > LATEST_MS:
        raise ValueError(f"out of range: {number}")
    return number


def encode_attempt(
    values: dict[str, Any],
    *,
    headers: Iterable[tuple[str, str]] = (),
    response: bytes = b"",
    cipher: ContentCipher | None = None,
) -> bytes:
    """Encode the JSON of a log entry. Values that are None or False are left out.

    An entry with headers or a response body is encrypted with the cipher.

    The Lua function that stores the entry adds three values before the JSON: the kind
    of the entry, the time when the attempt ended, and the time of the next attempt.
    """
    present = {
        name: v for name, v in values.items() if v is not None and v is not False
    }
    if flat := [text for pair in headers for text in pair]:
        present[HEADERS] = flat
    if response:
        try:
            present[RESPONSE] = response.decode()
        except UnicodeDecodeError:
            present[RESPONSE_BASE64] = b64encode(response).decode()
    encoded = orjson.dumps(present)
    return cipher.encrypt(encoded, b"") if cipher and (flat or response) else encoded


def decode_attempt(event_id: str, number: bytes, stored: bytes) -> Attempt:
    """Decode an entry of an event's log; ignore fields of later versions.

    Raises: UnreadableRecord.
    """
    try:
        kind, ended, following, encoded = stored.split(b" ", 3)
        parsed = orjson.loads(content_encryption.plain(encoded))
        flat = iter(parsed.pop(HEADERS, ()))
        return Attempt(
            event_id=event_id,
            number=int(number),
            kind=AttemptKind(kind.decode()),
            ended_ms=int(ended),
            next_ms=int(following) or None,
            headers=tuple(zip(flat, flat, strict=True)),
            response=_response(parsed),
            **{name: value for name, value in parsed.items() if name in JSON_FIELDS},
        )
    except (ValueError, TypeError, AttributeError) as err:
        raise UnreadableRecord(f"log of {event_id}, attempt {number!r}") from err


def _response(parsed: dict[str, Any]) -> bytes:
    encoded = parsed.get(RESPONSE_BASE64)
    if encoded is not None:
        return b64decode(encoded, validate=True)
    text: str = parsed.get(RESPONSE, "")
    return text.encode()
