"""Cron expressions: one grammar, and the instants an expression fires at.

The meaning is Debian cron's. croniter is asked only for days, and only with plain
lists of numbers: what these cannot say (`L`, `W`, `#`, one of two day fields) is asked
of each of its days. The times of a day are counted out here, as croniter would take
10 to 40 ms for 600 of them; clock changes, which it gets wrong, are a matter of
`clock_changes`.
"""

import re
from collections.abc import Iterator
from croniter import croniter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush, merge
from itertools import groupby, product
from scheduler_api.core.cron.clock_changes import (
    LONGEST_SUMMER_TIME_S,
    ClockChange,
    Jump,
    readings,
    run_instants,
)
from scheduler_api.core.cron.durations import DurationSyntax
from scheduler_api.core.cron.fields import CronError, Rule, read_rule
from zoneinfo import ZoneInfo

__all__ = [
    "EVENTS_V1",
    "FULL",
    "JITER",
    "QSTASH",
    "Cron",
    "CronError",
    "Grammar",
    "check_zone",
    "parse",
    "skips",
    "upcoming",
    "walk",
]

# Three fields with all their values written out fit twice over.
MAX_LENGTH = 1000

# A rule that fires at all does so within 40 years: 29 February on one weekday, over
# a century without a leap year.
_QUIET_YEARS = 50

# Far enough from the last year of `datetime` that croniter never runs into it.
_LAST_YEAR = 9900
_LAST_MS = int(datetime(_LAST_YEAR, 1, 1, tzinfo=UTC).timestamp()) * 1000

_NO_TIME = timedelta(0)

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@weekdays": "0 0 * * 1-5",
    "@weekends": "0 0 * * 0,6",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
    "@minutely": "* * * * *",
    "@secondly": "* * * * * *",
}
_EVERY = "@every"
_COMMON_ALIASES = frozenset(("@yearly", "@monthly", "@weekly", "@daily", "@hourly"))

_WORD = re.compile(r"\S+", re.ASCII)
_ZONE_PREFIX = re.compile(r"(?:CRON_)?TZ=")
# The length of the expression bounds that of a distance.
_DISTANCE = DurationSyntax("h", "m", "s", number="[0-9]+")
_LONGEST_DISTANCE_S = 3660 * 86_400


@dataclass(frozen=True)
class Grammar:
    """Which parts of the one grammar a dialect takes.

    All take five fields of numbers, names, stars, lists, ranges and steps.
    """

    aliases: frozenset[str]
    # Of `?` `L` `W` `#` and `H`, a value chosen by hash.
    marks: frozenset[str] = frozenset()
    # Whether a sixth field, of seconds, may stand first.
    seconds: bool = False
    # Whether `CRON_TZ=<zone>` or `TZ=<zone>` may stand before the rest.
    zone_prefix: bool = False


FULL = Grammar(
    aliases=frozenset((*_ALIASES, _EVERY)),
    marks=frozenset("?LW#H"),
    seconds=True,
    zone_prefix=True,
)
JITER = Grammar(aliases=_COMMON_ALIASES | {"@annually"})
QSTASH = Grammar(
    aliases=_COMMON_ALIASES | {"@annually", "@midnight", _EVERY},
    zone_prefix=True,
)
EVENTS_V1 = Grammar(
    aliases=frozenset(_ALIASES) - {"@midnight"},
    marks=frozenset("?L#"),
    seconds=True,
)


DEFAULT_POLICY = ClockChange()


@dataclass(frozen=True)
class Every:
    """A fixed distance between fire times."""

    seconds: int


@dataclass(frozen=True)
class Cron:
    """A parsed expression: its text as given, its zone, and what it wants."""

    expression: str
    tz: str
    rule: Rule | Every
    policy: ClockChange = DEFAULT_POLICY


def parse(
    expression: str,
    *,
    tz: str = "UTC",
    grammar: Grammar = FULL,
    seed: str = "",
    policy: ClockChange = DEFAULT_POLICY,
) -> Cron:
    """Read an expression; a zone named in it goes before `tz`.

    Args:
        seed: what `H` chooses its values by, such as the id of the schedule.
        policy: what times become that clock changes skip or double.

    Raises:
        CronError: it is no expression, the grammar does not take a part of it, the
            zone is unknown, or it would never fire.
    """
    _check_text(expression)
    words = [(found[0], found.start()) for found in _WORD.finditer(expression)]
    prefix = _ZONE_PREFIX.match(words[0][0]) if words else None
    if prefix:
        text, at = words.pop(0)
        if not grammar.zone_prefix:
            raise CronError(f"'{prefix[0]}' is not supported here", at)
        tz = text[prefix.end() :]
        check_zone(tz, at + prefix.end())
    else:
        check_zone(tz, None)
    if words and words[0][0].startswith("@"):
        rule = _alias(words, grammar)
    else:
        rule = _rule(words, grammar, end=len(expression), seed=seed)
    return Cron(expression, tz, rule, policy)


def upcoming(cron: Cron, *, after_ms: int) -> Iterator[int]:
    """Yield the fire times after an instant, as epoch ms, strictly rising.

    It goes on without end, except for what no year up to 9900 has, or what the clock
    changes of its zone always skip. A distance (`@every`) is counted from the instant:
    its creation, later its last fire time.
    """
    if isinstance(cron.rule, Every):
        yield from _distances(cron.rule, after_ms)
        return
    after_s = after_ms // 1000
    for fire_s, _ in walk(cron, after_ms=after_ms):
        # Several local times may meet at one instant, which is fired once.
        if fire_s is not None and fire_s > after_s:
            yield fire_s * 1000
            after_s = fire_s


def walk(cron: Cron, *, after_ms: int) -> Iterator[tuple[int | None, datetime]]:
    """Yield the local times of a rule, each with the second it runs at, or with None.

    The seconds rise, and may repeat. It begins early enough for all after an instant.
    """
    if isinstance(cron.rule, Every) or after_ms >= _LAST_MS:
        return
    after_s = after_ms // 1000
    zone = ZoneInfo(cron.tz)
    now = datetime.fromtimestamp(after_s, zone)
    # In the first pass of a repeated hour, its second pass is yet to come.
    again_s = int(now.replace(fold=1).timestamp()) - after_s
    # Soon after a gap, its local times may have been put off until later.
    before = datetime.fromtimestamp(after_s - LONGEST_SUMMER_TIME_S, zone)
    put_off = (now.utcoffset() or _NO_TIME) - (before.utcoffset() or _NO_TIME)
    start = now.replace(tzinfo=None) - timedelta(seconds=again_s)
    yield from _runs(cron, cron.rule, start=start - max(put_off, _NO_TIME))


def skips(cron: Cron, gap: Jump) -> bool:
    """Whether a rule names local times in a gap that are never run."""
    if isinstance(cron.rule, Every):
        return False
    zone, rule = ZoneInfo(cron.tz), cron.rule
    follows_clock, policy = rule.follows_clock, cron.policy
    for local, first, second in _local_times(rule, zone, start=gap.before):
        if local >= gap.before:
            return local < gap.after and not run_instants(
                first, second, zone, follows_clock=follows_clock, policy=policy
            )
    return False


def _check_text(expression: str) -> None:
    if len(expression) > MAX_LENGTH:
        raise CronError(
            f"the expression is longer than {MAX_LENGTH} characters", MAX_LENGTH
        )
    for at, letter in enumerate(expression):
        # Digits and letters of other scripts would pass for ours further down.
        if not letter.isascii():
            raise CronError(f"{letter!r} has no place in a cron expression", at)


def check_zone(tz: str, position: int | None = None) -> None:
    """Refuse what is no zone, is not one everywhere, or counts leap seconds.

    Raises: CronError, with the position given.
    """
    try:
        if not tz.startswith(("localtime", "posix", "right/")):
            ZoneInfo(tz)
            return
    except (KeyError, ValueError, OSError):
        pass
    raise CronError(f"unknown time zone {tz[:50]!r}", position)


def _alias(words: list[tuple[str, int]], grammar: Grammar) -> Rule | Every:
    """Read `@daily` and the like."""
    (text, at), rest = words[0], words[1:]
    name = text.lower()
    if name not in FULL.aliases:
        known = ", ".join(sorted(grammar.aliases))
        raise CronError(f"{text[:20]!r} is none of the known aliases: {known}", at)
    if name not in grammar.aliases:
        raise CronError(f"'{name}' is not supported here", at)
    if name == _EVERY:
        return _every(rest, at + len(text))
    if rest:
        raise CronError(f"nothing may follow '{name}'", rest[0][1])
    fields = [(found[0], at) for found in _WORD.finditer(_ALIASES[name])]
    return _rule(fields, FULL, end=at, seed="")


def _every(words: list[tuple[str, int]], end: int) -> Every:
    """Read the distance behind `@every`."""
    text, at = words[0] if words else ("", end)
    distance_ms = _DISTANCE.parse_ms(text)
    if distance_ms is None:
        raise CronError("'@every' needs a distance like 1h30m or 90s", at)
    if words[1:]:
        raise CronError("nothing may follow the distance of '@every'", words[1][1])
    seconds = distance_ms // 1000
    if not 1 <= seconds <= _LONGEST_DISTANCE_S:
        raise CronError("'@every' takes a distance from 1s to ten years", at)
    return Every(seconds)


def _rule(
    words: list[tuple[str, int]], grammar: Grammar, *, end: int, seed: str
) -> Rule:
    """Read five fields, or six where seconds are taken."""
    most = 6 if grammar.seconds else 5
    if not 5 <= len(words) <= most:
        wanted = "5 fields, or 6 with seconds first" if grammar.seconds else "5 fields"
        if len(words) == 6:
            wanted += "; a field of seconds is not supported here"
        position = words[most][1] if len(words) > most else end
        raise CronError(
            f"the expression has {len(words)} fields and needs {wanted}", position
        )
    if len(words) == 5:
        words = [("0", end), *words]
    return read_rule(words, marks=grammar.marks, seed=seed)


def _days(rule: Rule, start: datetime) -> Iterator[datetime]:
    """Yield the midnights of the days that the rule wants, from that of `start` on."""
    months = _listed(rule.month.values)
    # The lists may name more days than are wanted, never fewer.
    monthdays = _listed(rule.monthday.values) if rule.monthday.plain else "*"
    weekdays = _listed(rule.weekday.values | {day for day, _ in rule.weekday.nths})
    lists = [f"{monthdays} {months} {weekdays}"]
    if rule.either_day:
        lists = [f"{monthdays} {months} *", f"* {months} {weekdays}"]
    walks = [_midnights(days, start) for days in lists]
    for midnight, _ in groupby(merge(*walks)):
        if rule.wants(midnight):
            yield midnight


def _midnights(days: str, start: datetime) -> Iterator[datetime]:
    midnights = croniter(
        f"0 0 {days}",
        start.replace(hour=0, minute=0) - timedelta(minutes=1),
        day_or=False,
        max_years_between_matches=_QUIET_YEARS,
    )
    return midnights.all_next(datetime)


def _listed(numbers: frozenset[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


def _minutes(rule: Rule, start: datetime) -> Iterator[datetime]:
    """Yield the rule's local minutes from that of `start` on, as if all existed."""
    first_minute = start.replace(second=0)
    minutes = tuple(product(sorted(rule.hour.values), sorted(rule.minute.values)))
    for midnight in _days(rule, start):
        for hour, minute in minutes:
            local = midnight.replace(hour=hour, minute=minute)
            if local >= first_minute:
                yield local


def _local_times(
    rule: Rule, zone: ZoneInfo, *, start: datetime
) -> Iterator[tuple[datetime, int, int]]:
    """Yield the rule's local times from the minute of `start` on, with their readings.

    In a minute of one piece, the seconds need no look of their own.
    """
    low, *between = sorted(rule.second.values)
    for minute in _minutes(rule, start):
        local = minute.replace(second=low)
        first, second = readings(local, zone)
        yield local, first, second
        if not between:
            continue
        late = between[-1] - low
        end = readings(minute.replace(second=between[-1]), zone)
        whole = end == (first + late, second + late)
        for number in between:
            local, late = minute.replace(second=number), number - low
            if whole:
                yield local, first + late, second + late
            else:
                yield local, *readings(local, zone)


def _runs(
    cron: Cron, rule: Rule, *, start: datetime
) -> Iterator[tuple[int | None, datetime]]:
    """Yield as `walk` does, from a local time on."""
    zone, follows_clock = ZoneInfo(cron.tz), rule.follows_clock
    fired_year = start.year
    # Second passes, and times that were put off; the other times overtake them.
    waiting: list[tuple[int, datetime]] = []
    for local, first, second in _local_times(rule, zone, start=start):
        if local.year >= min(fired_year + _QUIET_YEARS, _LAST_YEAR):
            break
        while waiting and waiting[0][0] < min(first, second):
            yield heappop(waiting)
        if first == second:
            fired_year = local.year
            yield first, local
            continue
        instants = run_instants(
            first, second, zone, follows_clock=follows_clock, policy=cron.policy
        )
        if instants:
            fired_year = local.year
        else:
            yield None, local
        for at_s in instants:
            heappush(waiting, (at_s, local))
    yield from sorted(waiting)


def _distances(every: Every, after_ms: int) -> Iterator[int]:
    """Yield whole seconds, the first no earlier than one distance from the start."""
    step_ms = every.seconds * 1000
    at_ms = -(-after_ms // 1000) * 1000 + step_ms
    while at_ms < _LAST_MS:
        yield at_ms
        at_ms += step_ms
