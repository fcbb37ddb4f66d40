"""From a publisher's headers and query parameters to the message that they describe.

A name counts in any case. An empty value is none; a header goes before a parameter.
Unknown names that begin with `Upstash-` are ignored, telemetry is among them.

Source: https://upstash.com/docs/qstash/api/publish
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from scheduler_api.dialects.qstash.parsing import forwarded_headers, header_values
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.message import (
    Callback,
    Headers,
    Message,
    canonical,
)
from typing import Any

Pairs = Iterable[tuple[str, str]]
Reader = Callable[[str, str], object]
Table = dict[str, tuple[str, Reader]]

PREFIX = "upstash-"
CALLBACK = "upstash-callback"
FAILURE_CALLBACK = "upstash-failure-callback"
FORWARD = "forward-"
CONTENT_TYPE = "content-type"
READ = (PREFIX, CONTENT_TYPE)

_BLANKS = " \t"

# Name of the header behind its prefix: attribute, and reader of the value.
CALLBACK_HEADERS: Table = {
    "delay": ("delay_ms", header_values.read_duration_ms),
    "method": ("method", header_values.read_method),
    "retries": ("retries", header_values.read_retries),
    "retry-delay": ("retry_delay", header_values.read_retry_delay),
    "timeout": ("timeout_ms", header_values.read_timeout_ms),
}
_COMMON_HEADERS: Table = {
    **CALLBACK_HEADERS,
    "content-based-deduplication": ("content_based", header_values.read_truth),
    "deduplication-id": ("deduplication_id", header_values.read_text),
    "label": ("labels", header_values.read_labels),
    "redact-fields": ("redaction", header_values.read_redaction),
}
MESSAGE_HEADERS: Table = {
    **_COMMON_HEADERS,
    "not-before": ("not_before_ms", header_values.read_unix_ms),
}
SCHEDULE_HEADERS: Table = {
    **_COMMON_HEADERS,
    "queue-name": ("queue", header_values.read_name),
    "schedule-id": ("schedule_id", header_values.read_name),
}


@dataclass(frozen=True)
class HeaderLimits:
    """The largest values that are taken."""

    delay_ms: int = 365 * 86_400_000
    timeout_ms: int = 2 * 3_600_000
    retries: int = 1_000


DEFAULTS = Message()
DEFAULT_LIMITS = HeaderLimits()


@dataclass(frozen=True)
class _Given:
    """What a publisher wrote: settings by name, and headers to forward by prefix.

    Their values stand beside the names as the publisher wrote them.
    """

    settings: dict[str, tuple[str, str]] = field(default_factory=dict)
    forwarded: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The value of a setting, '' if there is none."""
        return self.settings.get(name, ("", ""))[1]


def from_headers(
    pairs: Pairs,
    *,
    query: Pairs = (),
    base: Message = DEFAULTS,
    queue: str | None = None,
    caller_ip: str | None = None,
    schedule: bool = False,
    limits: HeaderLimits = DEFAULT_LIMITS,
) -> Message:
    """The message that a request, or an item of a batch, describes.

    Args:
        query: decoded parameters; only those that begin with `upstash-` are read.
        base: what holds where nothing is given, such as a url group's defaults or a
            message that is sent again.
        queue: the name in the path or in the item.
        schedule: whether a schedule is created; else its own headers are ignored.

    Raises: BadValue.
    """
    listed = list(pairs)
    given = _given(listed, query)
    fields = _read(given, PREFIX, SCHEDULE_HEADERS if schedule else MESSAGE_HEADERS)
    if queue is not None:
        fields["queue"] = header_values.read_name(queue, "queueName")
    if caller_ip:
        fields["caller_ip"] = caller_ip
    if schedule:
        fields |= _cron(given)
    if given.text(CONTENT_TYPE):
        named = given.settings[CONTENT_TYPE]
        fields["content_type"] = forwarded_headers.checked(*named, shown=named[0])[1]
    forwarded = _forwarded(given, PREFIX)
    if header_values.read_truth(given.text("upstash-header-forward")):
        forwarded = forwarded_headers.merged(
            forwarded_headers.passed_on(listed), forwarded
        )
    fields |= _flow_control(given) | _headers(base.headers, forwarded)
    message = replace(
        base,
        **fields,
        callback=_callback(given, CALLBACK, base.callback),
        failure_callback=_callback(given, FAILURE_CALLBACK, base.failure_callback),
    )
    _hold(limits, message)
    _hold_retry_delays(given, message)
    return message


def _given(headers: Pairs, query: Pairs) -> _Given:
    parameters = _sorted(pair for pair in query if pair[0].lower().startswith(PREFIX))
    given = _sorted(headers)
    if not parameters.settings and not parameters.forwarded:
        return given
    return _Given(
        parameters.settings | given.settings,
        {
            prefix: parameters.forwarded.get(prefix, [])
            + given.forwarded.get(prefix, [])
            for prefix in parameters.forwarded | given.forwarded
        },
    )


def _sorted(pairs: Pairs) -> _Given:
    given = _Given()
    for name, text in pairs:
        lowered = name.lower()
        if not lowered.startswith(READ):
            continue
        value = text.strip(_BLANKS)
        prefix = _forwarding_prefix(lowered)
        if prefix is not None:
            given.forwarded.setdefault(prefix, []).append((name, value))
        elif value:
            if given.text(lowered) not in ("", value):
                raise BadValue(canonical(name), "is given twice, with different values")
            given.settings[lowered] = (name, value)
    return given


@lru_cache(maxsize=1024)
def _forwarding_prefix(lowered: str) -> str | None:
    """What stands before a header's name if it is one to forward.

    A callback forwards whatever is no setting of its own: Python's SDK puts nothing
    but the callback's prefix before a header.
    """
    if lowered.startswith(PREFIX + FORWARD):
        return PREFIX
    for prefix in (f"{CALLBACK}-", f"{FAILURE_CALLBACK}-"):
        if (
            lowered.startswith(prefix)
            and lowered.removeprefix(prefix) not in CALLBACK_HEADERS
        ):
            return prefix
    return None


def _read(given: _Given, prefix: str, table: Table) -> dict[str, Any]:
    fields = {}
    for suffix, (attribute, read) in table.items():
        if prefix + suffix in given.settings:
            name, value = given.settings[prefix + suffix]
            fields[attribute] = read(value, canonical(name))
    return fields


def _cron(given: _Given) -> dict[str, Any]:
    text = given.text("upstash-cron")
    if not text:
        raise BadValue("Upstash-Cron", "is missing")
    cron = header_values.read_cron(text, "Upstash-Cron")
    return {"cron": cron.expression, "tz": cron.tz}


def _flow_control(given: _Given) -> dict[str, Any]:
    key_name, value_name = "Upstash-Flow-Control-Key", "Upstash-Flow-Control-Value"
    key, value = given.text(key_name.lower()), given.text(value_name.lower())
    if not key and not value:
        return {}
    if not key:
        raise BadValue(key_name, f"is missing beside {value_name}")
    key = header_values.read_text(key, key_name)
    return {
        "flow_control": header_values.read_flow_control(key, value, name=value_name)
    }


def _callback(given: _Given, name: str, base: Callback | None) -> Callback | None:
    shown, text = canonical(name), given.text(name)
    if text:
        url = header_values.read_url(header_values.read_utf8(text), shown)
        base = Callback(url) if base is None else replace(base, url=url)
    prefix = f"{name}-"
    # A fault is told, also where there is nobody to call back.
    fields, forwarded = (
        _read(given, prefix, CALLBACK_HEADERS),
        _forwarded(given, prefix),
    )
    if base is None:
        return None
    return replace(base, **fields, **_headers(base.headers, forwarded))


def _forwarded(given: _Given, prefix: str) -> Headers:
    """The headers to forward under a prefix, except those that nobody may set."""
    found = []
    for shown, value in given.forwarded.get(prefix, ()):
        name = shown[len(prefix) :]
        if name.lower().startswith(FORWARD):
            name = name[len(FORWARD) :]
        if not forwarded_headers.is_ours(name):
            found.append(forwarded_headers.checked(name, value, shown=shown))
    return tuple(found)


def _headers(base: Headers, forwarded: Headers) -> dict[str, Any]:
    """The attributes that forwarded headers make: a content type is one of its own."""
    content_type = forwarded_headers.CONTENT_TYPE
    rest = tuple(pair for pair in forwarded if pair[0] != content_type)
    fields: dict[str, object] = {"headers": forwarded_headers.merged(base, rest)}
    if len(rest) < len(forwarded):
        fields["content_type"] = dict(forwarded)[content_type]
    return fields


def _hold(limits: HeaderLimits, message: Message) -> None:
    for prefix, sent in (
        ("Upstash", message),
        ("Upstash-Callback", message.callback),
        ("Upstash-Failure-Callback", message.failure_callback),
    ):
        if sent is None:
            continue
        if sent.delay_ms > limits.delay_ms:
            raise _too_long(f"{prefix}-Delay", limits.delay_ms)
        if (sent.timeout_ms or 0) > limits.timeout_ms:
            raise _too_long(f"{prefix}-Timeout", limits.timeout_ms)
        if (sent.retries or 0) > limits.retries:
            raise BadValue(f"{prefix}-Retries", f"should be at most {limits.retries}")


def _hold_retry_delays(given: _Given, message: Message) -> None:
    """Refuses one that has no value before any retry: nobody can have meant that."""
    for prefix, sent in (
        (PREFIX, message),
        (f"{CALLBACK}-", message.callback),
        (f"{FAILURE_CALLBACK}-", message.failure_callback),
    ):
        name = f"{prefix}retry-delay"
        if sent is None or not given.text(name):
            continue
        retries = message.retries if sent.retries is None else sent.retries
        header_values.hold_retry_delay(
            given.text(name), canonical(name), retries=retries
        )


def _too_long(name: str, limit_ms: int) -> BadValue:
    return BadValue(name, f"should be at most {limit_ms // 1000}s")
