"""Parses a publisher's headers and query parameters into a message.

Names are case-insensitive. An empty value counts as absent, and a header overrides a
parameter of the same name. Unknown names that begin with `Upstash-` are ignored, and
`parsing/ignored_names.py` lists them.

Source: https://upstash.com/docs/qstash/api/publish
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from scheduler_api.core.delivery.retry_expression import MAX_STEPS
from scheduler_api.core.headers import to_text
from scheduler_api.dialects.qstash.parsing import forwarded_headers, header_values
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.message import (
    CALLBACK_RETRIES_LIMIT,
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
CRON = "upstash-cron"
WORKFLOW = "upstash-workflow-"
CONTENT_TYPE = "content-type"
FLOW_CONTROL_KEY = "upstash-flow-control-key"
# Headers of the request that are sent to the destination as they are.
SENT = (CONTENT_TYPE, FLOW_CONTROL_KEY)
# Headers are parsed only if their name begins with one of these.
PARSED = (PREFIX, CONTENT_TYPE)

NO_WORKFLOWS = "belongs to a workflow: workflows are not supported by this server"

_BLANKS = " \t"

# Maps the name of a header, without the prefix, to the attribute that the header sets
# and to the function that parses the value.
CALLBACK_HEADERS: Table = {
    "delay": ("delay_ms", header_values.read_duration_ms),
    "method": ("method", header_values.read_method),
    "retries": ("retries", header_values.read_retries),
    "retry-delay": ("retry_delay", header_values.read_retry_delay),
    "timeout": ("timeout_ms", header_values.read_timeout_ms),
}
_COMMON_HEADERS: Table = {
    **CALLBACK_HEADERS,
    "content-based-deduplication": ("content_based", header_values.read_boolean),
    "deduplication-id": ("deduplication_id", header_values.read_text),
    "label": ("labels", header_values.read_labels),
    "queue-name": ("queue", header_values.read_name),
    "redact-fields": ("redaction", header_values.read_redaction),
}
MESSAGE_HEADERS: Table = {
    **_COMMON_HEADERS,
    "not-before": ("not_before_ms", header_values.read_unix_ms),
}
SCHEDULE_HEADERS: Table = {
    **_COMMON_HEADERS,
    "schedule-id": ("schedule_id", header_values.read_name),
}


@dataclass(frozen=True)
class HeaderLimits:
    """The largest values that headers may have."""

    delay_ms: int = 365 * 86_400_000
    timeout_ms: int = 2 * 3_600_000
    retries: int = 1_000


DEFAULTS = Message()
DEFAULT_LIMITS = HeaderLimits()


@dataclass(frozen=True)
class _Grouped:
    """A publisher's headers and parameters, grouped for parsing.

    `settings` maps the lower-case name of a header to a pair: the name as the publisher
    wrote it, and the value. The value is a text, except that `SENT` headers have one
    character per byte. `forwarded` maps a prefix, such as
    `upstash-callback-`, to the headers with this prefix that are to be forwarded.
    """

    settings: dict[str, tuple[str, str]] = field(default_factory=dict)
    forwarded: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """Return the value of a setting, '' if the setting is absent."""
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
    check_steps: int = MAX_STEPS,
) -> Message:
    """Return the message that a request or an item of a batch describes.

    Args:
        query: parameters with one character per byte; parameters without the prefix
            `upstash-` are ignored.
        base: the message whose values are used for absent headers. It contains the
            defaults of a url group, or the settings of a message that is sent again.
        queue: the name of the queue in the path or in the item.
        schedule: parse the headers of a request for a schedule, not for a message.
        check_steps: see `header_values.check_retry_delay`.

    Raises: BadValue.
    """
    headers = list(pairs)
    grouped = _group_with_query(headers, query)
    fields = _read(grouped, PREFIX, SCHEDULE_HEADERS if schedule else MESSAGE_HEADERS)
    if queue is not None:
        name = header_values.read_name(queue, "queueName")
        if fields.setdefault("queue", name) != name:
            raise BadValue("Upstash-Queue-Name", f"should be {name} too, or absent")
    if caller_ip:
        fields["caller_ip"] = caller_ip
    _check_purpose(grouped, schedule=schedule)
    if schedule:
        fields |= _cron(grouped)
    if grouped.value(CONTENT_TYPE):
        name, value = grouped.settings[CONTENT_TYPE]
        _, fields["content_type"] = forwarded_headers.outbound_header(
            name, value, source_name=name
        )
    forwarded = _forwarded(grouped, PREFIX)
    if header_values.read_boolean(grouped.value("upstash-header-forward")):
        forwarded = forwarded_headers.merge(
            forwarded_headers.forward_all(headers), forwarded
        )
    fields |= _flow_control(grouped) | _header_fields(base.headers, forwarded)
    message = replace(
        base,
        **fields,
        callback=_callback(grouped, CALLBACK, base.callback),
        failure_callback=_callback(grouped, FAILURE_CALLBACK, base.failure_callback),
    )
    _check_limits(limits, message)
    _check_retry_delays(grouped, message, check_steps)
    return message


def _group_with_query(headers: Pairs, query: Pairs) -> _Grouped:
    parameters = _group(pair for pair in query if pair[0].lower().startswith(PREFIX))
    grouped = _group(headers)
    if not parameters.settings and not parameters.forwarded:
        return grouped
    return _Grouped(
        parameters.settings | grouped.settings,
        {
            prefix: parameters.forwarded.get(prefix, [])
            + grouped.forwarded.get(prefix, [])
            for prefix in parameters.forwarded | grouped.forwarded
        },
    )


def _group(pairs: Pairs) -> _Grouped:
    grouped = _Grouped()
    for name, text in pairs:
        lower_name = name.lower()
        if not lower_name.startswith(PARSED):
            continue
        value = text.strip(_BLANKS)
        prefix = forwarding_prefix(lower_name)
        if prefix is not None:
            grouped.forwarded.setdefault(prefix, []).append((name, value))
        elif value:
            value = value if lower_name in SENT else to_text(value)
            if grouped.value(lower_name) not in ("", value):
                raise BadValue(canonical(name), "is given twice, with different values")
            grouped.settings[lower_name] = (name, value)
    return grouped


@lru_cache(maxsize=1024)
def forwarding_prefix(lower_name: str) -> str | None:
    """Return the prefix of a header that is to be forwarded, else None.

    Headers for the message have `Forward-` after the prefix. Headers for a callback may
    lack `Forward-`, because the Python SDK leaves it out. So every header with the
    prefix of a callback is forwarded, except for the settings of the callback.
    """
    if lower_name.startswith(PREFIX + FORWARD):
        return PREFIX
    for prefix in (f"{CALLBACK}-", f"{FAILURE_CALLBACK}-"):
        if (
            lower_name.startswith(prefix)
            and lower_name.removeprefix(prefix) not in CALLBACK_HEADERS
        ):
            return prefix
    return None


def _read(grouped: _Grouped, prefix: str, table: Table) -> dict[str, Any]:
    fields = {}
    for suffix, (attribute, read) in table.items():
        if prefix + suffix in grouped.settings:
            name, value = grouped.settings[prefix + suffix]
            fields[attribute] = read(value, canonical(name))
    return fields


def _check_purpose(grouped: _Grouped, *, schedule: bool) -> None:
    """Refuse what is meant for another operation, instead of ignoring it."""
    for name in grouped.settings:
        if name.startswith(WORKFLOW):
            raise BadValue(canonical(name), NO_WORKFLOWS)
    if not schedule and grouped.value(CRON):
        fault = "makes a schedule: send it to /v2/schedules/, as in POST"
        example = "/v2/schedules/https://example.com/path"
        raise BadValue(canonical(CRON), f"{fault} {example}")


def _cron(grouped: _Grouped) -> dict[str, Any]:
    text = grouped.value(CRON)
    if not text:
        raise BadValue("Upstash-Cron", "is missing")
    cron = header_values.read_cron(text, "Upstash-Cron")
    return {"cron": cron.expression, "tz": cron.tz}


def _flow_control(grouped: _Grouped) -> dict[str, Any]:
    key_name, value_name = canonical(FLOW_CONTROL_KEY), "Upstash-Flow-Control-Value"
    key, value = grouped.value(FLOW_CONTROL_KEY), grouped.value(value_name.lower())
    if not key and not value:
        return {}
    if not key:
        raise BadValue(key_name, f"is missing beside {value_name}")
    header_values.read_text(to_text(key), key_name)
    return {
        "flow_control": header_values.read_flow_control(key, value, name=value_name)
    }


def _callback(grouped: _Grouped, name: str, base: Callback | None) -> Callback | None:
    text = grouped.value(name)
    if text:
        url = header_values.read_url(text, canonical(name))
        base = Callback(url) if base is None else replace(base, url=url)
    prefix = f"{name}-"
    # Parse the settings even if there is no callback URL, so that an invalid setting is
    # always an error.
    fields = _read(grouped, prefix, CALLBACK_HEADERS)
    forwarded = _forwarded(grouped, prefix)
    if base is None:
        return None
    return replace(base, **fields, **_header_fields(base.headers, forwarded))


def _forwarded(grouped: _Grouped, prefix: str) -> Headers:
    """Return the headers to forward, without the prefix; drop reserved headers."""
    headers = []
    for source_name, value in grouped.forwarded.get(prefix, ()):
        name = source_name[len(prefix) :]
        if name.lower().startswith(FORWARD):
            name = name[len(FORWARD) :]
        if not forwarded_headers.is_reserved_name(name):
            headers.append(
                forwarded_headers.outbound_header(name, value, source_name=source_name)
            )
    return tuple(headers)


def _header_fields(base: Headers, forwarded: Headers) -> dict[str, Any]:
    """Return the attributes that forwarded headers set.

    `Content-Type` sets `content_type`; all other headers are added to `headers`.
    """
    content_type = forwarded_headers.CONTENT_TYPE
    rest = tuple(pair for pair in forwarded if pair[0] != content_type)
    fields: dict[str, object] = {"headers": forwarded_headers.merge(base, rest)}
    if len(rest) < len(forwarded):
        fields["content_type"] = dict(forwarded)[content_type]
    return fields


def _check_limits(limits: HeaderLimits, message: Message) -> None:
    of_callbacks = min(limits.retries, CALLBACK_RETRIES_LIMIT)
    for prefix, sent, retries in (
        ("Upstash", message, limits.retries),
        ("Upstash-Callback", message.callback, of_callbacks),
        ("Upstash-Failure-Callback", message.failure_callback, of_callbacks),
    ):
        if sent is None:
            continue
        if sent.delay_ms > limits.delay_ms:
            raise _too_long(f"{prefix}-Delay", limits.delay_ms)
        if (sent.timeout_ms or 0) > limits.timeout_ms:
            raise _too_long(f"{prefix}-Timeout", limits.timeout_ms)
        if (sent.retries or 0) > retries:
            raise BadValue(f"{prefix}-Retries", f"should be at most {retries}")


def _check_retry_delays(grouped: _Grouped, message: Message, max_steps: int) -> None:
    """Refuse a retry delay whose expression never has a value."""
    for prefix, sent in (
        (PREFIX, message),
        (f"{CALLBACK}-", message.callback),
        (f"{FAILURE_CALLBACK}-", message.failure_callback),
    ):
        name = f"{prefix}retry-delay"
        if sent is None or not grouped.value(name):
            continue
        retries = (
            sent.retries_for(message) if isinstance(sent, Callback) else sent.retries
        )
        header_values.check_retry_delay(
            *(grouped.value(name), canonical(name)),
            retries=retries,
            max_steps=max_steps,
        )


def _too_long(name: str, limit_ms: int) -> BadValue:
    return BadValue(name, f"should be at most {limit_ms // 1000}s")
