"""Helpers for tests of the run history of a schedule."""

from scheduler_api.core.model import Begun, Schedule
from scheduler_api.core.schedules import run_history
from scheduler_api.core.schedules.run_history import Run
from tests.core.engine import Engine


def runs_of(engine: Engine, schedule: Schedule, most: int = 100) -> list[Run]:
    """Return up to `most` runs of a schedule, newest first."""
    return run_history.newest(engine.cell, schedule, limit=most)


def reasons(engine: Engine, schedule: Schedule) -> list[tuple[int, str]]:
    """Return the skipped fire times and their reasons, oldest first."""
    found = reversed(runs_of(engine, schedule))
    return [(run.at_ms, run.reason) for run in found if run.event_id is None]


def first_begun(engine: Engine, schedule: Schedule) -> Begun:
    """Set the clock to a schedule's first fire time, and begin the occurrence."""
    engine.now_ms = schedule.times_ms[0]
    [begun] = engine.worker.begin(*engine.claim().ids)
    return begun
