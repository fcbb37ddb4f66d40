"""When a local time runs that the clocks of its zone skip or show twice.

Clocks go forward over a gap, whose local times do not exist, and back into a fold,
whose local times come twice. What a rule means by them depends on its kind:

- A rule of fixed times (no star before its second, minute or hour: `30 2 * * *`) wants
  each of them once. For a change of up to three hours its policies say when.
  Gap `after`: all that it skips run once, together, at its end. `skip`: they do not
  run. `shift`: each runs later by as much as the clocks go forward, 02:30 at 03:30.
  Fold `first`, `second`: at that pass only. `both`: at each of them.
- A rule that follows the clock (`*/5 * * * *`, `0 * * * *`, `*/10 2 * * *`) wants what
  the clock shows: it keeps its rhythm through every change, so no policy touches it.
  What is skipped does not run, what comes twice runs twice.

A change of more than three hours, such as a new date line, is no summer time: there
every rule follows the clock. Where several local times meet, they run once. A distance
(`@every`) counts seconds and knows no clock.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

# Debian takes a longer jump for a clock set right, not for summer time.
LONGEST_SUMMER_TIME_S = 3 * 3600
DAY_S = 86_400

# Why a local time that is skipped did not run.
CLOCK_CHANGE = "clock change"


class Gap(StrEnum):
    """What becomes of fixed times that do not exist."""

    AFTER = "after"
    SKIP = "skip"
    SHIFT = "shift"


class Fold(StrEnum):
    """At which pass fixed times run that come twice."""

    FIRST = "first"
    SECOND = "second"
    BOTH = "both"


@dataclass(frozen=True)
class ClockChange:
    """The policies of a schedule."""

    gap: Gap = Gap.AFTER
    fold: Fold = Fold.FIRST


@dataclass(frozen=True)
class Jump:
    """A change: its instant, and what clocks show there without it and with it."""

    at_s: int
    before: datetime
    after: datetime


def readings(local: datetime, zone: ZoneInfo) -> tuple[int, int]:
    """The two instants, in seconds, that a local time may stand for.

    They differ in a gap, where the first is the later: it goes by the clock before the
    change; and in a fold, where the first is the earlier.
    """
    first = int(local.replace(tzinfo=zone, fold=0).timestamp())
    return first, int(local.replace(tzinfo=zone, fold=1).timestamp())


def run_instants(
    first: int, second: int, zone: ZoneInfo, *, follows_clock: bool, policy: ClockChange
) -> tuple[int, ...]:
    """The instants, in seconds, at which a local time runs; () if it is skipped.

    Args:
        first: with `second` its readings.
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
    """The change that skips or doubles a local time, None if it comes once."""
    first, second = sorted(readings(local, zone))
    return None if first == second else _jump_between(first, second, zone)


def gaps(zone: ZoneInfo, *, after_s: int, until_s: int) -> Iterator[Jump]:
    """Yield the changes by which clocks go forward, in (after, until]."""
    for first_s in range(after_s, until_s, DAY_S):
        last_s = min(first_s + DAY_S, until_s)
        if _offset(last_s, zone) > _offset(first_s, zone):
            yield _jump_between(first_s, last_s, zone)


def _jump_between(first_s: int, last_s: int, zone: ZoneInfo) -> Jump:
    """The change somewhere in (first, last]."""
    before = _offset(first_s, zone)
    span = range(first_s, last_s + 1)
    at_s = span[bisect_left(span, True, key=lambda s: _offset(s, zone) != before)]
    instant = datetime.fromtimestamp(at_s, UTC).replace(tzinfo=None)
    return Jump(at_s, instant + before, instant + _offset(at_s, zone))


def _offset(at_s: int, zone: ZoneInfo) -> timedelta:
    return datetime.fromtimestamp(at_s, zone).utcoffset() or timedelta(0)
