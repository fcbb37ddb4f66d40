"""What may stand in each header of a publisher, and what is said where it may not.

Every reader takes the text and the name that the publisher wrote it under; the name
begins the error, which is all that users of the SDKs get to see.
"""

import re
from collections.abc import Iterator
from scheduler_api.core.cron import expression as cron
from scheduler_api.core.cron.durations import DurationSyntax
from scheduler_api.core.delivery import destinations, retry_expression
from scheduler_api.core.errors import SchedulerError
from scheduler_api.dialects.qstash.parsing.message import DEFAULT_PERIOD_S, FlowControl
from scheduler_api.dialects.qstash.parsing.redaction import Redaction

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
LONGEST_PERIOD_MS = 7 * 86_400_000
LARGEST_LIMIT = 1_000_000_000
# The last second that has a four-digit year; milliseconds lie far above it.
LATEST_S = 253_402_300_799
TEXT_MAX_LENGTH = 1024
NAME_MAX_LENGTH = 256
LABELS_MAX = 32

_DURATION = DurationSyntax(
    *("d", "h", "m", "s"),
    number=r"[0-9]{1,18}(?:\.[0-9]{1,18})?",
    bare_unit="s",
    max_parts=16,
)
_WHOLE = re.compile(r"[0-9]{1,18}")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
# Clients resolve them in a path: nothing of that name could be read or deleted.
_STEPS = (".", "..")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_REDACTED_HEADER = re.compile(r"headers?\[\s*([^\[\],\s]+)\s*\]", re.IGNORECASE)
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_BLANKS = " \t"


class BadValue(SchedulerError, ValueError):
    """A header or parameter cannot be taken; the message begins with its name.

    Behind a colon the name goes on with the part of the value that is meant.
    """

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{name} {fault}")
        self.name = name.partition(":")[0]


def read_duration_ms(value: str, name: str) -> int:
    """A length of time such as `1d10h30m`, or a number of seconds; ms round up.

    Raises: BadValue.
    """
    duration_ms = _DURATION.parse_ms(value)
    if duration_ms is None:
        wanted = "should be a duration such as 10s or 1d10h30m"
        raise BadValue(name, f"{wanted}, not {value[:40]!r}")
    return duration_ms


def read_timeout_ms(value: str, name: str) -> int:
    """How long the destination may take.

    Raises: BadValue.
    """
    timeout_ms = read_duration_ms(value, name)
    if timeout_ms == 0:
        raise BadValue(name, "should be longer than 0s")
    return timeout_ms


def read_unix_ms(value: str, name: str) -> int:
    """A time in seconds since 1970, as milliseconds.

    Raises: BadValue.
    """
    seconds = int(value) if _WHOLE.fullmatch(value) else -1
    if not 0 <= seconds <= LATEST_S:
        wanted = "should be a unix time in seconds"
        raise BadValue(name, f"{wanted}, not {value[:40]!r}")
    return seconds * 1000


def read_retries(value: str, name: str) -> int:
    """How many attempts may follow the first.

    Raises: BadValue.
    """
    if not _WHOLE.fullmatch(value):
        raise BadValue(name, f"should be a whole number from 0 on, not {value[:40]!r}")
    return int(value)


def read_retry_delay(value: str, name: str) -> str:
    """An expression, as given.

    Raises: BadValue.
    """
    try:
        return retry_expression.parse(value).text
    except retry_expression.ExpressionError as err:
        where = f"(at character {err.position + 1})"
        raise BadValue(name, f"should be an expression: {err} {where}") from err


def hold_retry_delay(value: str, name: str, *, retries: int) -> None:
    """Holds an expression to having a value before at least one retry.

    One that has none before the first alone is taken, whatever the retries are.

    Raises: BadValue.
    """
    expression = retry_expression.parse(value)
    if not expression.may_have_value(retries=max(retries, 1)):
        raise BadValue(name, "should have a value before some retry, and has none")


def read_method(value: str, name: str) -> str:
    """A method, in upper case.

    Raises: BadValue.
    """
    method = value.upper()
    if method not in METHODS:
        raise BadValue(
            name, f"should be one of {', '.join(METHODS)}, not {value[:40]!r}"
        )
    return method


def read_truth(value: str, _name: str = "") -> bool:
    """Whether the value says true; Python's SDK spells it `True`."""
    return value.lower() == "true"


def read_url(value: str, name: str) -> str:
    """An absolute http(s) URL, as given.

    One that cannot stand in a request line, or has a fragment, is written as it will be
    sent: a signature names what its receiver sees.

    Raises: BadValue.
    """
    if not _SCHEME.match(value):
        fault = "endpoint has invalid scheme, add http:// or https://"
        raise BadValue(f"{name}:", fault)
    try:
        wire = destinations.parse(value).wire
    except destinations.BadDestination as err:
        raise BadValue(f"{name}:", str(err)) from err
    return value if value.isascii() and "#" not in value else wire


def read_utf8(value: str) -> str:
    """UTF-8 that the server has read as latin-1, put right."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def read_text(value: str, name: str) -> str:
    """Free text, as `read_utf8` has it.

    Raises: BadValue.
    """
    value = read_utf8(value)
    return check_text(value, name)


def check_text(value: str, name: str) -> str:
    """Free text, as it was read.

    Raises: BadValue.
    """
    if len(value) > TEXT_MAX_LENGTH:
        raise BadValue(name, f"should have at most {TEXT_MAX_LENGTH} characters")
    if _CONTROL.search(value):
        raise BadValue(name, "should have no control characters")
    return value


def read_name(value: str, name: str) -> str:
    """The name of a queue, a url group or a schedule.

    Raises: BadValue.
    """
    if not _NAME.fullmatch(value) or len(value) > NAME_MAX_LENGTH:
        raise BadValue(
            name,
            f"should be 1 to {NAME_MAX_LENGTH} letters, digits, '_', '.' or '-', "
            f"not {value[:40]!r}",
        )
    if value in _STEPS:
        raise BadValue(name, f"should not be {value!r}, which is a step in a path")
    return value


def read_labels(value: str, name: str) -> tuple[str, ...]:
    """Labels, separated by commas; each once.

    Raises: BadValue.
    """
    labels = tuple(dict.fromkeys(_listed(read_text(value, name))))
    if len(labels) > LABELS_MAX:
        raise BadValue(name, f"should have at most {LABELS_MAX} labels")
    return labels


def read_cron(value: str, name: str) -> cron.Cron:
    """A cron expression, with `CRON_TZ=` before it or not.

    Raises: BadValue.
    """
    try:
        return cron.parse(value, grammar=cron.QSTASH)
    except cron.CronError as err:
        raise BadValue(name, f"should be a cron expression: {err}") from err


def read_redaction(value: str, name: str) -> Redaction:
    """What is hidden: `body`, `header`, `header[Name]`, the last two also in plural.

    Raises: BadValue.
    """
    body, all_headers, names = False, False, []
    for part in _listed(value):
        found = _REDACTED_HEADER.fullmatch(part)
        if found is not None:
            names.append(found[1].lower())
        elif part.lower() == "body":
            body = True
        elif part.lower() in ("header", "headers"):
            all_headers = True
        else:
            wanted = "should list body, header or header[Name]"
            raise BadValue(name, f"{wanted}, not {part[:40]!r}")
    return Redaction(body, all_headers, tuple(sorted(set(names))))


def read_flow_control(key: str, value: str, *, name: str) -> FlowControl:
    """The limits of a key, such as `parallelism=3, rate=10, period=1m`.

    Args:
        name: that of the value's header.

    Raises: BadValue.
    """
    given: dict[str, str] = {}
    for part in _listed(value):
        field, _, text = (word.strip(_BLANKS) for word in part.partition("="))
        if field not in ("parallelism", "rate", "period") or field in given:
            raise _bad_flow_control(name)
        given[field] = text
    if not given.keys() & {"parallelism", "rate"}:
        raise _bad_flow_control(name)
    return FlowControl(
        key,
        parallelism=_limit(given.get("parallelism"), name=f"{name}: parallelism"),
        rate=_limit(given.get("rate"), name=f"{name}: rate"),
        period_s=_period_s(given.get("period"), name=f"{name}: period"),
    )


def _listed(value: str) -> Iterator[str]:
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
    limit = int(value) if _WHOLE.fullmatch(value) else 0
    if not 1 <= limit <= LARGEST_LIMIT:
        wanted = f"should be a whole number from 1 to {LARGEST_LIMIT}"
        raise BadValue(name, f"{wanted}, not {value[:40]!r}")
    return limit


def _period_s(value: str | None, *, name: str) -> int:
    if value is None:
        return DEFAULT_PERIOD_S
    period_ms = read_duration_ms(value, name)
    if not 0 < period_ms <= LONGEST_PERIOD_MS or period_ms % 1000:
        wanted = "should be whole seconds, from 1s to 7d"
        raise BadValue(name, f"{wanted}, not {value[:40]!r}")
    return period_ms // 1000
