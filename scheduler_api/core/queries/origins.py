"""Pages of the origins that a tenant's events were sent to in the last day."""

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


@dataclass(frozen=True)
class OriginPage:
    """Some origins by name, each with its counts; `next` is '' at the end."""

    origins: Sequence[tuple[str, DestinationCounts]]
    next: str


def read_origins(
    cell: Cell,
    tenant: str | None,
    *,
    now_ms: int,
    contains: str = "",
    after: str = "",
) -> OriginPage:
    """Return the origins that come next after a name.

    The counts are those of the last 24 to 25 hours. Redis: two round trips.

    Args:
        tenant: None for those of all tenants together.
        contains: a part of the names.
    """
    pipe, since_ms = cell.client.pipeline(transaction=False), now_ms - DAY_MS
    for hour in range(since_ms // HOUR_MS, now_ms // HOUR_MS + 1):
        pipe.hkeys(keys.destination_counts(cell.prefix, holder_of(tenant), hour))
    found = set().union(*cast(list[list[bytes]], pipe.execute()))
    names = sorted(
        name
        for name in map(bytes.decode, found)
        if name > after and contains in name and name != OTHERS
    )
    chosen = names[:PAGE_SIZE]
    counts = statistics.read_destinations(
        cell, tenant, since_ms=since_ms, now_ms=now_ms, names=chosen
    )
    return OriginPage(
        [(name, counts[name]) for name in chosen if name in counts],
        chosen[-1] if len(names) > PAGE_SIZE else "",
    )
