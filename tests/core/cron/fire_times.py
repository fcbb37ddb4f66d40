"""Fire times of cron expressions, as tests name them."""

from scheduler_api.core.cron.expression import Cron, upcoming
from scheduler_api.core.schedules import planning


def times_of(cron: Cron, *, after_ms: int, until_ms: int) -> list[int]:
    """Those after one moment and until another."""
    found = []
    for at_ms in upcoming(cron, after_ms=after_ms):
        if at_ms > until_ms:
            return found
        found.append(at_ms)
    return found


def plan_ahead(cron: Cron, *, after_ms: int) -> list[int]:
    """Those that a new schedule would store."""
    return list(planning.plan_ahead(cron, after_ms=after_ms).times_ms)
