"""Plans more fire times for schedules that have few planned fire times left."""

import logging
from collections.abc import Sequence
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.cron.expression import CronError
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.schedules.schedules import Schedules

log = logging.getLogger("scheduler.worker")


def top_up(schedules: Schedules, schedule_ids: Sequence[str]) -> None:
    """Plan fire times for each schedule; log failures.

    This function does not retry: if a schedule still needs fire times, another envelope
    contains the schedule five seconds later.
    """
    for schedule_id in schedule_ids:
        try:
            result = schedules.top_up(schedule_id)
        except (CronError, RedisError, UnreadableRecord) as err:
            log.error(
                logfmt.line("schedule.not_planned", schedule=schedule_id, problem=err)
            )
            continue
        log.debug(logfmt.line("schedule.planned", schedule=schedule_id, result=result))
