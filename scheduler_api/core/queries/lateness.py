"""Whether events begin in time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from scheduler_api.core.store import statistics
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.statistics import LATE_BOUNDS_MS, PART_MS, Hour

# How many parts of an hour the figures are about, the present one included.
PARTS = 3


@dataclass(frozen=True)
class Lateness:
    """How late first attempts began, since some minutes ago.

    Waits at gates are included. `half_ms` and `most_ms`: 50 % and 99 % of the attempts
    began within this time, an upper bound; None: even later than the last bound.
    """

    since_ms: int
    attempts: int
    half_ms: int | None
    most_ms: int | None


def since_ms(now_ms: int) -> int:
    """Return since when `lateness` knows how late events began."""
    return now_ms - now_ms % PART_MS - (PARTS - 1) * PART_MS


def lateness(hours: Iterable[Hour], *, now_ms: int) -> Lateness:
    """Return how late the first attempts of the last minutes began.

    Args:
        hours: as `statistics.read` returns them, from the time `since_ms` at least.
    """
    start_ms, late = since_ms(now_ms), Counter[int]()
    for hour in hours:
        for part, buckets in hour.late.items():
            if hour.starts_ms + part * PART_MS >= start_ms:
                late += buckets
    return Lateness(start_ms, late.total(), _within(late, 0.5), _within(late, 0.99))


def read(cell: Cell, tenant: str | None, *, now_ms: int) -> Lateness:
    """Return the lateness of a tenant or, if it is None, of the cell.

    Redis: one round trip.
    """
    hours = statistics.read(cell, tenant, since_ms=since_ms(now_ms), now_ms=now_ms)
    return lateness(hours, now_ms=now_ms)


def _within(late: Counter[int], share: float) -> int | None:
    """Return the bound below which at least a share of the attempts is."""
    wanted, found = late.total() * share, 0
    for bucket, bound_ms in enumerate(LATE_BOUNDS_MS):
        found += late[bucket]
        if found >= wanted:
            return bound_ms
    return None
