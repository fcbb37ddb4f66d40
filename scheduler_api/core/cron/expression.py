"""Parses cron expressions and calculates their fire times.

Expressions have the same meaning as in Debian's cron. croniter only finds candidate
days, and gets only plain lists of numbers. `Rule.matches` then checks each candidate
for conditions that such lists cannot express (`L`, `W`, `#`, a match of either day
field).
This module calculates the times of a day itself, because croniter takes 10 to 40 ms for
600 times and is wrong around clock changes, which `clock_changes` handles.
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
    instants_of,
    run_instants,
)
from scheduler_api.core.cron.durations import DurationSyntax
from scheduler_api.core.cron.fields import CronError, Rule, read_rule
from scheduler_api.core.cron.zones import PREFIX, check_zone, find_zone
from unicodedata import category
from zoneinfo import ZoneInfo

__all__ = [
    "FULL",
    "Cron",
    "CronError",
    "Grammar",
    "parse",
    "skips",
    "upcoming",
    "walk",
]

# The maximum number of characters in an expression. An expression whose three longest
# fields list all their values has half this length.
MAX_LENGTH = 1000

# The longest possible pause between fire times is 40 years. It occurs if a rule needs a
# 29 February on a certain weekday, and the pause contains a century year without a
# 29 February.
_MAX_PAUSE_YEARS = 50

# croniter fails close to the last year of `datetime`, 9999.
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

_WORD = re.compile(r"\S+", re.ASCII)
# The number of digits is not limited here: MAX_LENGTH limits the whole expression.
_INTERVAL = DurationSyntax("h", "m", "s", number="[0-9]+")
_MAX_INTERVAL_S = 3660 * 86_400


@dataclass(frozen=True)
class Grammar:
    """Which parts of the cron syntax a dialect accepts.

    All dialects accept five fields with numbers, names, stars, lists, ranges and steps.
    """

    aliases: frozenset[str]
    # Accepted special characters: any of `?` `L` `W` `#` and `H` (a value
    # chosen by a hash).
    special_characters: frozenset[str] = frozenset()
    # Whether a sixth field, for seconds, may precede the other five.
    seconds: bool = False
    # Whether the expression may start with `CRON_TZ=<zone>` or `TZ=<zone>`.
    zone_prefix: bool = False


FULL = Grammar(
    aliases=frozenset((*_ALIASES, _EVERY)),
    special_characters=frozenset("?LW#H"),
    seconds=True,
    zone_prefix=True,
)


DEFAULT_POLICY = ClockChange()


@dataclass(frozen=True)
class Every:
    """A fixed interval between fire times."""

    seconds: int


@dataclass(frozen=True)
class Cron:
    """A parsed expression, with its original text."""

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
    """Parse an expression.

    Args:
        tz: the time zone, unless the expression names one.
        seed: a text, such as the schedule's id, that determines the values of `H`.
        policy: what happens at local times that a clock change skips or repeats.

    Raises:
        CronError: the expression is invalid, the grammar does not accept a part of it,
            the zone is unknown, or the expression would never fire.
    """
    _check_text(expression)
    words = [(found[0], found.start()) for found in _WORD.finditer(expression)]
    prefix = PREFIX.match(words[0][0]) if grammar.zone_prefix and words else None
    position = None
    if prefix and prefix[0] != words[0][0]:
        text, at = words.pop(0)
        tz, position = text[prefix.end() :], at + prefix.end()
    check_zone(tz, position)
    rule = _without_zone(words, grammar, end=len(expression), seed=seed)
    return Cron(expression, tz, rule, policy)


def upcoming(cron: Cron, *, after_ms: int) -> Iterator[int]:
    """Yield the fire times after an instant, as epoch ms in ascending order.

    The fire times end in the year 9900, or earlier if clock changes skip all remaining
    times. An interval (`@every`) is counted from `after_ms`, so pass the creation time
    or the last fire time of the schedule.
    """
    if isinstance(cron.rule, Every):
        yield from _interval_times(cron.rule, after_ms)
        return
    after_s = after_ms // 1000
    for fire_s, _ in walk(cron, after_ms=after_ms):
        # Several local times may have the same instant, at which the rule fires once.
        if fire_s is not None and fire_s > after_s:
            yield fire_s * 1000
            after_s = fire_s


def walk(cron: Cron, *, after_ms: int) -> Iterator[tuple[int | None, datetime]]:
    """Yield the local times of a rule, each with the instant of its run.

    The instant is in epoch seconds, or None if the rule does not run for the local time
    because of a clock change. Instants are in ascending order, and several local times
    may have the same instant. The first instants may be before `after_ms`.
    """
    if isinstance(cron.rule, Every) or after_ms >= _LAST_MS:
        return
    after_s = after_ms // 1000
    zone = ZoneInfo(cron.tz)
    now = datetime.fromtimestamp(after_s, zone)
    # In the first pass of a fold, the clock is about to be set back. The second pass
    # repeats local times that lie before `now`: include them.
    until_second_pass_s = int(now.replace(fold=1).timestamp()) - after_s
    # If a gap has just ended, the runs of skipped times may be shifted to after `now`:
    # include these times.
    before = datetime.fromtimestamp(after_s - LONGEST_SUMMER_TIME_S, zone)
    shift = (now.utcoffset() or _NO_TIME) - (before.utcoffset() or _NO_TIME)
    start = now.replace(tzinfo=None) - timedelta(seconds=until_second_pass_s)
    yield from _runs(cron, cron.rule, start=start - max(shift, _NO_TIME))


def skips(cron: Cron, gap: Jump) -> bool:
    """Whether a gap has a local time of the rule for which the rule never runs."""
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
        # The parser uses str.isdigit, int() and \w, which also accept digits and
        # letters of other scripts.
        if not letter.isascii():
            raise CronError(
                f"{letter!r} is not allowed in a cron expression: {_instead(letter)}",
                at,
            )


def _instead(letter: str) -> str:
    """Return what to use instead of a letter that may only look like ASCII."""
    if category(letter) == "Pd" or letter == "\N{MINUS SIGN}":
        return "use '-'"
    if letter.isspace():
        return "use a space"
    if letter.isdecimal():
        return f"use '{int(letter)}'"
    return "use ASCII only"


def _without_zone(
    words: list[tuple[str, int]], grammar: Grammar, *, end: int, seed: str
) -> Rule | Every:
    """Parse an expression after its zone prefix.

    Raises: CronError; it says where a time zone belongs if one of the words is one.
    """
    try:
        if words and words[0][0].startswith("@"):
            return _alias(words, grammar)
        return _rule(words, grammar, end=end, seed=seed)
    except CronError as err:
        zone = find_zone(words)
        if zone is None:
            raise
        raise _misplaced(*zone, grammar) from err


def _misplaced(zone: str, at: int, grammar: Grammar) -> CronError:
    if grammar.zone_prefix:
        place = f"belongs in front of the fields, as in 'CRON_TZ={zone} 0 9 * * *'"
    else:
        place = f"belongs in the option 'timeZone', as in {zone!r}, not in the fields"
    return CronError(f"a time zone {place}", at)


def _alias(words: list[tuple[str, int]], grammar: Grammar) -> Rule | Every:
    """Parse an alias such as `@daily`."""
    (text, at), rest = words[0], words[1:]
    name = text.lower()
    if name not in grammar.aliases:
        fault = "supported here" if name in FULL.aliases else "an alias"
        accepted = ", ".join(sorted(grammar.aliases))
        raise CronError(f"{text[:20]!r} is not {fault}: use one of {accepted}", at)
    if name == _EVERY:
        return _every(rest, at + len(text))
    if rest:
        raise CronError(f"nothing may follow '{name}'", rest[0][1])
    fields = [(found[0], at) for found in _WORD.finditer(_ALIASES[name])]
    return _rule(fields, FULL, end=at, seed="")


def _every(words: list[tuple[str, int]], end: int) -> Every:
    """Parse the interval after `@every`."""
    text, at = words[0] if words else ("", end)
    interval_ms = _INTERVAL.parse_ms(text)
    if interval_ms is None:
        raise CronError("'@every' needs an interval such as 1h30m or 90s", at)
    if words[1:]:
        raise CronError("nothing may follow the interval of '@every'", words[1][1])
    seconds = interval_ms // 1000
    if not 1 <= seconds <= _MAX_INTERVAL_S:
        raise CronError("'@every' takes an interval from 1s to ten years", at)
    return Every(seconds)


def _rule(
    words: list[tuple[str, int]], grammar: Grammar, *, end: int, seed: str
) -> Rule:
    """Parse five fields; accept six fields too if the grammar has seconds."""
    maximum = 6 if grammar.seconds else 5
    if not 5 <= len(words) <= maximum:
        position = words[maximum][1] if len(words) > maximum else end
        raise CronError(_wrong_number(len(words), grammar), position)
    if len(words) == 5:
        words = [("0", end), *words]
    return read_rule(words, special_characters=grammar.special_characters, seed=seed)


def _wrong_number(number: int, grammar: Grammar) -> str:
    count = f"{number} field{'' if number == 1 else 's'}"
    needed = "5 fields: minute, hour, day of month, month and day of week"
    if grammar.seconds:
        needed += ", or 6 with seconds first"
    elif number == 6:
        needed += "; a field for seconds is not supported here"
    return f"the expression has {count} and needs {needed}"


def _days(rule: Rule, start: datetime) -> Iterator[datetime]:
    """Yield the midnight of each matching day, from the day of `start` on."""
    months = _listed(rule.month.values)
    # The lists may also select days that do not match; `rule.matches` sorts them out.
    monthdays = _listed(rule.monthday.values) if rule.monthday.plain else "*"
    weekdays = _listed(rule.weekday.values | {day for day, _ in rule.weekday.nths})
    lists = [f"{monthdays} {months} {weekdays}"]
    if rule.either_day:
        lists = [f"{monthdays} {months} *", f"* {months} {weekdays}"]
    walks = [_midnights(days, start) for days in lists]
    for midnight, _ in groupby(merge(*walks)):
        if rule.matches(midnight):
            yield midnight


def _midnights(days: str, start: datetime) -> Iterator[datetime]:
    midnights = croniter(
        f"0 0 {days}",
        start.replace(hour=0, minute=0) - timedelta(minutes=1),
        day_or=False,
        max_years_between_matches=_MAX_PAUSE_YEARS,
    )
    return midnights.all_next(datetime)


def _listed(numbers: frozenset[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


def _minutes(rule: Rule, start: datetime) -> Iterator[datetime]:
    """Yield the minutes that the rule matches, from the minute of `start` on.

    The minutes are local times, which a clock change may skip or repeat.
    """
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
    """Yield the local times that the rule matches, each with its `instants_of`.

    Begins with the minute of `start`, so the first local times may be before `start`.
    """
    lowest, *others = sorted(rule.second.values)
    for minute in _minutes(rule, start):
        local = minute.replace(second=lowest)
        first, second = instants_of(local, zone)
        yield local, first, second
        if not others:
            continue
        span = others[-1] - lowest
        last = instants_of(minute.replace(second=others[-1]), zone)
        # If there is no clock change in the minute, the instants of the other seconds
        # need not be looked up: they follow from the first.
        unbroken = last == (first + span, second + span)
        for number in others:
            local, offset = minute.replace(second=number), number - lowest
            if unbroken:
                yield local, first + offset, second + offset
            else:
                yield local, *instants_of(local, zone)


def _runs(
    cron: Cron, rule: Rule, *, start: datetime
) -> Iterator[tuple[int | None, datetime]]:
    """Yield the same pairs as `walk`, from the minute of `start` on."""
    zone, follows_clock = ZoneInfo(cron.tz), rule.follows_clock
    fired_year = start.year
    # A heap of runs for local times that a clock change skips or repeats. Such a run
    # waits here until all earlier runs, also of later local times, have been yielded.
    waiting: list[tuple[int, datetime]] = []
    for local, first, second in _local_times(rule, zone, start=start):
        if local.year >= min(fired_year + _MAX_PAUSE_YEARS, _LAST_YEAR):
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


def _interval_times(every: Every, after_ms: int) -> Iterator[int]:
    """Yield fire times at full seconds, at least one interval after `after_ms`."""
    step_ms = every.seconds * 1000
    at_ms = -(-after_ms // 1000) * 1000 + step_ms
    while at_ms < _LAST_MS:
        yield at_ms
        at_ms += step_ms
