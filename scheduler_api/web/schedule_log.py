"""Logs changes of schedules, in the same format for every dialect."""

import logging
from scheduler_api.core import logfmt, public_ids
from scheduler_api.core.model import Schedule

log = logging.getLogger("scheduler.web")


def log_schedule(event: str, schedule: Schedule) -> None:
    """Log an event such as `schedule.accepted`."""
    named = public_ids.schedule_id(schedule.owner, schedule.id, schedule.name)
    log.info(
        logfmt.line(
            event,
            schedule=named,
            owner=schedule.owner,
            expression=schedule.expression,
            state=schedule.state,
        )
    )
