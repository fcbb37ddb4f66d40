"""Schedules in words: their rule, their state, and what became of their runs."""

from scheduler_api.core import public_ids
from scheduler_api.core.cron.description import describe
from scheduler_api.core.cron.expression import CronError
from scheduler_api.core.model import Schedule, ScheduleState, State
from scheduler_api.core.queries.event_pages import STATUSES
from scheduler_api.core.schedules import fire_times, run_history
from scheduler_api.core.schedules.run_history import Run
from scheduler_api.core.store.cell import Cell
from scheduler_api.web import schedule_options
from typing import NamedTuple

WAITING, UNDER_WAY = "waiting", "under way"
# Why a run did not happen.
REASONS = {
    "missed": "missed: no ticker or worker took it in time",
    "overlap": "skipped: the run before it had not ended",
    "paused": "skipped: the schedule was paused",
    "end": "skipped: the schedule had reached its end",
    "clock change": "skipped: the clock changed, so this local time did not exist",
}

# Why the event of a run was not delivered.
FAILURES = {
    "exhausted": "all attempts failed",
    "end": "the schedule ended before the next attempt",
}


class PastRun(NamedTuple):
    """A run in the history, with what is shown of it.

    Attributes:
        status: '' if the run did not happen.
        event: the id of its event that clients use.
        clock: what a clock change did to it.
    """

    run: Run
    status: str
    event: str
    reason: str
    clock: str


def past_runs(cell: Cell, schedule: Schedule, *, limit: int) -> list[PastRun]:
    """Return the newest runs of a schedule, newest first."""
    runs = run_history.newest(cell, schedule, limit=limit)
    times_ms = [run.at_ms for run in runs if not run.by_hand]
    try:
        notes = fire_times.clock_notes(schedule, times_ms)
    except CronError:
        notes = {}
    return [
        PastRun(
            run,
            _status(run),
            public_ids.event_id(schedule.owner, run.event_id or ""),
            (FAILURES if run.event_id else REASONS).get(run.reason, run.reason),
            "" if run.by_hand else notes.get(run.at_ms, ""),
        )
        for run in runs
    ]


def public_id(schedule: Schedule) -> str:
    """Return the id that clients use."""
    return public_ids.schedule_id(schedule.owner, schedule.id, schedule.name)


def words_of(schedule: Schedule) -> str:
    """Return the rule in words; '' if it cannot be read."""
    try:
        return describe(fire_times.cron_of(schedule))
    except CronError:
        return ""


def zone_of(schedule: Schedule) -> str:
    """Return the time zone of the rule; UTC if the rule cannot be read."""
    try:
        return fire_times.cron_of(schedule).tz
    except CronError:
        return schedule_options.TIME_ZONE


def state_of(schedule: Schedule, now_ms: int) -> str:
    """Return the state; a schedule whose end has passed has ended."""
    over = schedule.is_over(now_ms)
    return ScheduleState.ENDED if over else schedule.state.value


def _status(run: Run) -> str:
    """Return the status of the event of a run; '' if the run did not happen."""
    if run.event_id is None:
        return ""
    if run.state is None or run.state is State.ACTIVE:
        return UNDER_WAY if run.attempts else WAITING
    return STATUSES[run.state]
