"""Plans more fire times for schedules that have few planned fire times left."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.cron.expression import CronError
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import name_members

log = logging.getLogger("scheduler.worker")


def top_up(cell: Cell, schedules: Schedules, schedule_ids: Sequence[str]) -> None:
    """Plan fire times for each schedule; log failures.

    This function does not retry: if a schedule still needs fire times, another envelope
    contains the schedule five seconds later.
    """
    for schedule_id in schedule_ids:
        try:
            result = schedules.top_up(schedule_id)
        except (CronError, RedisError, UnreadableRecord) as err:
            log.error(
                logfmt.line(
                    "schedule.not_planned", **_named(cell, schedule_id), problem=err
                )
            )
            continue
        if log.isEnabledFor(logging.DEBUG):
            named = _named(cell, schedule_id)
            log.debug(logfmt.line("schedule.planned", **named, result=result))


def _named(cell: Cell, schedule_id: str) -> dict[str, object]:
    """Return the fields of a log line that identify a schedule."""
    with suppress(RedisError):
        return name_members(cell, [f"s:{schedule_id}"])[0]
    return {"schedule": schedule_id}
