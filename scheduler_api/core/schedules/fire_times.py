"""What the fire times of a schedule follow from, and what follows from them. Pure."""

from functools import lru_cache
from scheduler_api.core.cron.clock_changes import gaps
from scheduler_api.core.cron.expression import FULL, Cron, Every, Grammar, parse, skips
from scheduler_api.core.model import Schedule, ScheduleState
from scheduler_api.core.schedules.planning import (
    MOST_TOLD,
    fire_times,
    first_after_ms,
    newest_past,
)
from zoneinfo import ZoneInfo

# How long skipped fire times are told.
TOLD_MS = 30 * 86_400_000


def rule_of(schedule: Schedule) -> tuple[object, ...]:
    """All that its fire times follow from: while it is the same they go on."""
    options = schedule.options
    rule = schedule.expression, schedule.tz, schedule.state, options.clock
    return *rule, options.start_ms, options.jitter_ms


def cron_of(schedule: Schedule, grammar: Grammar = FULL) -> Cron:
    """The rule of a schedule.

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
    """When it fires next, or would if it were not paused; None if never again."""
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
    """In a list of many schedules, many have the same rule."""
    return next(fire_times(cron, last_ms=since_ms, after_ms=after_ms), None)


def skipped_by_pause(schedule: Schedule, now_ms: int) -> list[int]:
    """The newest fire times that have passed since it was paused; [] if it is not."""
    if schedule.state is not ScheduleState.PAUSED:
        return []
    end_ms = schedule.options.end_ms
    until_ms = now_ms if end_ms is None else min(now_ms, end_ms)
    cron = cron_of(schedule)
    return newest_past(
        cron, last_ms=schedule.last_used_ms, now_ms=until_ms, most=MOST_TOLD
    )


def skipped_by_clock(schedule: Schedule, now_ms: int) -> list[int]:
    """When clock changes skipped local times that it names, since its last edit."""
    options = schedule.options
    since_ms = max(schedule.updated_ms, options.start_ms or 0, now_ms - TOLD_MS)
    end_ms = now_ms if options.end_ms is None else min(now_ms, options.end_ms)
    if schedule.state is ScheduleState.PAUSED or end_ms <= since_ms:
        return []
    cron = cron_of(schedule)
    found = gaps(ZoneInfo(cron.tz), after_s=since_ms // 1000, until_s=end_ms // 1000)
    return [gap.at_s * 1000 for gap in found if skips(cron, gap)]
