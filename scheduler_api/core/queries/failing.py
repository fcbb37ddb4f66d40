"""The destinations whose last attempt failed."""

from dataclasses import dataclass
from scheduler_api.core.store import statistics
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.statistics import HOUR_MS, OTHERS, DestinationCounts


@dataclass(frozen=True)
class Destination:
    """An origin, such as `https://shop.example`, and its counts."""

    name: str
    counts: DestinationCounts


def failing(cell: Cell, tenant: str | None, *, now_ms: int) -> list[Destination]:
    """Return the origins whose last attempt failed, most failures first.

    The counts are those of the present hour and the one before. Redis: one round trip.

    Args:
        tenant: None for those of all tenants together.
    """
    found = statistics.read_destinations(
        cell, tenant, since_ms=now_ms - HOUR_MS, now_ms=now_ms
    )
    destinations = [
        Destination(name, counts)
        for name, counts in found.items()
        if counts.is_failing and name != OTHERS
    ]
    return sorted(destinations, key=lambda each: (-each.counts.failed, each.name))
