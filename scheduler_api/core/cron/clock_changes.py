"""Decides when rules run at local times that a clock change skips or repeats.

When clocks go forward, the skipped local times are the gap. When clocks go back, the
repeated local times are the fold, which has a first and a second pass. The two kinds of
rules treat such local times differently:

- A rule with fixed times (`30 2 * * *`: neither the second, the minute nor the hour
  field starts with a star) follows the policies of its schedule:
  Gap `after`: the rule runs once for all skipped times, right after the gap. `skip`:
  the rule does not run for skipped times. `shift`: the rule runs for each skipped time,
  but later by the length of the gap, so the run for 02:30 is at 03:30.
  Fold `first`: for a repeated time, the rule runs in the first pass. `second`: it runs
  in the second pass. `both`: it runs in both passes.
- A rule that follows the clock (`*/5 * * * *`, `0 * * * *`, `*/10 2 * * *`) runs
  whenever the clock shows one of its times. So the rule does not run for skipped times,
  and runs twice for repeated times. The policies do not apply.

A change of more than three hours, such as when a country moves to the other side of the
date line, is not daylight saving time; every rule then follows the clock. If several
local times of a rule result in the same instant, the rule runs once at that instant. An
interval (`@every`) counts seconds and is not affected by clock changes.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

# Debian's cron has the same limit: it treats a longer change as a correction of the
# clock.
LONGEST_SUMMER_TIME_S = 3 * 3600
DAY_S = 86_400

# The reason that is reported for a skipped local time.
CLOCK_CHANGE = "clock change"


class Gap(StrEnum):
    """The policy for fixed times in a gap, as described above."""

    AFTER = "after"
    SKIP = "skip"
    SHIFT = "shift"


class Fold(StrEnum):
    """The policy for fixed times in a fold, as described above."""

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
    """A clock change: its instant, and the local times just before and after."""

    at_s: int
    before: datetime
    after: datetime


def instants_of(local: datetime, zone: ZoneInfo) -> tuple[int, int]:
    """Return two instants for a local time, both as epoch seconds.

    The instants are equal unless a clock change skips or repeats the local time. Then
    the first instant is computed with the UTC offset before the change, the second
    instant with the offset after the change. In a gap, the first instant is later than
    the second; in a fold, the first instant is earlier.
    """
    first = int(local.replace(tzinfo=zone, fold=0).timestamp())
    return first, int(local.replace(tzinfo=zone, fold=1).timestamp())


def run_instants(
    first: int, second: int, zone: ZoneInfo, *, follows_clock: bool, policy: ClockChange
) -> tuple[int, ...]:
    """Return the epoch seconds at which a rule runs for a local time; () if never.

    Args:
        first, second: the result of `instants_of` for the local time.
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
