"""What is told of the fire times of a schedule, as tests ask for it."""

from scheduler_api.core.model import Begun, Schedule
from scheduler_api.core.schedules import run_history
from scheduler_api.core.schedules.run_history import Run
from tests.core.engine import Engine


def runs_of(engine: Engine, schedule: Schedule, most: int = 100) -> list[Run]:
    """The newest first."""
    return run_history.newest(engine.cell, schedule, most=most)


def reasons(engine: Engine, schedule: Schedule) -> list[tuple[int, str]]:
    """Fire times that were skipped and why, oldest first."""
    found = reversed(runs_of(engine, schedule))
    return [(run.at_ms, run.reason) for run in found if run.event_id is None]


def first_begun(engine: Engine, schedule: Schedule) -> Begun:
    """The occurrence of the first fire time, begun then."""
    engine.now_ms = schedule.times_ms[0]
    [begun] = engine.worker.begin(*engine.claim().ids)
    return begun
