"""Helpers that return fire times of a parsed cron expression, in epoch ms."""

from scheduler_api.core.cron.expression import Cron, upcoming
from scheduler_api.core.schedules import planning


def times_of(cron: Cron, *, after_ms: int, until_ms: int) -> list[int]:
    """Return the fire times after `after_ms`, up to and including `until_ms`."""
    found = []
    for at_ms in upcoming(cron, after_ms=after_ms):
        if at_ms > until_ms:
            return found
        found.append(at_ms)
    return found


def plan_ahead(cron: Cron, *, after_ms: int) -> list[int]:
    """Return the fire times that are stored with a schedule created at `after_ms`."""
    return list(planning.plan_ahead(cron, after_ms=after_ms).times_ms)
