"""Every clock-change policy through whole years, against a walk over each minute.

The walk shares nothing with what it checks: it reads the wall clock minute by minute,
and learns of a change only by seeing the clock jump.
"""

import pytest
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise, product, takewhile
from scheduler_api.core.cron.clock_changes import ClockChange, Fold, Gap
from scheduler_api.core.cron.expression import parse, upcoming
from zoneinfo import ZoneInfo

YEARS = {
    "Australia/Lord_Howe": 2025,
    "Africa/Cairo": 2025,
    "America/Havana": 2025,
    "Pacific/Apia": 2011,
    "Africa/Casablanca": 2025,
}
FIXED = (
    "20 2 * * *",
    "45 0-3,23 * * *",
    "20,50 0,1 1-7,24-30 * *",
    "10 3,0 * 3-5,9-12 0,5,6",
)
FOLLOWING = ("0 * * * *", "*/30 0-3,23 * * *", "*/20 2 * * 0,4,5")
MINUTE_S = 60
MINUTE, SUMMER_TIME = timedelta(minutes=1), timedelta(hours=3)

Shown = list[tuple[int, datetime]]


@dataclass
class Year:
    """What the wall clock showed at each minute, and what became of its jumps."""

    shown: Shown = field(default_factory=list)
    # Local times that never came, each with the instant at which the clock jumped.
    skipped: Shown = field(default_factory=list)
    # How long after that instant each would have come, had the clock not jumped.
    late_s: dict[datetime, int] = field(default_factory=dict)
    # Instants whose local time comes again soon, and those at which it does.
    first_passes: set[int] = field(default_factory=set)
    second_passes: set[int] = field(default_factory=set)

    def see_jump(self, at_s: int, jump: timedelta, local: datetime) -> None:
        """Notes what a jump to a local time skips or doubles."""
        if abs(jump) > SUMMER_TIME:
            return
        jump_s = int(jump.total_seconds())
        for late_s in range(0, jump_s, MINUTE_S):
            never = local - timedelta(seconds=jump_s - late_s)
            self.skipped.append((at_s, never))
            self.late_s[never] = late_s
        for back_s in range(0, -jump_s, MINUTE_S):
            self.first_passes.add(at_s + jump_s + back_s)
            self.second_passes.add(at_s + back_s)


@cache
def walked(tz: str) -> Year:
    zone, year = ZoneInfo(tz), Year()
    first_s, end_s = (
        int(datetime(number, 1, 1, tzinfo=zone).timestamp())
        for number in (YEARS[tz], YEARS[tz] + 1)
    )
    seconds = range(first_s, end_s, MINUTE_S)
    year.shown = [(at_s, datetime.fromtimestamp(at_s, zone)) for at_s in seconds]
    for (_, before), (at_s, local) in pairwise(year.shown):
        # Within one zone this is the difference of what the clock shows.
        if local - before != MINUTE:
            year.see_jump(at_s, local - before - MINUTE, local.replace(tzinfo=None))
    return year


def numbers(text: str, low: int, high: int) -> set[int]:
    found = set[int]()
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            first, last = str(low), str(high)
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def matching(expression: str, times: Iterable[tuple[int, datetime]]) -> Shown:
    """Those whose local time the expression names."""
    minute, hour, monthday, month, weekday = expression.split()
    assert "*" in (monthday, weekday), "days are meant by both fields here"
    minutes, hours = numbers(minute, 0, 59), numbers(hour, 0, 23)
    monthdays, months = numbers(monthday, 1, 31), numbers(month, 1, 12)
    weekdays = {(number - 1) % 7 for number in numbers(weekday, 0, 6)}
    return [
        (at_s, local)
        for at_s, local in times
        if local.minute in minutes
        and local.hour in hours
        and local.day in monthdays
        and local.month in months
        and local.weekday() in weekdays
    ]


def expected(expression: str, tz: str, policy: ClockChange) -> list[int]:
    """The instants that the walk finds for a rule of fixed times."""
    year = walked(tz)
    runs = {at_s for at_s, _ in shown(expression, tz)}
    if policy.fold is Fold.FIRST:
        runs -= year.second_passes
    if policy.fold is Fold.SECOND:
        runs -= year.first_passes
    for at_s, never in matching(expression, year.skipped):
        if policy.gap is Gap.AFTER:
            runs.add(at_s)
        if policy.gap is Gap.SHIFT:
            runs.add(at_s + year.late_s[never])
    return sorted(runs)


@cache
def shown(expression: str, tz: str) -> Shown:
    return matching(expression, walked(tz).shown)


def answered(expression: str, tz: str, policy: ClockChange) -> list[int]:
    """The instants that the engine finds in the same year."""
    cron = parse(expression, tz=tz, policy=policy)
    year = walked(tz).shown
    times = upcoming(cron, after_ms=year[0][0] * 1000 - 1)
    return [at // 1000 for at in takewhile(lambda at: at <= year[-1][0] * 1000, times)]


@pytest.mark.parametrize("tz", YEARS)
def test_the_walk_sees_a_gap_and_a_fold(tz: str) -> None:
    year = walked(tz)

    assert len(year.skipped) == len(year.second_passes) in (30, 60)
    assert year.second_passes.isdisjoint(year.first_passes)


@pytest.mark.parametrize("tz", YEARS)
@pytest.mark.parametrize("expression", FIXED)
def test_fixed_times_run_as_the_policies_say(expression: str, tz: str) -> None:
    for gap, fold in product(Gap, Fold):
        policy = ClockChange(gap, fold)
        assert answered(expression, tz, policy) == expected(expression, tz, policy)


@pytest.mark.parametrize("tz", YEARS)
@pytest.mark.parametrize("expression", FOLLOWING)
def test_rules_that_follow_the_clock_run_whenever_it_shows_their_times(
    expression: str, tz: str
) -> None:
    wanted = [at_s for at_s, _ in shown(expression, tz)]

    for gap, fold in zip(Gap, Fold, strict=True):
        assert answered(expression, tz, ClockChange(gap, fold)) == wanted


@pytest.mark.parametrize("tz", YEARS)
def test_the_years_tell_all_policies_apart(tz: str) -> None:
    runs = {
        str([expected(expression, tz, ClockChange(gap, fold)) for expression in FIXED])
        for gap, fold in product(Gap, Fold)
    }

    assert len(runs) == 9
