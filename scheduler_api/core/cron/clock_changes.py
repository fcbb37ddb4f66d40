"""When rules run at local times that a clock change skips or repeats.

When clocks go forward, the local times in the gap do not exist. When they go back, the
local times in the fold come twice. What a rule does then depends on its kind:

- A rule with fixed times (`30 2 * * *`: none of second, minute and hour starts with a
  star) follows the policies of the schedule, if the change is at most three hours.
  Gap `after`: all skipped times share one run, right after the gap. `skip`: they do not
  run. `shift`: each runs later by the length of the gap, so 02:30 runs at 03:30.
  Fold `first`, `second`: a repeated time runs at that pass only. `both`: at both.
- A rule that follows the clock (`*/5 * * * *`, `0 * * * *`, `*/10 2 * * *`) runs
  whenever the clock shows one of its times, so skipped times do not run and repeated
  times run twice. Policies do not apply.

A change of more than three hours, such as moving to another side of the date line, is
not daylight saving time: every rule follows the clock there. Local times that fall on
the same instant run once. An interval (`@every`) counts seconds and ignores the clock.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

# Debian's cron treats a longer jump as a corrected clock, not as summer time.
LONGEST_SUMMER_TIME_S = 3 * 3600
DAY_S = 86_400

# The reason why a skipped local time did not run.
CLOCK_CHANGE = "clock change"


class Gap(StrEnum):
    """When fixed times in a gap run."""

    AFTER = "after"
    SKIP = "skip"
    SHIFT = "shift"


class Fold(StrEnum):
    """At which pass of a fold a fixed time runs."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


@dataclass(frozen=True)
class ClockChange:
    """The clock-change policies of a schedule."""

    gap: Gap = Gap.AFTER
    fold: Fold = Fold.FIRST


@dataclass(frozen=True)
class Jump:
    """A clock change: its instant, and the local time just before and after it."""

    at_s: int
    before: datetime
    after: datetime


def instants_of(local: datetime, zone: ZoneInfo) -> tuple[int, int]:
    """The epoch seconds of a local time, with the offsets before and after a change.

    Without a clock change nearby they are equal. In a gap the first is later, in a fold
    it is earlier.
    """
    first = int(local.replace(tzinfo=zone, fold=0).timestamp())
    return first, int(local.replace(tzinfo=zone, fold=1).timestamp())


def run_instants(
    first: int, second: int, zone: ZoneInfo, *, follows_clock: bool, policy: ClockChange
) -> tuple[int, ...]:
    """The instants, in epoch seconds, at which a local time runs; () if it is skipped.

    Args:
        first: with `second`, what `instants_of` returns for the local time.
    """
    if first == second:
        return (first,)
    if follows_clock or abs(first - second) > LONGEST_SUMMER_TIME_S:
        return (first, second) if first < second else ()
    if first < second:
        passes = {Fold.FIRST: (first,), Fold.SECOND: (second,)}
        return passes.get(policy.fold, (first, second))
    if policy.gap is Gap.AFTER:
        return (_jump_between(second, first, zone).at_s,)
    return (first,) if policy.gap is Gap.SHIFT else ()


def jump_at(local: datetime, zone: ZoneInfo) -> Jump | None:
    """The clock change that skips or repeats a local time, None if there is none."""
    first, second = sorted(instants_of(local, zone))
    return None if first == second else _jump_between(first, second, zone)


def gaps(zone: ZoneInfo, *, after_s: int, until_s: int) -> Iterator[Jump]:
    """Yield the changes in (after, until] at which clocks go forward."""
    for first_s in range(after_s, until_s, DAY_S):
        last_s = min(first_s + DAY_S, until_s)
        if _offset(last_s, zone) > _offset(first_s, zone):
            yield _jump_between(first_s, last_s, zone)


def _jump_between(first_s: int, last_s: int, zone: ZoneInfo) -> Jump:
    """The only clock change in (first, last]."""
    before = _offset(first_s, zone)
    span = range(first_s, last_s + 1)
    at_s = span[bisect_left(span, True, key=lambda s: _offset(s, zone) != before)]
    instant = datetime.fromtimestamp(at_s, UTC).replace(tzinfo=None)
    return Jump(at_s, instant + before, instant + _offset(at_s, zone))


def _offset(at_s: int, zone: ZoneInfo) -> timedelta:
    return datetime.fromtimestamp(at_s, zone).utcoffset() or timedelta(0)
