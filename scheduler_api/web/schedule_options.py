"""Options of schedules besides the cron expression, the same in all dialects.

Clients set options as fields of a JSON object (`maxRuns`). In dialects that do not
describe schedules in JSON, clients set options as headers (`Scheduler-Max-Runs`).
Responses contain options as JSON fields in all dialects.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from scheduler_api.core import timestamps
from scheduler_api.core.cron.clock_changes import ClockChange, Fold, Gap
from scheduler_api.core.cron.durations import DurationSyntax
from scheduler_api.core.cron.fields import CronError
from scheduler_api.core.cron.zones import check_zone
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.model import MissedRuns, Overlap, Schedule, ScheduleOptions
from scheduler_api.web.values import read_date, read_integer
from typing import Any, TypeVar

HEADER_PREFIX = "Scheduler-"
# Deliveries have headers that begin with `Scheduler-` but are not options, such as
# `Scheduler-Event-Id`. These headers are ignored in a request for a schedule, because a
# receiver may copy the headers of a delivery into the request. `Scheduler-Tenant` and
# `Scheduler-Wait-For` are headers of any request.
NOT_OPTIONS = frozenset(
    ("event-id", "attempt", "possible-duplicate", "tenant", "wait-for")
)
TIME_ZONE = "UTC"
DEFAULT_MISSED, MAX_MISSED = 100, 1_000
MAX_RUNS = 1_000_000_000
MAX_JITTER_MS = 86_400_000
# How many characters of an invalid value an error message quotes at most.
QUOTED = 40

Choice = TypeVar("Choice", bound=StrEnum)

_JITTER = DurationSyntax(
    *("h", "m", "s"), number="[0-9]{1,9}", bare_unit="s", descending=True
)
_WORD = re.compile(r"[A-Z]?[a-z]+")


class BadOption(SchedulerError):
    """An option is invalid; `name` and `problem` form a sentence."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True)
class ZonedOptions:
    """The time zone and the other options of a schedule."""

    tz: str = TIME_ZONE
    options: ScheduleOptions = field(default_factory=ScheduleOptions)

    @classmethod
    def of(cls, schedule: Schedule) -> "ZonedOptions":
        """Return the time zone and the other options of a schedule."""
        return cls(schedule.tz, schedule.options)


def header_name(name: str) -> str:
    """Return the header of an option, such as `Scheduler-Max-Runs` for `maxRuns`."""
    return HEADER_PREFIX + "-".join(word.capitalize() for word in _WORD.findall(name))


def header_descriptions() -> dict[str, str]:
    """Return what the headers of all options mean, with the values of choices."""
    values = {name: f": {', '.join(choices)}" for name, choices in CHOICES.items()}
    return {
        header_name(name): about + values.get(name, "")
        for name, about in DESCRIPTIONS.items()
    }


def read_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the options in a request's headers, by option name; skip empty headers.

    Raises: BadOption, with the name of an unknown header.
    """
    values = {}
    for name, value in headers:
        rest = name.lower().removeprefix(HEADER_PREFIX.lower())
        if rest == name.lower() or rest in NOT_OPTIONS:
            continue
        option = _BY_HEADER.get(rest)
        if option is None:
            raise BadOption(name, f"is unknown: {', '.join(map(header_name, NAMES))}")
        if value.strip():
            values[option] = value.strip()
    return values


def apply_options(values: Mapping[str, object], current: ZonedOptions) -> ZonedOptions:
    """Return the options with new values; None resets an option to its default.

    Raises: BadOption.
    """
    for name, value in values.items():
        if name not in _SETTERS:
            raise BadOption(name, f"is unknown: {', '.join(NAMES)}")
        current = _SETTERS[name](name, value, current)
    options = current.options
    max_missed = options.max_missed or DEFAULT_MISSED
    if options.missed_runs is not MissedRuns.ALL:
        if values.get("mostMissed") is not None:
            raise BadOption("mostMissed", f"goes with missedRuns {MissedRuns.ALL}")
        max_missed = 0
    options = replace(options, max_missed=max_missed)
    start_ms, end_ms = options.start_ms, options.end_ms
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise BadOption("startDate", "should not be after endDate")
    return replace(current, options=options)


def render(schedule: Schedule) -> dict[str, object]:
    """Return a schedule's options as JSON; see `render_options`."""
    return render_options(ZonedOptions.of(schedule))


def render_options(zoned: ZonedOptions) -> dict[str, object]:
    """Return options as JSON.

    An option that is not set has its default value, or is left out if it has no
    default.
    """
    options = zoned.options
    rendered: dict[str, object] = {
        "timeZone": zoned.tz,
        "gap": options.clock.gap.value,
        "fold": options.clock.fold.value,
        "missedRuns": options.missed_runs.value,
        "overlap": options.overlap.value,
    }
    if options.missed_runs is MissedRuns.ALL:
        rendered["mostMissed"] = options.max_missed
    if options.start_ms is not None:
        rendered["startDate"] = timestamps.to_iso(options.start_ms)
    if options.end_ms is not None:
        rendered["endDate"] = timestamps.to_iso(options.end_ms)
    if options.max_runs is not None:
        rendered["maxRuns"] = options.max_runs
    if options.jitter_ms:
        rendered["jitter"] = f"{options.jitter_ms // 1000}s"
    return rendered


def _set_zone(name: str, value: object, current: ZonedOptions) -> ZonedOptions:
    tz = TIME_ZONE if value is None else _text(name, value)
    try:
        check_zone(tz)
    except CronError as err:
        raise BadOption(name, f"is an {err}") from err
    return replace(current, tz=tz)


def _set_missed_runs(name: str, value: object, current: ZonedOptions) -> ZonedOptions:
    policy = MissedRuns.LATEST if value is None else _one_of(MissedRuns, name, value)
    return _with(current, missed_runs=policy)


def _set_max_missed(name: str, value: object, current: ZonedOptions) -> ZonedOptions:
    maximum = None if value is None else _integer(name, value, MAX_MISSED)
    return _with(current, max_missed=maximum or 0)


def _set_start(name: str, value: object, current: ZonedOptions) -> ZonedOptions:
    return _with(current, start_ms=_date_ms(name, value))


def _set_end(name: str, value: object, current: ZonedOptions) -> ZonedOptions:
    return _with(current, end_ms=_date_ms(name, value))


def _set_max_runs(name: str, value: object, current: ZonedOptions) -> ZonedOptions:
    maximum = None if value is None else _integer(name, value, MAX_RUNS)
    return _with(current, max_runs=maximum)


def _set_jitter(name: str, value: object, current: ZonedOptions) -> ZonedOptions:
    return _with(current, jitter_ms=0 if value is None else _duration_ms(name, value))


def _set_overlap(name: str, value: object, current: ZonedOptions) -> ZonedOptions:
    policy = Overlap.RUN if value is None else _one_of(Overlap, name, value)
    return _with(current, overlap=policy)


def _set_gap(name: str, value: object, current: ZonedOptions) -> ZonedOptions:
    gap = ClockChange().gap if value is None else _one_of(Gap, name, value)
    return _with(current, clock=replace(current.options.clock, gap=gap))


def _set_fold(name: str, value: object, current: ZonedOptions) -> ZonedOptions:
    fold = ClockChange().fold if value is None else _one_of(Fold, name, value)
    return _with(current, clock=replace(current.options.clock, fold=fold))


# Error messages list the options in this order.
_SETTERS: dict[str, Callable[[str, object, ZonedOptions], ZonedOptions]] = {
    "timeZone": _set_zone,
    "gap": _set_gap,
    "fold": _set_fold,
    "missedRuns": _set_missed_runs,
    "mostMissed": _set_max_missed,
    "startDate": _set_start,
    "endDate": _set_end,
    "maxRuns": _set_max_runs,
    "jitter": _set_jitter,
    "overlap": _set_overlap,
}
NAMES = tuple(_SETTERS)
# The descriptions of the options in OpenAPI documents, in their order.
DESCRIPTIONS = {
    "timeZone": "IANA time zone of the expression",
    "gap": "What to do at local times that a clock change skips",
    "fold": "Which of the local times that a clock change repeats",
    "missedRuns": "What to do about missed runs",
    "mostMissed": f"Maximum of missed runs to make up for with {MissedRuns.ALL}",
    "startDate": "ISO 8601 date; no run before it",
    "endDate": "ISO 8601 date; no attempt begins after it",
    "maxRuns": "Maximum number of runs",
    "jitter": "Maximum random delay of each run: 90s, 1h30m",
    "overlap": "What to do while the previous run has not ended",
}
# The options that have one of a few values.
CHOICES: Mapping[str, type[StrEnum]] = {
    "gap": Gap,
    "fold": Fold,
    "missedRuns": MissedRuns,
    "overlap": Overlap,
}
_BY_HEADER = {
    header_name(name).lower().removeprefix(HEADER_PREFIX.lower()): name
    for name in NAMES
}


def _with(current: ZonedOptions, **changes: Any) -> ZonedOptions:
    return replace(current, options=replace(current.options, **changes))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise BadOption(name, "should be a text")
    return value


def _one_of(choices: type[Choice], name: str, value: object) -> Choice:
    wanted = f"should be one of {', '.join(choices)}"
    if not isinstance(value, str):
        raise BadOption(name, wanted)
    try:
        return choices(value.lower())
    except ValueError as err:
        raise BadOption(name, f"{wanted}, not {value[:QUOTED]!r}") from err


def _integer(name: str, value: object, maximum: int) -> int:
    number = read_integer(value) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool):
        number = 0
    if not 1 <= number <= maximum:
        quoted = f", not {value[:QUOTED]!r}" if isinstance(value, str) else ""
        raise BadOption(name, f"should be a whole number from 1 to {maximum}{quoted}")
    return number


def _date_ms(name: str, value: object) -> int | None:
    if value is None:
        return None
    text = _text(name, value)
    try:
        return read_date(text)
    except ValueError as err:
        wanted = "should be an ISO 8601 date such as 2026-01-31T12:00:00Z"
        raise BadOption(name, f"{wanted}, not {text[:QUOTED]!r}") from err


def _duration_ms(name: str, value: object) -> int:
    """Parse a duration such as `1h30m`, or a number of seconds, into ms."""
    text = str(value)
    duration_ms = _JITTER.parse_ms(text) if isinstance(value, str | int) else None
    if duration_ms is None or duration_ms > MAX_JITTER_MS:
        wanted = "should be a duration from 0s to 24h, such as 90s or 1h30m"
        raise BadOption(name, f"{wanted}, not {text[:QUOTED]!r}")
    return duration_ms
