"""Reads what became of the attempts of the last day, at little cost to the store."""

import threading
from collections.abc import Mapping, Sequence
from scheduler_api.core.store import statistics
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.statistics import DAY_MS, HOUR_MS, MINUTE_MS, Hour

# How many hours are remembered: those of ten tenants, in about 6 MB.
MAX_REMEMBERED = 240


class RecentHours:
    """Remembers hours that are over: nothing is counted in them any more.

    Thread-safe.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._lock = threading.Lock()
        self._hours: dict[tuple[str | None, int], Hour] = {}

    def read(self, tenant: str | None, *, now_ms: int) -> list[Hour]:
        """Return the counts of the present hour and the 24 before.

        Redis: one round trip.

        Args:
            tenant: None for those of the cell.
        """
        present = now_ms - now_ms % HOUR_MS
        with self._lock:
            remembered = []
            for start_ms in range(present - DAY_MS, present, HOUR_MS):
                hour = self._hours.get((tenant, start_ms))
                if hour is None:
                    break
                remembered.append(hour)
        since_ms = present - DAY_MS + len(remembered) * HOUR_MS
        read = statistics.read(self._cell, tenant, since_ms=since_ms, now_ms=now_ms)
        with self._lock:
            for hour in read[:-1]:
                self._hours[tenant, hour.starts_ms] = hour
            while len(self._hours) > MAX_REMEMBERED:
                del self._hours[next(iter(self._hours))]
        return [*remembered, *read]


def per_minute(
    hours: Sequence[Hour], name: str, *, count: int, now_ms: int
) -> list[int]:
    """Return a figure of each of the last minutes, the present one last.

    Args:
        hours: consecutive hours up to the present one, at least as many as needed.
        name: `delivered` or `failed`.
    """
    start_ms = hours[0].starts_ms if hours else now_ms
    figures = [0] * (len(hours) * HOUR_MS // MINUTE_MS)
    for number, hour in enumerate(hours):
        for minute, figure in getattr(hour, name).items():
            figures[number * 60 + minute] = figure
    end = (now_ms - start_ms) // MINUTE_MS + 1
    return figures[max(0, end - count) : end]


def last_hour(hours: Sequence[Hour], *, now_ms: int) -> Mapping[str, int]:
    """Return how many attempts `delivered` and `failed` in the last hour.

    Args:
        hours: as for `per_minute`.
    """
    return {
        name: sum(per_minute(hours, name, count=60, now_ms=now_ms))
        for name in ("delivered", "failed")
    }
