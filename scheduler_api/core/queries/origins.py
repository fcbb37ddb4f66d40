"""Pages of the origins that a tenant's events were sent to in the last day."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from scheduler_api.core.store import keys, statistics
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.owned_keys import holder_of
from scheduler_api.core.store.statistics import (
    DAY_MS,
    HOUR_MS,
    OTHERS,
    DestinationCounts,
)
from typing import cast

PAGE_SIZE = 50
# How many hours are remembered: those of four tenants, in about 10 MB.
MAX_REMEMBERED = 100


@dataclass(frozen=True)
class OriginPage:
    """Some origins by name, each with its counts; `next` is '' at the end."""

    origins: Sequence[tuple[str, DestinationCounts]]
    next: str


class Origins:
    """Reads origins; remembers those of hours that are over. Thread-safe."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._lock = threading.Lock()
        self._remembered: dict[tuple[str, int], set[bytes]] = {}

    def page(
        self, tenant: str | None, *, now_ms: int, contains: str = "", after: str = ""
    ) -> OriginPage:
        """Return the origins that come next after a name.

        The counts are those of the last 24 to 25 hours. Redis: two round trips.

        Args:
            tenant: None for those of all tenants together.
            contains: a part of the names.
        """
        names = sorted(
            name
            for name in map(bytes.decode, self._names(holder_of(tenant), now_ms))
            if name > after and contains in name and name != OTHERS
        )
        chosen = names[:PAGE_SIZE]
        counts = statistics.read_destinations(
            *(self._cell, tenant),
            since_ms=now_ms - DAY_MS,
            now_ms=now_ms,
            names=chosen,
        )
        return OriginPage(
            [(name, counts[name]) for name in chosen if name in counts],
            chosen[-1] if len(names) > PAGE_SIZE else "",
        )

    def _names(self, holder: str, now_ms: int) -> set[bytes]:
        present = now_ms // HOUR_MS
        hours = range(present - DAY_MS // HOUR_MS, present + 1)
        with self._lock:
            found = [self._remembered.get((holder, hour)) for hour in hours]
        missing = [
            hour for hour, names in zip(hours, found, strict=True) if names is None
        ]
        pipe = self._cell.client.pipeline(transaction=False)
        for hour in missing:
            pipe.hkeys(keys.destination_counts(self._cell.prefix, holder, hour))
        replies = cast(list[list[bytes]], pipe.execute())
        read = {hour: set(names) for hour, names in zip(missing, replies, strict=True)}
        with self._lock:
            for hour, names in read.items():
                if hour < present:
                    self._remembered[holder, hour] = names
            while len(self._remembered) > MAX_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
        present_names = [names for names in found if names is not None]
        return set[bytes]().union(*present_names, *read.values())
