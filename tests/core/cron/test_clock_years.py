"""Tests that compare clock-change policies with a model, over entire years.

The model shares no code with the engine. The model computes the local time of each
minute of the year, and finds a clock change where two successive local times are not a
minute apart.
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

Times = list[tuple[int, datetime]]


@dataclass
class Year:
    """The local time of each minute of a year, and the effects of clock changes."""

    local_times: Times = field(default_factory=list)
    # Skipped local times, each with the instant at which the clock skipped them.
    skipped: Times = field(default_factory=list)
    # Seconds by which each skipped local time is later than the start of the gap.
    late_s: dict[datetime, int] = field(default_factory=dict)
    # The clock shows each repeated local time at two instants. `first_passes` contains
    # the earlier instant, and `second_passes` contains the later instant.
    first_passes: set[int] = field(default_factory=set)
    second_passes: set[int] = field(default_factory=set)

    def add_jump(self, at_s: int, jump: timedelta, local: datetime) -> None:
        """Record which local times a clock change skips or repeats.

        At `at_s`, the clock jumps by `jump`, and then shows `local`.
        """
        if abs(jump) > SUMMER_TIME:
            return
        jump_s = int(jump.total_seconds())
        for late_s in range(0, jump_s, MINUTE_S):
            skipped = local - timedelta(seconds=jump_s - late_s)
            self.skipped.append((at_s, skipped))
            self.late_s[skipped] = late_s
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
    year.local_times = [(at_s, datetime.fromtimestamp(at_s, zone)) for at_s in seconds]
    for (_, before), (at_s, local) in pairwise(year.local_times):
        # Python ignores offsets when it subtracts times of the same zone. The result is
        # the difference between the local times.
        if local - before != MINUTE:
            year.add_jump(at_s, local - before - MINUTE, local.replace(tzinfo=None))
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


def matching(expression: str, times: Iterable[tuple[int, datetime]]) -> Times:
    """Return those of `times` whose local time matches the expression."""
    minute, hour, monthday, month, weekday = expression.split()
    assert "*" in (monthday, weekday), "not modelled: a match of either day field"
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
    """Return the instants in the year at which the model fires a rule, in seconds."""
    year = walked(tz)
    runs = {at_s for at_s, _ in matching_instants(expression, tz)}
    if policy.fold is Fold.FIRST:
        runs -= year.second_passes
    if policy.fold is Fold.SECOND:
        runs -= year.first_passes
    for at_s, skipped in matching(expression, year.skipped):
        if policy.gap is Gap.AFTER:
            runs.add(at_s)
        if policy.gap is Gap.SHIFT:
            runs.add(at_s + year.late_s[skipped])
    return sorted(runs)


@cache
def matching_instants(expression: str, tz: str) -> Times:
    return matching(expression, walked(tz).local_times)


def actual(expression: str, tz: str, policy: ClockChange) -> list[int]:
    """Return the instants in the year at which the engine fires a rule, in seconds."""
    cron = parse(expression, tz=tz, policy=policy)
    year = walked(tz).local_times
    times = upcoming(cron, after_ms=year[0][0] * 1000 - 1)
    return [at // 1000 for at in takewhile(lambda at: at <= year[-1][0] * 1000, times)]


@pytest.mark.parametrize("tz", YEARS)
def test_the_model_has_a_gap_and_a_fold_in_each_year(tz: str) -> None:
    year = walked(tz)

    assert len(year.skipped) == len(year.second_passes) in (30, 60)
    assert year.second_passes.isdisjoint(year.first_passes)


@pytest.mark.parametrize("tz", YEARS)
@pytest.mark.parametrize("expression", FIXED)
def test_fixed_times_run_as_the_policies_say(expression: str, tz: str) -> None:
    for gap, fold in product(Gap, Fold):
        policy = ClockChange(gap, fold)
        assert actual(expression, tz, policy) == expected(expression, tz, policy)


@pytest.mark.parametrize("tz", YEARS)
@pytest.mark.parametrize("expression", FOLLOWING)
def test_rules_that_follow_the_clock_run_at_every_matching_local_time(
    expression: str, tz: str
) -> None:
    wanted = [at_s for at_s, _ in matching_instants(expression, tz)]

    for gap, fold in zip(Gap, Fold, strict=True):
        assert actual(expression, tz, ClockChange(gap, fold)) == wanted


@pytest.mark.parametrize("tz", YEARS)
def test_each_policy_gives_different_runs_in_each_year(tz: str) -> None:
    runs = {
        str([expected(expression, tz, ClockChange(gap, fold)) for expression in FIXED])
        for gap, fold in product(Gap, Fold)
    }

    assert len(runs) == 9
