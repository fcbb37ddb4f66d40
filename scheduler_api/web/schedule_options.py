"""What a schedule does beside firing, as every dialect's clients say it and are told.

One set of names: fields of a JSON object (`maxRuns`), or headers (`Scheduler-Max-Runs`)
where a dialect has no body of its own. What is told may be said again.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from scheduler_api.core import timestamps
from scheduler_api.core.cron import expression
from scheduler_api.core.cron.clock_changes import ClockChange, Fold, Gap
from scheduler_api.core.cron.durations import DurationSyntax
from scheduler_api.core.cron.expression import CronError
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.model import MissedRuns, Overlap, Schedule, ScheduleOptions
from scheduler_api.web.values import read_date, read_integer
from typing import Any, TypeVar

HEADER_PREFIX = "Scheduler-"
# What deliveries bear; whoever passes such a request on says nothing with them.
NO_OPTIONS = frozenset(("event-id", "attempt", "possible-duplicate"))
TIME_ZONE = "UTC"
MOST_MISSED_DEFAULT, MOST_MISSED_LIMIT = 100, 1_000
MOST_RUNS_LIMIT = 1_000_000_000
JITTER_LIMIT_MS = 86_400_000
SHOWN = 40

Words = TypeVar("Words", bound=StrEnum)

_JITTER = DurationSyntax(
    *("h", "m", "s"), number="[0-9]{1,9}", bare_unit="s", descending=True
)
_WORD = re.compile(r"[A-Z]?[a-z]+")


class BadOption(SchedulerError):
    """An option cannot be taken; `problem` goes on after its name."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True)
class ZonedOptions:
    """All that the options of a schedule say."""

    tz: str = TIME_ZONE
    options: ScheduleOptions = field(default_factory=ScheduleOptions)

    @classmethod
    def of(cls, schedule: Schedule) -> "ZonedOptions":
        """What a schedule has."""
        return cls(schedule.tz, schedule.options)


def header_name(name: str) -> str:
    """The header that says an option: `Scheduler-Max-Runs` for `maxRuns`."""
    return HEADER_PREFIX + "-".join(word.capitalize() for word in _WORD.findall(name))


def read_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The options that headers say, by their names; empty ones say nothing.

    Raises: BadOption, by the name of the header.
    """
    said = {}
    for name, value in headers:
        rest = name.lower().removeprefix(HEADER_PREFIX.lower())
        if rest == name.lower() or rest in NO_OPTIONS:
            continue
        option = _BY_HEADER.get(rest)
        if option is None:
            raise BadOption(name, f"is unknown: {', '.join(map(header_name, NAMES))}")
        if value.strip():
            said[option] = value.strip()
    return said


def apply_options(said: Mapping[str, object], was: ZonedOptions) -> ZonedOptions:
    """What is chosen once this is said; what is not named stays, null is the default.

    Raises: BadOption.
    """
    chosen = was
    for name, value in said.items():
        if name not in _READERS:
            raise BadOption(name, f"is unknown: {', '.join(NAMES)}")
        chosen = _READERS[name](name, value, chosen)
    options = chosen.options
    most = options.max_missed or MOST_MISSED_DEFAULT
    if options.missed_runs is not MissedRuns.ALL:
        if said.get("mostMissed") is not None:
            raise BadOption("mostMissed", f"goes with missedRuns {MissedRuns.ALL}")
        most = 0
    options = replace(options, max_missed=most)
    start_ms, end_ms = options.start_ms, options.end_ms
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise BadOption("startDate", "should not be after endDate")
    return replace(chosen, options=options)


def render(of: Schedule) -> dict[str, object]:
    """The options of a schedule by their names; what has no default is there if set."""
    options = of.options
    told: dict[str, object] = {
        "timeZone": of.tz,
        "gap": options.clock.gap.value,
        "fold": options.clock.fold.value,
        "missedRuns": options.missed_runs.value,
        "overlap": options.overlap.value,
    }
    if options.missed_runs is MissedRuns.ALL:
        told["mostMissed"] = options.max_missed
    if options.start_ms is not None:
        told["startDate"] = timestamps.to_iso(options.start_ms)
    if options.end_ms is not None:
        told["endDate"] = timestamps.to_iso(options.end_ms)
    if options.max_runs is not None:
        told["maxRuns"] = options.max_runs
    if options.jitter_ms:
        told["jitter"] = f"{options.jitter_ms // 1000}s"
    return told


def _zone(name: str, value: object, chosen: ZonedOptions) -> ZonedOptions:
    tz = TIME_ZONE if value is None else _text(name, value)
    try:
        expression.parse("* * * * *", tz=tz)
    except CronError as err:
        raise BadOption(name, f"is an {err}") from err
    return replace(chosen, tz=tz)


def _missed(name: str, value: object, chosen: ZonedOptions) -> ZonedOptions:
    policy = MissedRuns.LATEST if value is None else _one_of(MissedRuns, name, value)
    return _with(chosen, missed_runs=policy)


def _most_missed(name: str, value: object, chosen: ZonedOptions) -> ZonedOptions:
    most = None if value is None else _whole(name, value, MOST_MISSED_LIMIT)
    return _with(chosen, max_missed=most or 0)


def _start(name: str, value: object, chosen: ZonedOptions) -> ZonedOptions:
    return _with(chosen, start_ms=_moment(name, value))


def _end(name: str, value: object, chosen: ZonedOptions) -> ZonedOptions:
    return _with(chosen, end_ms=_moment(name, value))


def _runs(name: str, value: object, chosen: ZonedOptions) -> ZonedOptions:
    most = None if value is None else _whole(name, value, MOST_RUNS_LIMIT)
    return _with(chosen, max_runs=most)


def _jitter(name: str, value: object, chosen: ZonedOptions) -> ZonedOptions:
    return _with(chosen, jitter_ms=0 if value is None else _duration_ms(name, value))


def _overlap(name: str, value: object, chosen: ZonedOptions) -> ZonedOptions:
    policy = Overlap.RUN if value is None else _one_of(Overlap, name, value)
    return _with(chosen, overlap=policy)


def _gap(name: str, value: object, chosen: ZonedOptions) -> ZonedOptions:
    gap = ClockChange().gap if value is None else _one_of(Gap, name, value)
    return _with(chosen, clock=replace(chosen.options.clock, gap=gap))


def _fold(name: str, value: object, chosen: ZonedOptions) -> ZonedOptions:
    fold = ClockChange().fold if value is None else _one_of(Fold, name, value)
    return _with(chosen, clock=replace(chosen.options.clock, fold=fold))


# In the order in which they are told.
_READERS: dict[str, Callable[[str, object, ZonedOptions], ZonedOptions]] = {
    "timeZone": _zone,
    "gap": _gap,
    "fold": _fold,
    "missedRuns": _missed,
    "mostMissed": _most_missed,
    "startDate": _start,
    "endDate": _end,
    "maxRuns": _runs,
    "jitter": _jitter,
    "overlap": _overlap,
}
NAMES = tuple(_READERS)
# What the dialects' documents say about each.
DESCRIPTIONS = {
    "timeZone": "IANA time zone of the expression",
    "gap": f"Times that a clock change skips: {', '.join(Gap)}",
    "fold": f"Times that a clock change brings twice: {', '.join(Fold)}",
    "missedRuns": f"What becomes of missed runs: {', '.join(MissedRuns)}",
    "mostMissed": f"How many missed runs go out with {MissedRuns.ALL}",
    "startDate": "ISO 8601 date before which nothing runs",
    "endDate": "ISO 8601 date after which no attempt begins",
    "maxRuns": "How often it runs in all",
    "jitter": "How late a run may be at most, each by its own part: 90s, 1h30m",
    "overlap": f"While the run before has not ended: {', '.join(Overlap)}",
}
_BY_HEADER = {
    header_name(name).lower().removeprefix(HEADER_PREFIX.lower()): name
    for name in NAMES
}


def _with(chosen: ZonedOptions, **changes: Any) -> ZonedOptions:
    return replace(chosen, options=replace(chosen.options, **changes))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise BadOption(name, "should be a text")
    return value


def _one_of(words: type[Words], name: str, value: object) -> Words:
    wanted = f"should be one of {', '.join(words)}"
    if not isinstance(value, str):
        raise BadOption(name, wanted)
    try:
        return words(value.lower())
    except ValueError as err:
        raise BadOption(name, f"{wanted}, not {value[:SHOWN]!r}") from err


def _whole(name: str, value: object, most: int) -> int:
    number = read_integer(value) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool):
        number = 0
    if not 1 <= number <= most:
        told = f", not {value[:SHOWN]!r}" if isinstance(value, str) else ""
        raise BadOption(name, f"should be a whole number from 1 to {most}{told}")
    return number


def _moment(name: str, value: object) -> int | None:
    if value is None:
        return None
    text = _text(name, value)
    try:
        return read_date(text)
    except ValueError as err:
        wanted = "should be an ISO 8601 date such as 2026-01-31T12:00:00Z"
        raise BadOption(name, f"{wanted}, not {text[:SHOWN]!r}") from err


def _duration_ms(name: str, value: object) -> int:
    """A duration such as `1h30m`, or a number of seconds."""
    text = str(value)
    duration_ms = _JITTER.parse_ms(text) if isinstance(value, str | int) else None
    if duration_ms is None or duration_ms > JITTER_LIMIT_MS:
        wanted = "should be a duration from 0s to 24h, such as 90s or 1h30m"
        raise BadOption(name, f"{wanted}, not {text[:SHOWN]!r}")
    return duration_ms
