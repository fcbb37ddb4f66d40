"""What clients may ask for by query or body: filters and pages. Pure.

Values of one filter are alternatives, filters hold together. A name that is unknown is
refused before anything is looked at: who misspells a filter does not mean everything.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from scheduler_api.core.delivery import destinations
from scheduler_api.core.model import Event
from scheduler_api.core.queries.active_events import Outline
from scheduler_api.core.queries.filters import ALWAYS, Span
from scheduler_api.core.queries.journal import Cursor, Stretch
from scheduler_api.core.recovery.dead_letters import Place
from scheduler_api.dialects.qstash.parsing.header_values import LATEST_S, BadValue
from scheduler_api.dialects.qstash.parsing.ids import EVENT_ID
from scheduler_api.dialects.qstash.parsing.message import Message, schedule_id
from scheduler_api.dialects.qstash.parsing.targets import TOKEN
from urllib.parse import urlsplit

Parameters = dict[str, list[str]]

CONDITIONS = (
    *("url", "host", "path", "topicName", "queueName", "scheduleId"),
    *("callerIp", "label", "flowControlKey"),
)
ALIASES = {"callerIP": "callerIp"}
DATES = ("fromDate", "toDate")
# These may have commas in their values.
NEVER_SPLIT = ("url", "path", "flowControlKey", "search")

# Kinds of a journal's lines as clients know them.
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
# What dead letters can be asked for by, besides what is their own.
DEAD_LETTER_CONDITIONS = tuple(
    name for name in CONDITIONS if name not in ("host", "path")
)
PAGE = ("count", "cursor", "order")
# The parameters that each call knows.
CANCELLATION_PARAMETERS = ("messageIds", *CONDITIONS, *DATES, "count")
LOG_PARAMETERS = ("messageId", "messageIds", *CONDITIONS, *DATES, *PAGE, "state")
DEAD_LETTER_PARAMETERS = (
    *("dlqIds", "messageId", *DEAD_LETTER_CONDITIONS, "responseStatus"),
    *(*DATES, *PAGE),
)
MAX_DEAD_LETTERS = 100
MAX_LOG_ENTRIES = 1_000
DEFAULT_COUNT = 100

_KINDS = {state: (kind,) for kind, state in STATES.items()} | {
    "CANCELLED": ("cancelled",),
    "IN_PROGRESS": IN_PROGRESS,
}
_ORDERS = {"earliestFirst": False, "latestFirst": True}
_WHOLE = re.compile(r"[0-9]{1,18}")
_PLACE = re.compile(rf"([0-9]{{1,15}})-({EVENT_ID})")
# No line of a journal stands at 0-0, and the store knows nothing before it.
_CURSOR = re.compile(r"(?!0+-0+$)([0-9]{1,15})-([0-9]{1,15})")


@dataclass(frozen=True)
class Conditions:
    """What a message has to be like; `ids` are those of messages, None is any."""

    ids: tuple[str, ...] | None = None
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def hold(self, event: Event | Outline, said: Message) -> bool:
        """Whether an event is meant, its id aside."""
        return all(
            not wanted.isdisjoint(_values(name, event, said))
            for name, wanted in self.values.items()
        )


@dataclass(frozen=True)
class Cancellation:
    """Which messages are to be cancelled."""

    conditions: Conditions
    created: Span

    @property
    def everything(self) -> bool:
        """Whether nothing narrows it down."""
        return self == Cancellation(Conditions(), ALWAYS)


@dataclass(frozen=True)
class LogQuery:
    """Which lines of the journal are wanted, and how many of them."""

    conditions: Conditions
    kinds: frozenset[str]
    stretch: Stretch
    count: int


@dataclass(frozen=True)
class LetterQuery:
    """Which dead letters are wanted, and how many of them.

    `ids` are their own, None is any; `statuses` those of the last answer.
    """

    ids: tuple[str, ...] | None
    conditions: Conditions
    statuses: frozenset[int] | None
    span: Span
    newest_first: bool
    after: Place | None
    count: int

    @property
    def everything(self) -> bool:
        """Whether nothing narrows it down but how many are taken at a time."""
        narrowed = any(
            each is not None for each in (self.ids, self.statuses, self.after)
        )
        return not narrowed and (self.conditions, self.span) == (Conditions(), ALWAYS)


def read_query(pairs: Iterable[tuple[str, str]]) -> Parameters:
    """The parameters of a query by name, without the token."""
    found: Parameters = {}
    for name, value in pairs:
        if name != TOKEN:
            parts = [value] if name in NEVER_SPLIT else value.split(",")
            found.setdefault(_known(name), []).extend(parts)
    return found


def read_fields(body: object) -> Parameters:
    """The parameters in the JSON of a body; no body has none.

    A list of ids that is null is a mistake of whoever made it, and not everything.

    Raises: BadValue.
    """
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise BadValue("body", "should be an object")
    found: Parameters = {}
    for name, value in body.items():
        values = value if isinstance(value, list) else [value]
        if not all(type(each) in (str, int) for each in values):
            raise BadValue(name[:40], "should be a text or a list of texts")
        found.setdefault(_known(name), []).extend(map(str, values))
    return found


def read_cancellation(parameters: Parameters) -> Cancellation:
    """Which messages a bulk call means; `count` is known, and says nothing.

    Raises: BadValue.
    """
    check_names(parameters, CANCELLATION_PARAMETERS)
    start_ms, end_ms = _dates(parameters)
    if "count" in parameters:
        _whole(parameters, "count")
    return Cancellation(_conditions(parameters), Span(start_ms, end_ms))


def read_log_query(parameters: Parameters) -> LogQuery:
    """Which entries of the log are meant.

    Raises: BadValue.
    """
    check_names(parameters, LOG_PARAMETERS)
    start_ms, end_ms = _dates(parameters)
    newest_first = _newest_first(parameters, "latestFirst")
    return LogQuery(
        _conditions(parameters),
        _kinds(parameters),
        Stretch(start_ms, end_ms, newest_first, _cursor(parameters)),
        _count(parameters, most=MAX_LOG_ENTRIES),
    )


def read_letter_query(parameters: Parameters) -> LetterQuery:
    """Which dead letters are meant; who gives ids of them means those.

    Raises: BadValue.
    """
    check_names(parameters, DEAD_LETTER_PARAMETERS)
    start_ms, end_ms = _dates(parameters)
    ids = None
    if "dlqIds" in parameters:
        named = (value.strip() for value in parameters["dlqIds"])
        ids = tuple(dict.fromkeys(filter(None, named)))
    statuses = parameters.get("responseStatus")
    for status in statuses or ():
        if not _WHOLE.fullmatch(status):
            raise BadValue("responseStatus", "should be a status such as 503")
    return LetterQuery(
        ids,
        _conditions(parameters),
        None if statuses is None else frozenset(map(int, statuses)),
        Span(start_ms, end_ms),
        _newest_first(parameters, "earliestFirst"),
        _place(parameters),
        _count(parameters, most=MAX_DEAD_LETTERS),
    )


def read_flags(parameters: Parameters, names: Collection[str]) -> dict[str, bool]:
    """All parameters of a call, `true` or `false`; false where they are not given.

    Raises: BadValue.
    """
    check_names(parameters, names)
    texts = {name: _one(parameters, name, "false").lower() for name in names}
    for name, text in texts.items():
        if text not in ("true", "false"):
            raise BadValue(name, f"should be true or false, not {text[:40]!r}")
    return {name: text == "true" for name, text in texts.items()}


def read_limits(
    parameters: Parameters, most: Mapping[str, int]
) -> dict[str, int | None]:
    """All parameters of a call, numbers from 1 on; None where they are not given.

    Args:
        most: the largest of each.

    Raises: BadValue.
    """
    check_names(parameters, most)
    limits: dict[str, int | None] = dict.fromkeys(most)
    for name in parameters:
        limits[name] = _whole(parameters, name)
        if not 1 <= (limits[name] or 0) <= most[name]:
            raise BadValue(name, f"should be a whole number from 1 to {most[name]}")
    return limits


def read_search(parameters: Parameters) -> str:
    """The only parameter of a call: what is looked for, '' for anything.

    Raises: BadValue.
    """
    check_names(parameters, ("search",))
    return _one(parameters, "search", "")


def write_cursor(cursor: Cursor | Place) -> str:
    """A cursor as clients send it back."""
    return "{}-{}".format(*cursor)


def check_names(parameters: Parameters, known: Collection[str]) -> None:
    """Refuses parameters that a call does not know.

    Raises: BadValue.
    """
    for name in parameters:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise BadValue(name[:40], f"is no known parameter: use {listed}")


def _known(name: str) -> str:
    """A parameter's name, of the several that clients give it."""
    return ALIASES.get(name, name)


def _conditions(parameters: Parameters) -> Conditions:
    """Whoever gives ids means them, whatever else holds of the messages."""
    listed = [
        value.strip()
        for name in ("messageIds", "messageId")
        for value in parameters.get(name, ())
    ]
    if "messageIds" in parameters or "messageId" in parameters:
        return Conditions(ids=tuple(dict.fromkeys(filter(None, listed))))
    return Conditions(
        values={
            name: frozenset(
                map(str.lower, parameters[name]) if name == "host" else parameters[name]
            )
            for name in CONDITIONS
            if name in parameters
        }
    )


def _values(name: str, event: Event | Outline, said: Message) -> Collection[str]:
    url = event.content.url
    if name in ("host", "path"):
        if url == said.topic:
            return ()
        return _hosts(url) if name == "host" else (_path(url),)
    if name == "label":
        return said.labels
    flow = said.flow_control
    value = {
        "url": url,
        "topicName": said.topic,
        "queueName": said.queue,
        "scheduleId": schedule_id(event.schedule, said),
        "callerIp": said.caller_ip,
        "flowControlKey": None if flow is None else flow.key,
    }[name]
    return () if value is None else (value,)


def _hosts(url: str) -> Collection[str]:
    place = destinations.parse(url)
    return place.host, str(place.origin).partition("//")[2]


def _path(url: str) -> str:
    return urlsplit(destinations.parse(url).wire).path or "/"


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
        _whole(parameters, name) if name in parameters else None for name in DATES
    )
    for name, at_ms in zip(DATES, (start_ms, end_ms), strict=True):
        if at_ms is not None and at_ms > LATEST_S * 1000:
            raise BadValue(name, "should be a unix time in milliseconds")
    return start_ms, end_ms


def _newest_first(parameters: Parameters, default: str) -> bool:
    order = _one(parameters, "order", default)
    if order not in _ORDERS:
        raise BadValue("order", f"should be one of {', '.join(_ORDERS)}")
    return _ORDERS[order]


def _count(parameters: Parameters, *, most: int) -> int:
    count = _whole(parameters, "count", DEFAULT_COUNT)
    if not 1 <= count <= most:
        raise BadValue("count", f"should be a number from 1 to {most}")
    return count


def _cursor(parameters: Parameters) -> Cursor | None:
    found = _sought(_CURSOR, parameters)
    return None if found is None else (int(found[1]), int(found[2]))


def _place(parameters: Parameters) -> Place | None:
    found = _sought(_PLACE, parameters)
    return None if found is None else Place(int(found[1]), found[2])


def _sought(form: re.Pattern[str], parameters: Parameters) -> re.Match[str] | None:
    text = _one(parameters, "cursor", "")
    found = form.fullmatch(text)
    if text and found is None:
        raise BadValue("cursor", "should be one that an answer had")
    return found


def _whole(parameters: Parameters, name: str, default: int = 0) -> int:
    text = _one(parameters, name, str(default))
    if not _WHOLE.fullmatch(text):
        raise BadValue(name, f"should be a whole number, not {text[:40]!r}")
    return int(text)


def _one(parameters: Parameters, name: str, default: str) -> str:
    values = parameters.get(name, [default])
    if len(values) != 1:
        raise BadValue(name, "should be given once")
    return values[0].strip()
