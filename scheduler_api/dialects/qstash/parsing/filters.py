"""Parses the filters and the paging parameters of list and bulk calls. Pure.

A message passes a filter if it has one of the filter's values. A call selects the
messages that pass all of its filters. An unknown parameter is an error: if a misspelled
filter were ignored, a bulk call would affect all messages.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from scheduler_api.core.delivery import destinations
from scheduler_api.core.model import Event
from scheduler_api.core.queries.active_events import Outline
from scheduler_api.core.queries.filters import ALWAYS, Span
from scheduler_api.core.queries.journal import Cursor, JournalRange
from scheduler_api.core.recovery.dead_letters import Place
from scheduler_api.dialects.qstash.parsing.header_values import (
    MAX_UNIX_S,
    BadValue,
    read_url,
)
from scheduler_api.dialects.qstash.parsing.ids import EVENT_ID
from scheduler_api.dialects.qstash.parsing.message import Message, schedule_id
from scheduler_api.dialects.qstash.parsing.targets import TOKEN
from scheduler_api.web.values import read_integer
from urllib.parse import urlsplit

Parameters = dict[str, list[str]]

CONDITIONS = (
    *("url", "host", "path", "topicName", "queueName", "scheduleId"),
    *("callerIp", "label", "flowControlKey"),
)
# Older versions of the JavaScript SDK send `urlGroup` and `topicName` at once.
ALIASES = {"callerIP": "callerIp", "urlGroup": "topicName"}
DATES = ("fromDate", "toDate")
# Parameters whose values may contain commas. Other values are split at commas.
NEVER_SPLIT = ("url", "path", "flowControlKey", "search")

# Filters whose values may be secret, since the URLs of webhooks often are.
SECRET = ("url", "path")

# The state that a log entry shows for each kind of journal entry.
STATES = {
    "created": "CREATED",
    "begun": "ACTIVE",
    "failed": "ERROR",
    "retry": "RETRY",
    "cancel_requested": "CANCEL_REQUESTED",
    "delivered": "DELIVERED",
    "dead": "FAILED",
    "cancelled": "CANCELED",
}
IN_PROGRESS = ("begun", "failed", "retry")
DEAD_LETTER_CONDITIONS = tuple(
    name for name in CONDITIONS if name not in ("host", "path")
)
PAGE = ("count", "cursor", "order")
CANCELLATION_PARAMETERS = ("messageIds", *CONDITIONS, *DATES, "count")
LOG_PARAMETERS = ("messageId", "messageIds", *CONDITIONS, *DATES, *PAGE, "state")
DEAD_LETTER_PARAMETERS = (
    *("dlqIds", "messageId", *DEAD_LETTER_CONDITIONS, "responseStatus"),
    *(*DATES, *PAGE),
)
MAX_DEAD_LETTERS = 100
# How many values of a filter the audit log shows.
MAX_LISTED = 5
MAX_LOG_ENTRIES = 1_000
DEFAULT_COUNT = 100

_KINDS = {state: (kind,) for kind, state in STATES.items()} | {
    "CANCELLED": ("cancelled",),
    "IN_PROGRESS": IN_PROGRESS,
}
_ORDERS = {"earliestFirst": False, "latestFirst": True}
_DEAD_LETTER_CURSOR = re.compile(rf"([0-9]{{1,15}})-({EVENT_ID})")
# The older SDKs may begin with the current time in milliseconds. Does not match `0-0`:
# No journal entry has this id, and Redis returns an error if the entries before `0-0`
# are read.
_LOG_CURSOR = re.compile(r"(?!0+(?:-0+)?$)([0-9]{1,15})(?:-([0-9]{1,15}))?")


@dataclass(frozen=True)
class Conditions:
    """Filters that messages must pass.

    `ids` are the accepted message ids; None accepts all. `values` maps the name of a
    filter to the accepted values.
    """

    ids: tuple[str, ...] | None = None
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def match(self, event: Event | Outline, message: Message) -> bool:
        """Tell whether a message passes the filters in `values`; ignores `ids`."""
        return all(
            not accepted.isdisjoint(_values(name, event, message))
            for name, accepted in self.values.items()
        )


@dataclass(frozen=True)
class Cancellation:
    """Which messages to cancel."""

    conditions: Conditions
    created: Span

    @property
    def is_unfiltered(self) -> bool:
        """Whether the call cancels all messages."""
        return self == Cancellation(Conditions(), ALWAYS)


@dataclass(frozen=True)
class LogQuery:
    """Which log entries to list; `count` is the size of the page."""

    conditions: Conditions
    kinds: frozenset[str]
    journal_range: JournalRange
    count: int


@dataclass(frozen=True)
class DeadLetterQuery:
    """Which dead letters to select; `count` is the size of the page.

    `ids` are the accepted ids of dead letters, and `statuses` the accepted response
    statuses of the last attempt; None accepts all.
    """

    ids: tuple[str, ...] | None
    conditions: Conditions
    statuses: frozenset[int] | None
    span: Span
    newest_first: bool
    after: Place | None
    count: int

    @property
    def is_unfiltered(self) -> bool:
        """Whether the query has neither a filter nor a cursor."""
        if any(part is not None for part in (self.ids, self.statuses, self.after)):
            return False
        return (self.conditions, self.span) == (Conditions(), ALWAYS)


def describe_selection(parameters: Parameters) -> str:
    """Return the filters of a bulk call for the audit log; without secret values."""
    words = (
        name if name in SECRET else f"{name}={_listed(values)}"
        for name, values in sorted(parameters.items())
    )
    return " ".join(words) or "all"


def _listed(values: Sequence[str]) -> str:
    more = len(values) - MAX_LISTED
    listed = ",".join(values[:MAX_LISTED])
    return f"{listed} and {more} more" if more > 0 else listed


def read_query(pairs: Iterable[tuple[str, str]]) -> Parameters:
    """Return the values of a query's parameters by name, except for the token."""
    parameters: Parameters = {}
    for name, value in pairs:
        if name != TOKEN:
            parts = [value] if name in NEVER_SPLIT else value.split(",")
            parameters.setdefault(_canonical_name(name), []).extend(parts)
    return parameters


def read_fields(body: object) -> Parameters:
    """Return the parameters in a JSON body, {} for an empty body.

    A filter that is null is an error: if it were ignored, the call would affect all
    messages.

    Raises: BadValue.
    """
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise BadValue("body", "should be an object")
    parameters: Parameters = {}
    for name, value in body.items():
        values = value if isinstance(value, list) else [value]
        if not all(type(each) in (str, int) for each in values):
            raise BadValue(name[:40], "should be a text or a list of texts")
        parameters.setdefault(_canonical_name(name), []).extend(map(str, values))
    return parameters


def read_cancellation(parameters: Parameters) -> Cancellation:
    """Return which messages a bulk call cancels; check `count`, but do not use it.

    Raises: BadValue.
    """
    check_names(parameters, CANCELLATION_PARAMETERS)
    start_ms, end_ms = _dates(parameters)
    if "count" in parameters:
        _integer(parameters, "count")
    return Cancellation(_conditions(parameters), Span(start_ms, end_ms))


def read_log_query(parameters: Parameters, *, default_count: int) -> LogQuery:
    """Return which log entries a call lists.

    Args:
        default_count: the size of the page if the call names none.

    Raises: BadValue.
    """
    check_names(parameters, LOG_PARAMETERS)
    start_ms, end_ms = _dates(parameters)
    newest_first = _newest_first(parameters, "latestFirst")
    return LogQuery(
        _conditions(parameters),
        _kinds(parameters),
        JournalRange(start_ms, end_ms, newest_first, _log_cursor(parameters)),
        _count(parameters, default=default_count, maximum=MAX_LOG_ENTRIES),
    )


def read_dead_letter_query(parameters: Parameters) -> DeadLetterQuery:
    """Return which dead letters a call selects.

    Raises: BadValue.
    """
    check_names(parameters, DEAD_LETTER_PARAMETERS)
    start_ms, end_ms = _dates(parameters)
    ids = None
    if "dlqIds" in parameters:
        stripped = (value.strip() for value in parameters["dlqIds"])
        ids = tuple(dict.fromkeys(filter(None, stripped)))
    statuses = parameters.get("responseStatus")
    for status in statuses or ():
        if read_integer(status) is None:
            raise BadValue("responseStatus", "should be a status such as 503")
    return DeadLetterQuery(
        ids,
        _conditions(parameters),
        None if statuses is None else frozenset(map(int, statuses)),
        Span(start_ms, end_ms),
        _newest_first(parameters, "earliestFirst"),
        _dead_letter_cursor(parameters),
        _count(parameters, default=DEFAULT_COUNT, maximum=MAX_DEAD_LETTERS),
    )


def read_flags(parameters: Parameters, names: Collection[str]) -> dict[str, bool]:
    """Parse parameters that are `true` or `false`; absent parameters are False.

    Raises: BadValue.
    """
    check_names(parameters, names)
    texts = {name: _single(parameters, name, "false").lower() for name in names}
    for name, text in texts.items():
        if text not in ("true", "false"):
            raise BadValue(name, f"should be true or false, not {text[:40]!r}")
    return {name: text == "true" for name, text in texts.items()}


def read_limits(
    parameters: Parameters, maximums: Mapping[str, int]
) -> dict[str, int | None]:
    """Parse integer parameters of at least 1; absent parameters are None.

    Args:
        maximums: the largest value of each parameter.

    Raises: BadValue.
    """
    check_names(parameters, maximums)
    limits: dict[str, int | None] = dict.fromkeys(maximums)
    for name in parameters:
        limits[name] = _integer(parameters, name)
        if not 1 <= (limits[name] or 0) <= maximums[name]:
            raise BadValue(name, f"should be a whole number from 1 to {maximums[name]}")
    return limits


def read_search(parameters: Parameters) -> str:
    """Return the search text, the only parameter of its call; '' if it is absent.

    Raises: BadValue.
    """
    check_names(parameters, ("search",))
    return _single(parameters, "search", "")


def format_cursor(cursor: Cursor | Place) -> str:
    """Return a cursor as the text that clients send to get the next page."""
    return "{}-{}".format(*cursor)


def check_names(parameters: Parameters, allowed: Collection[str]) -> None:
    """Refuse parameters that a call does not take.

    Raises: BadValue.
    """
    for name in parameters:
        if name not in allowed:
            alternatives = ", ".join(allowed) or "none"
            raise BadValue(name[:40], f"is not a known parameter: use {alternatives}")


def _canonical_name(name: str) -> str:
    return ALIASES.get(name, name)


def _conditions(parameters: Parameters) -> Conditions:
    """Return the filters of messages; message ids replace all other filters."""
    if "messageIds" in parameters or "messageId" in parameters:
        ids = (
            value.strip()
            for name in ("messageIds", "messageId")
            for value in parameters.get(name, ())
        )
        return Conditions(ids=tuple(dict.fromkeys(filter(None, ids))))
    return Conditions(
        values={
            name: frozenset(map(_AS_STORED.get(name, str), parameters[name]))
            for name in CONDITIONS
            if name in parameters
        }
    )


def _stored_url(value: str) -> str:
    """Return a URL as messages store it; return any other text as it is."""
    try:
        return read_url(value, "url")
    except BadValue:
        return value


def _stored_host(value: str) -> str:
    """Return a host in lower-case ASCII, with its port if it has one."""
    try:
        parsed = destinations.parse(f"http://{value}/")
    except destinations.BadDestination:
        return value.lower()
    return parsed.origin.authority if parsed.rest == "/" else value.lower()


# The values of filters may contain international host names, as destinations may.
_AS_STORED = {"url": _stored_url, "host": _stored_host}


def _values(name: str, event: Event | Outline, message: Message) -> Collection[str]:
    """Return the values that a message has for the filter with this name."""
    url = event.content.url
    if name in ("host", "path"):
        if url == message.topic:
            return ()
        return _hosts(url) if name == "host" else (_path(url),)
    if name == "label":
        return message.labels
    flow = message.flow_control
    value = {
        "url": url,
        "topicName": message.topic,
        "queueName": message.queue,
        "scheduleId": schedule_id(event.schedule, message),
        "callerIp": message.caller_ip,
        "flowControlKey": None if flow is None else flow.key,
    }[name]
    return () if value is None else (value,)


def _hosts(url: str) -> Collection[str]:
    """Return the host of a URL, without and with the port."""
    destination = destinations.parse(url)
    return destination.host, str(destination.origin).partition("//")[2]


def _path(url: str) -> str:
    return urlsplit(destinations.parse(url).normalized_url).path or "/"


def _kinds(parameters: Parameters) -> frozenset[str]:
    if "state" not in parameters:
        return frozenset(STATES)
    kinds: set[str] = set()
    for state in parameters["state"]:
        if state.strip().upper() not in _KINDS:
            raise BadValue("state", f"should be one of {', '.join(_KINDS)}")
        kinds.update(_KINDS[state.strip().upper()])
    return frozenset(kinds)


def _dates(parameters: Parameters) -> tuple[int | None, int | None]:
    start_ms, end_ms = (
        _integer(parameters, name) if name in parameters else None for name in DATES
    )
    for name, at_ms in zip(DATES, (start_ms, end_ms), strict=True):
        if at_ms is not None and at_ms > MAX_UNIX_S * 1000:
            raise BadValue(name, "should be a unix time in milliseconds")
    return start_ms, end_ms


def _newest_first(parameters: Parameters, default: str) -> bool:
    order = _single(parameters, "order", default)
    if order not in _ORDERS:
        raise BadValue("order", f"should be one of {', '.join(_ORDERS)}")
    return _ORDERS[order]


def _count(parameters: Parameters, *, default: int, maximum: int) -> int:
    count = _integer(parameters, "count", default)
    if not 1 <= count <= maximum:
        raise BadValue("count", f"should be a number from 1 to {maximum}")
    return count


def _log_cursor(parameters: Parameters) -> Cursor | None:
    match = _match_cursor(_LOG_CURSOR, parameters)
    return None if match is None else (int(match[1]), int(match[2] or 0))


def _dead_letter_cursor(parameters: Parameters) -> Place | None:
    match = _match_cursor(_DEAD_LETTER_CURSOR, parameters)
    return None if match is None else Place(int(match[1]), match[2])


def _match_cursor(
    pattern: re.Pattern[str], parameters: Parameters
) -> re.Match[str] | None:
    text = _single(parameters, "cursor", "")
    match = pattern.fullmatch(text)
    if text and match is None:
        raise BadValue("cursor", "should be one from an earlier response")
    return match


def _integer(parameters: Parameters, name: str, default: int = 0) -> int:
    text = _single(parameters, name, str(default))
    number = read_integer(text)
    if number is None:
        raise BadValue(name, f"should be a whole number, not {text[:40]!r}")
    return number


def _single(parameters: Parameters, name: str, default: str) -> str:
    values = parameters.get(name, [default])
    if len(values) != 1:
        raise BadValue(name, "should be given once")
    return values[0].strip()
