"""The RQ job that delivers an envelope; any RQ worker can run this job."""

import asyncio
import logging
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.settings import Settings
from workers.bootstrap import open_cell, start_job
from workers.delivery.assembly import open_in_flight
from workers.delivery.planner import top_up

log = logging.getLogger("scheduler.worker")


def deliver(ids: list[str], schedule_ids: list[str], isolated: bool) -> None:
    """Deliver the events of an envelope, and plan fire times for its schedules.

    The job does not fail after an error of the store, because the events become due
    again when their offer ends.

    Raises: SettingsError, ForeignDatabase, UnknownLayout, TooFewDescriptors.
    """
    settings = start_job()
    try:
        cell = open_cell(settings)
    except RedisError as err:
        log.error(logfmt.line("envelope.lost", events=len(ids), problem=err))
        return
    if schedule_ids:
        schedules = Schedules(cell, grace_ms=settings.missed_grace_ms)
        top_up(cell, schedules, schedule_ids)
    if ids:
        asyncio.run(_deliver_all(ids, settings, isolated=isolated))


async def _deliver_all(ids: list[str], settings: Settings, *, isolated: bool) -> None:
    async with open_in_flight(settings) as in_flight:
        try:
            await in_flight.accept(ids, isolated=isolated)
        except RedisError as err:
            log.error(logfmt.line("envelope.lost", events=len(ids), problem=err))
        while in_flight.count:
            await in_flight.drain(settings.lease_ms / 1000)
