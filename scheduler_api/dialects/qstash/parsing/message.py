"""What a publisher may say about a message, and how an event's options keep it."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import FlowLimits, Gates
from scheduler_api.core.tenants.url_groups import Endpoint
from scheduler_api.dialects.qstash.parsing.redaction import NOTHING_HIDDEN, Redaction
from typing import Any

Headers = tuple[tuple[str, str], ...]

POST = "POST"
DEFAULT_RETRIES = 3
DEFAULT_PERIOD_S = 1


@dataclass(frozen=True)
class FlowControl:
    """The limits of a flow-control key; None is no limit."""

    key: str
    parallelism: int | None = None
    rate: int | None = None
    period_s: int = DEFAULT_PERIOD_S


@dataclass(frozen=True)
class Callback:
    """Where the outcome of an attempt is told, and how that message is sent.

    `retries` and `retry_delay` are those of the message where they are None.
    """

    url: str
    method: str = POST
    headers: Headers = ()
    content_type: str | None = None
    retries: int | None = None
    retry_delay: str | None = None
    timeout_ms: int | None = None
    delay_ms: int = 0


@dataclass(frozen=True)
class Message:
    """Everything about a message but its destination and body.

    Names of forwarded headers are in canonical form, their order is the publisher's.
    `topic` and `endpoint` name the url group that the message was made for. `cron`,
    `tz` and `schedule_id` belong to schedules only.
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
        """What the destination gets of the publisher's, the content type first."""
        if self.content_type is None:
            return self.headers
        return (("Content-Type", self.content_type), *self.headers)

    def wanted_ms(self, now_ms: int) -> int:
        """When its first attempt is wanted: `Upstash-Not-Before` wins, past is now."""
        if self.not_before_ms is not None:
            return max(self.not_before_ms, now_ms)
        return now_ms + self.delay_ms


def to_gates(message: Message) -> Gates:
    """What the message waits at: its queue, its flow-control key with limits."""
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
    """The id by which clients and receivers know an event."""
    return f"msg_{event_id}"


def schedule_id(schedule: str | None, message: Message) -> str | None:
    """The id by which clients know an event's schedule, if it has one."""
    if message.schedule_id is not None or schedule is None:
        return message.schedule_id
    return f"scd_{schedule}"


def to_endpoint(message: Message, *, group: str, endpoint: Endpoint) -> Message:
    """The message that one to a url group is for one of its endpoints."""
    return replace(message, topic=group, endpoint=endpoint.name or None)


@lru_cache(maxsize=1024)
def canonical(name: str) -> str:
    """The one spelling of a header's name, `Test-Header`."""
    return "-".join(map(str.capitalize, name.split("-")))


def header_map(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Headers by name, each with all its values."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(canonical(name), []).append(value)
    return found


def content_hash(message: Message, *, url: str, body: bytes) -> str:
    """What two messages have in common that are the same to content deduplication.

    Destination, body and the headers that it gets, in any order; not the method, nor
    when and how often it is sent.
    """
    digest = hashlib.sha256()
    fields = [url, *(field for pair in sorted(message.sent_headers) for field in pair)]
    for field in (*map(str.encode, fields), body):
        digest.update(len(field).to_bytes(8))
        digest.update(field)
    return digest.hexdigest()


def to_options(message: Message) -> dict[str, object]:
    """A message as an event's options: defaults are left out."""
    return _written(message, _MESSAGE)


def from_options(options: Mapping[str, object]) -> Message:
    """What `to_options` wrote.

    Raises: UnreadableRecord.
    """
    try:
        return Message(**_read(options, _MESSAGE))
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise UnreadableRecord(f"options of a message: {options!r:.200}") from err


@dataclass(frozen=True)
class _Field:
    """How one attribute is stored: its default, and both directions."""

    name: str
    default: object = None
    write: Callable[[Any], object] = lambda value: value
    read: Callable[[Any], Any] = lambda value: value


def _flat(headers: Headers) -> list[str]:
    return [field for pair in headers for field in pair]


def _pairs(flat: list[str]) -> Headers:
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _written(thing: object, fields: dict[str, _Field]) -> dict[str, object]:
    values = ((key, f, getattr(thing, f.name)) for key, f in fields.items())
    return {key: f.write(value) for key, f, value in values if value != f.default}


def _read(stored: Mapping[str, object], fields: dict[str, _Field]) -> dict[str, Any]:
    return {fields[key].name: fields[key].read(value) for key, value in stored.items()}


# The keys are short because every event carries them; a key never changes its meaning.
_SENDING = {
    "m": _Field("method", POST),
    "h": _Field("headers", (), _flat, _pairs),
    "ct": _Field("content_type"),
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
    "k": _Field("key"),
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
        lambda thing: _written(thing, fields),
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
