"""The settings and headers of messages, and their format in an event's options."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.headers import from_stored, to_stored, to_text
from scheduler_api.core.model import FlowLimits, Gates
from scheduler_api.core.tenants.url_groups import Endpoint
from scheduler_api.dialects.qstash.parsing import ids
from scheduler_api.dialects.qstash.parsing.redaction import NOTHING_HIDDEN, Redaction
from typing import Any

Headers = tuple[tuple[str, str], ...]

POST = "POST"
DEFAULT_RETRIES = 3
# Each attempt of a message may cause a callback, so the retries of both multiply.
CALLBACK_RETRIES_LIMIT = 20
DEFAULT_PERIOD_S = 1


@dataclass(frozen=True)
class FlowControl:
    """A flow-control key, and the limits that a message sets for the key.

    `sent_key` is the key with one character per byte, as in headers. If a limit is
    None, the message does not set this limit.
    """

    sent_key: str
    parallelism: int | None = None
    rate: int | None = None
    period_s: int = DEFAULT_PERIOD_S

    @property
    def key(self) -> str:
        """The key as a text."""
        return to_text(self.sent_key)


@dataclass(frozen=True)
class Callback:
    """The URL of a callback, and the settings of the request to this URL.

    If `retries` is None, `retries_for` decides. If `retry_delay` is None, the default
    delay is used.
    """

    url: str
    method: str = POST
    headers: Headers = ()
    content_type: str | None = None
    retries: int | None = None
    retry_delay: str | None = None
    timeout_ms: int | None = None
    delay_ms: int = 0

    def retries_for(self, message: "Message") -> int:
        """Return how often this callback of a message is retried.

        Unless the publisher asked for more, that is as often as the message, but at
        most `DEFAULT_RETRIES` times.
        """
        if self.retries is not None:
            return self.retries
        return min(message.retries, DEFAULT_RETRIES)


@dataclass(frozen=True)
class Message:
    """A message without its URL and body.

    `headers` are the forwarded headers, with canonical names, in the publisher's order.
    Their values and `content_type` have one character per byte.
    For a message to a url group, `topic` is the name of the group and `endpoint` that
    of the endpoint. Requests for schedules have `cron`, `tz` and `schedule_id`.
    """

    method: str = POST
    headers: Headers = ()
    content_type: str | None = None
    retries: int = DEFAULT_RETRIES
    retry_delay: str | None = None
    timeout_ms: int | None = None
    delay_ms: int = 0
    not_before_ms: int | None = None
    deduplication_id: str | None = None
    content_based: bool = False
    callback: Callback | None = None
    failure_callback: Callback | None = None
    labels: tuple[str, ...] = ()
    redaction: Redaction = NOTHING_HIDDEN
    queue: str | None = None
    flow_control: FlowControl | None = None
    caller_ip: str | None = None
    topic: str | None = None
    endpoint: str | None = None
    cron: str | None = None
    tz: str | None = None
    schedule_id: str | None = None

    @property
    def sent_headers(self) -> Headers:
        """The publisher's headers for the destination, the content type first."""
        if self.content_type is None:
            return self.headers
        return (("Content-Type", self.content_type), *self.headers)

    def wanted_ms(self, now_ms: int) -> int:
        """Return the time of the first attempt; `not_before_ms` overrides the delay."""
        if self.not_before_ms is not None:
            return max(self.not_before_ms, now_ms)
        return now_ms + self.delay_ms


def to_gates(message: Message) -> Gates:
    """Return a message's gates: its queue, and its flow-control key with limits."""
    limits = message.flow_control
    if limits is None:
        return Gates(queue=message.queue or "")
    flow = FlowLimits(
        limits.key,
        parallelism=limits.parallelism,
        rate=limits.rate,
        period_ms=limits.period_s * 1000,
    )
    return Gates(queue=message.queue or "", flow=flow)


def message_id(event_id: str) -> str:
    """Return the message id of an event, which clients and receivers see."""
    return f"msg_{event_id}"


def schedule_id(schedule: str | None, message: Message) -> str | None:
    """Return the schedule id that clients see, None if the event has no schedule.

    Args:
        schedule: the internal id of the schedule that created the event, or None.
    """
    if message.schedule_id is not None or schedule is None:
        return message.schedule_id
    return ids.schedule_id(schedule, "")


def to_endpoint(message: Message, *, group: str, endpoint: Endpoint) -> Message:
    """Return the copy of a message for one endpoint of a url group."""
    return replace(message, topic=group, endpoint=endpoint.name or None)


@lru_cache(maxsize=1024)
def canonical(name: str) -> str:
    """Return the name of a header in canonical form, such as `Test-Header`."""
    return "-".join(map(str.capitalize, name.split("-")))


def readable_headers(sent: Message | Callback) -> Headers:
    """Return the publisher's headers for the destination with values as texts.

    The content type is first.
    """
    headers = tuple((name, to_text(value)) for name, value in sent.headers)
    if sent.content_type is None:
        return headers
    return (("Content-Type", to_text(sent.content_type)), *headers)


def header_map(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return all values of each header, by canonical name."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(canonical(name), []).append(value)
    return values


def content_hash(message: Message, *, url: str, body: bytes) -> str:
    """Return the hash that content-based deduplication compares.

    The hash covers the destination, the body and, in any order, the headers for the
    destination. The hash leaves out the method, delays and retries.
    """
    digest = hashlib.sha256()
    fields = [url, *(field for pair in sorted(message.sent_headers) for field in pair)]
    for field in (*map(str.encode, fields), body):
        digest.update(len(field).to_bytes(8))
        digest.update(field)
    return digest.hexdigest()


def to_options(message: Message) -> dict[str, object]:
    """Return a message as an event's options, without default values."""
    return _write(message, _MESSAGE)


def labels_of(options: Mapping[str, object]) -> tuple[str, ...]:
    """Return the labels in the options that `to_options` returned."""
    labels = options.get("l")
    return tuple(map(str, labels)) if isinstance(labels, list) else ()


def from_options(options: Mapping[str, object]) -> Message:
    """Read a message from the options that `to_options` returned.

    Raises: UnreadableRecord.
    """
    try:
        return Message(**_read(options, _MESSAGE))
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise UnreadableRecord("options of a message") from err


@dataclass(frozen=True)
class _Field:
    """How the options of an event store one attribute of a message.

    Options leave out an attribute that has the default value.
    """

    name: str
    default: object = None
    write: Callable[[Any], object] = lambda value: value
    read: Callable[[Any], Any] = lambda value: value


def _flat(headers: Headers) -> list[str]:
    return [field for name, value in headers for field in (name, to_stored(value))]


def _pairs(flat: list[str]) -> Headers:
    return tuple(zip(flat[::2], map(from_stored, flat[1::2]), strict=True))


def _write(record: object, fields: dict[str, _Field]) -> dict[str, object]:
    values = ((key, f, getattr(record, f.name)) for key, f in fields.items())
    return {key: f.write(value) for key, f, value in values if value != f.default}


def _read(stored: Mapping[str, object], fields: dict[str, _Field]) -> dict[str, Any]:
    return {fields[key].name: fields[key].read(value) for key, value in stored.items()}


# The keys are short because every event stores them. Never give a key a new meaning:
# the store still contains events with the old meaning.
_SENDING = {
    "m": _Field("method", POST),
    "h": _Field("headers", (), _flat, _pairs),
    "ct": _Field("content_type", None, to_stored, from_stored),
    "rd": _Field("retry_delay"),
    "to": _Field("timeout_ms"),
    "d": _Field("delay_ms", 0),
}
_CALLBACK = {**_SENDING, "u": _Field("url"), "r": _Field("retries")}
_REDACTION = {
    "b": _Field("body", False),
    "a": _Field("all_headers", False),
    "h": _Field("headers", (), list, tuple),
}
_FLOW_CONTROL = {
    "k": _Field("sent_key", None, to_stored, from_stored),
    "p": _Field("parallelism"),
    "r": _Field("rate"),
    "s": _Field("period_s", DEFAULT_PERIOD_S),
}


def _nested(
    name: str, kind: type, fields: dict[str, _Field], *, default: object = None
) -> _Field:
    return _Field(
        name,
        default,
        lambda record: _write(record, fields),
        lambda stored: kind(**_read(stored, fields)),
    )


_MESSAGE = {
    **_SENDING,
    "r": _Field("retries", DEFAULT_RETRIES),
    "nb": _Field("not_before_ms"),
    "di": _Field("deduplication_id"),
    "cb": _Field("content_based", False),
    "c": _nested("callback", Callback, _CALLBACK),
    "f": _nested("failure_callback", Callback, _CALLBACK),
    "l": _Field("labels", (), list, tuple),
    "x": _nested("redaction", Redaction, _REDACTION, default=NOTHING_HIDDEN),
    "q": _Field("queue"),
    "fc": _nested("flow_control", FlowControl, _FLOW_CONTROL),
    "ip": _Field("caller_ip"),
    "tn": _Field("topic"),
    "en": _Field("endpoint"),
    "cr": _Field("cron"),
    "tz": _Field("tz"),
    "si": _Field("schedule_id"),
}
