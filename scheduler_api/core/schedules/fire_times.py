"""Calculates the next fire time and the skipped fire times of a schedule. Pure."""

from collections.abc import Sequence
from functools import lru_cache
from scheduler_api.core.cron.clock_changes import gaps
from scheduler_api.core.cron.expression import FULL, Cron, Every, Grammar, parse, skips
from scheduler_api.core.cron.preview import Preview, preview
from scheduler_api.core.model import Schedule, ScheduleState
from scheduler_api.core.schedules.planning import (
    MAX_REPORTED,
    counted_from_ms,
    fire_times,
    first_after_ms,
    newest_past,
)
from zoneinfo import ZoneInfo

# For this long, the run history shows the fire times that a clock change skipped.
REPORTED_FOR_MS = 30 * 86_400_000


def rule_of(schedule: Schedule) -> tuple[object, ...]:
    """Return all values that determine the fire times.

    An edit that does not change these values keeps the stored fire times.
    """
    options = schedule.options
    rule = schedule.expression, schedule.tz, schedule.state, options.clock
    return *rule, options.start_ms, options.jitter_ms


def cron_of(schedule: Schedule, grammar: Grammar = FULL) -> Cron:
    """The parsed cron expression of a schedule.

    Raises: CronError.
    """
    return parse(
        schedule.expression,
        tz=schedule.tz,
        grammar=grammar,
        seed=schedule.id,
        policy=schedule.options.clock,
    )


def next_ms(schedule: Schedule, now_ms: int) -> int | None:
    """The next fire time, even if the schedule is paused; None if there is none."""
    if schedule.is_over(now_ms):
        return None
    found_ms = next((at for at in schedule.times_ms if at > now_ms), None)
    if found_ms is None:
        cron = cron_of(schedule)
        since_ms = schedule.last_used_ms if isinstance(cron.rule, Every) else 0
        after_ms = first_after_ms(schedule.options, now_ms)
        found_ms = _first_after(cron, since_ms, after_ms)
    end_ms = schedule.options.end_ms
    past = found_ms is not None and end_ms is not None and found_ms > end_ms
    return None if past else found_ms


@lru_cache(maxsize=1024)
def _first_after(cron: Cron, since_ms: int, after_ms: int) -> int | None:
    """Return the first fire time after `after_ms`.

    The result is cached, because schedules in a list often have the same rule.
    """
    return next(fire_times(cron, last_ms=since_ms, after_ms=after_ms), None)


def upcoming_runs(schedule: Schedule, now_ms: int, *, count: int) -> Preview:
    """Return the next runs, even if the schedule is paused, and skipped times between.

    Raises: CronError.
    """
    options, cron = schedule.options, cron_of(schedule)
    left = count if schedule.runs_left is None else min(count, schedule.runs_left)
    if schedule.is_over(now_ms) or left < 1:
        return Preview(())
    after_ms = first_after_ms(options, now_ms)
    after_ms = counted_from_ms(cron, schedule.last_used_ms, after_ms)
    found = preview(cron, after_ms=after_ms, count=left)
    end_ms = options.end_ms
    runs = [run for run in found.runs if end_ms is None or run.at_ms <= end_ms]
    last = runs[-1].local if runs else None
    skipped = [each for each in found.skipped if last and each.local <= last]
    return Preview(tuple(runs), tuple(skipped))


def clock_notes(schedule: Schedule, times_ms: Sequence[int]) -> dict[int, str]:
    """Return what clock changes did to fire times, by the time; none if nothing.

    Raises: CronError.
    """
    cron = cron_of(schedule)
    if not times_ms or isinstance(cron.rule, Every):
        return {}
    found = preview(cron, after_ms=min(times_ms) - 1, count=len(times_ms))
    return {run.at_ms: run.note for run in found.runs if run.note}


def skipped_by_pause(schedule: Schedule, now_ms: int) -> list[int]:
    """Return the newest fire times that the present pause has skipped.

    If the schedule is not paused, the result is empty.
    """
    if schedule.state is not ScheduleState.PAUSED:
        return []
    end_ms = schedule.options.end_ms
    until_ms = now_ms if end_ms is None else min(now_ms, end_ms)
    cron = cron_of(schedule)
    return newest_past(
        cron, last_ms=schedule.last_used_ms, now_ms=until_ms, count=MAX_REPORTED
    )


def skipped_by_clock(schedule: Schedule, now_ms: int) -> list[int]:
    """Return the times of the clock changes that skipped fire times of a schedule.

    Clock changes before the last edit, or more than 30 days ago, are left out.
    """
    options = schedule.options
    since_ms = max(schedule.updated_ms, options.start_ms or 0, now_ms - REPORTED_FOR_MS)
    end_ms = now_ms if options.end_ms is None else min(now_ms, options.end_ms)
    if schedule.state is ScheduleState.PAUSED or end_ms <= since_ms:
        return []
    cron = cron_of(schedule)
    found = gaps(ZoneInfo(cron.tz), after_s=since_ms // 1000, until_s=end_ms // 1000)
    return [gap.at_s * 1000 for gap in found if skips(cron, gap)]
