"""Parses the values of headers.

Each function takes the value and the name of a header. Error messages begin with the
name of the header, because the SDKs show users only the message of an error.
"""

import re
from collections.abc import Iterator
from scheduler_api.core.cron import expression as cron
from scheduler_api.core.cron.durations import DurationSyntax
from scheduler_api.core.delivery import destinations, retry_expression
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.flow_control.gates import MAX_LIMIT, MAX_PERIOD_MS
from scheduler_api.core.timestamps import LATEST_MS
from scheduler_api.dialects.qstash.cron_grammar import GRAMMAR
from scheduler_api.dialects.qstash.parsing.escaped_hosts import decode_host
from scheduler_api.dialects.qstash.parsing.message import DEFAULT_PERIOD_S, FlowControl
from scheduler_api.dialects.qstash.parsing.redaction import Redaction
from scheduler_api.web.values import read_integer

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# The last second of the year 9999. If a client mistakenly sends milliseconds instead of
# seconds, the number exceeds this maximum, and the client gets an error.
MAX_UNIX_S = LATEST_MS // 1000
TEXT_MAX_LENGTH = 1024
NAME_MAX_LENGTH = 256
LABELS_MAX = 32
REDACTED_HEADERS_MAX = 100
# The maximum length of a list in a header.
LIST_MAX_LENGTH = 65_536

_DURATION = DurationSyntax(
    *("d", "h", "m", "s"),
    number=r"[0-9]{1,18}(?:\.[0-9]{1,18})?",
    bare_unit="s",
    max_parts=16,
)
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# HTTP clients remove these segments from paths, so no client could request a resource
# with such a name.
_DOT_SEGMENTS = (".", "..")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_REDACTED_HEADER = re.compile(r"headers?\[\s*([^\[\],\s]+)\s*\]", re.IGNORECASE)
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_BLANKS = " \t"


class BadValue(SchedulerError, ValueError):
    """A header or parameter has an invalid value.

    Args:
        name: the name of the header or parameter. The message begins with this name. If
            only a part of the value is invalid, `: <part>` follows the name.
        fault: completes the message, such as `should be a text`.
    """

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{name} {fault}")
        self.name = name.partition(":")[0]


def read_duration_ms(value: str, name: str) -> int:
    """Parse a duration such as `1d10h30m`, or a number of seconds; round up to ms.

    Raises: BadValue.
    """
    duration_ms = _DURATION.parse_ms(value)
    if duration_ms is None:
        fault = "should be a duration such as 10s or 1d10h30m"
        raise BadValue(name, f"{fault}, not {value[:40]!r}")
    return duration_ms


def read_timeout_ms(value: str, name: str) -> int:
    """Parse the timeout of one attempt, a duration of more than 0.

    Raises: BadValue.
    """
    timeout_ms = read_duration_ms(value, name)
    if timeout_ms == 0:
        raise BadValue(name, "should be longer than 0s")
    return timeout_ms


def read_unix_ms(value: str, name: str) -> int:
    """Parse a unix time in seconds; return milliseconds.

    A fraction is rounded up to the next second, so that no attempt is early. Python's
    `time.time()` has a fraction.

    Raises: BadValue.
    """
    integer, point, fraction = value.partition(".")
    seconds = read_integer(integer)
    if seconds is not None and point:
        more = read_integer(fraction)
        seconds = None if more is None else seconds + (more > 0)
    if seconds is None or seconds > MAX_UNIX_S:
        fault = "should be a unix time in seconds"
        raise BadValue(name, f"{fault}, not {value[:40]!r}")
    return seconds * 1000


def read_retries(value: str, name: str) -> int:
    """Parse the maximum number of retries.

    Raises: BadValue.
    """
    retries = read_integer(value)
    if retries is None:
        raise BadValue(name, f"should be a whole number from 0 on, not {value[:40]!r}")
    return retries


def read_retry_delay(value: str, name: str) -> str:
    """Check the expression for the delay before a retry; return the expression.

    Raises: BadValue.
    """
    try:
        return retry_expression.parse(value).text
    except retry_expression.ExpressionError as err:
        where = f"(at character {err.position + 1})"
        raise BadValue(name, f"should be an expression: {err} {where}") from err


def check_retry_delay(value: str, name: str, *, retries: int, max_steps: int) -> None:
    """Refuse an expression that never has a value.

    The values of `retried` from 0 to `retries`, but at least 0 and 1, are considered.
    For example, `1000 / retried` has no value if `retried` is 0, but has a value if
    `retried` is 1. So this expression is accepted. An expression is also accepted if
    `max_steps` steps of evaluation do not show that it never has a value.

    Raises: BadValue.
    """
    expression = retry_expression.parse(value)
    if not expression.may_have_value(retries=max(retries, 1), max_steps=max_steps):
        raise BadValue(name, "should have a value before at least one retry")


def read_method(value: str, name: str) -> str:
    """Parse an HTTP method; return it in upper case.

    Raises: BadValue.
    """
    method = value.upper()
    if method not in METHODS:
        raise BadValue(
            name, f"should be one of {', '.join(METHODS)}, not {value[:40]!r}"
        )
    return method


def read_boolean(value: str, _name: str = "") -> bool:
    """Tell whether the value is `true` in any case; the Python SDK sends `True`."""
    return value.lower() == "true"


def read_url(value: str, name: str) -> str:
    """Check an absolute http(s) URL; return it as it will be sent.

    A percent-encoded host name is decoded (`parsing/escaped_hosts.py`). Most
    URLs are sent unchanged. A URL with non-ASCII characters or a fragment is
    normalized here, because the signature must contain the URL that the receiver sees.

    Raises: BadValue.
    """
    if not _SCHEME.match(value):
        fault = "endpoint has invalid scheme, add http:// or https://"
        raise BadValue(f"{name}:", fault)
    value = decode_host(value)
    try:
        normalized_url = destinations.parse(value).normalized_url
    except destinations.BadDestination as err:
        raise BadValue(f"{name}:", str(err)) from err
    return value if value.isascii() and "#" not in value else normalized_url


def read_text(value: str, name: str) -> str:
    """Check free text; return the text.

    Raises: BadValue, if the text is too long or has control characters.
    """
    if len(value) > TEXT_MAX_LENGTH:
        raise BadValue(name, f"should have at most {TEXT_MAX_LENGTH} characters")
    if _CONTROL.search(value):
        raise BadValue(name, "should have no control characters")
    return value


def read_name(value: str, name: str) -> str:
    """Check the name of a queue, a url group or a schedule; return the name.

    Raises: BadValue.
    """
    if not _NAME.fullmatch(value) or len(value) > NAME_MAX_LENGTH:
        raise BadValue(
            name,
            f"should be 1 to {NAME_MAX_LENGTH} letters, digits, '_', '.' or '-', "
            f"not {value[:40]!r}",
        )
    if value in _DOT_SEGMENTS:
        raise BadValue(name, f"should not be {value!r}, which has a meaning in paths")
    return value


def read_labels(value: str, name: str) -> tuple[str, ...]:
    """Parse labels, separated by commas; drop repeated labels.

    Raises: BadValue.
    """
    labels = tuple(dict.fromkeys(_split(read_text(value, name))))
    if len(labels) > LABELS_MAX:
        raise BadValue(name, f"should have at most {LABELS_MAX} labels")
    return labels


def read_cron(value: str, name: str) -> cron.Cron:
    """Parse a cron expression, optionally with a `CRON_TZ=` prefix.

    Raises: BadValue.
    """
    try:
        return cron.parse(value, grammar=GRAMMAR)
    except cron.CronError as err:
        raise BadValue(name, f"should be a cron expression: {err}") from err


def read_redaction(value: str, name: str) -> Redaction:
    """Parse a list of `body`, `header` and `header[Name]`.

    `headers` has the same meaning as `header`.

    Raises: BadValue.
    """
    _check_length(value, name)
    body, all_headers, names = False, False, []
    for part in _split(value):
        match = _REDACTED_HEADER.fullmatch(part)
        if match is not None:
            names.append(match[1].lower())
        elif part.lower() == "body":
            body = True
        elif part.lower() in ("header", "headers"):
            all_headers = True
        else:
            fault = "should list body, header or header[Name]"
            raise BadValue(name, f"{fault}, not {part[:40]!r}")
    hidden = tuple(sorted(set(names)))
    if len(hidden) > REDACTED_HEADERS_MAX or any(
        len(each) > NAME_MAX_LENGTH for each in hidden
    ):
        limit = f"{REDACTED_HEADERS_MAX} names of {NAME_MAX_LENGTH} characters"
        raise BadValue(name, f"should list at most {limit}")
    return Redaction(body, all_headers, hidden)


def read_flow_control(key: str, value: str, *, name: str) -> FlowControl:
    """Parse the limits of a flow-control key: `parallelism=3, rate=10, period=1m`.

    Args:
        key: the key with one character per byte.
        name: the name of the header with the limits.

    Raises: BadValue.
    """
    _check_length(value, name)
    limits: dict[str, str] = {}
    for part in _split(value):
        field, _, text = (word.strip(_BLANKS) for word in part.partition("="))
        if field not in ("parallelism", "rate", "period") or field in limits:
            raise _bad_flow_control(name)
        limits[field] = text
    if not limits.keys() & {"parallelism", "rate"}:
        raise _bad_flow_control(name)
    return FlowControl(
        key,
        parallelism=_limit(limits.get("parallelism"), name=f"{name}: parallelism"),
        rate=_limit(limits.get("rate"), name=f"{name}: rate"),
        period_s=_period_s(limits.get("period"), name=f"{name}: period"),
    )


def _check_length(value: str, name: str) -> None:
    """Refuse a list that would take long to split."""
    if len(value) > LIST_MAX_LENGTH:
        raise BadValue(name, f"should have at most {LIST_MAX_LENGTH} characters")


def _split(value: str) -> Iterator[str]:
    parts = (part.strip(_BLANKS) for part in value.split(","))
    return (part for part in parts if part)


def _bad_flow_control(name: str) -> BadValue:
    return BadValue(
        name,
        "should be either rate=X or parallelism=Y, or both as comma-separated values",
    )


def _limit(value: str | None, *, name: str) -> int | None:
    if value is None:
        return None
    limit = read_integer(value)
    if limit is None or not 1 <= limit <= MAX_LIMIT:
        fault = f"should be a whole number from 1 to {MAX_LIMIT}"
        raise BadValue(name, f"{fault}, not {value[:40]!r}")
    return limit


def _period_s(value: str | None, *, name: str) -> int:
    if value is None:
        return DEFAULT_PERIOD_S
    period_ms = read_duration_ms(value, name)
    if not 0 < period_ms <= MAX_PERIOD_MS or period_ms % 1000:
        fault = "should be whole seconds, from 1s to 7d"
        raise BadValue(name, f"{fault}, not {value[:40]!r}")
    return period_ms // 1000
