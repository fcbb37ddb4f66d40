"""Counts events by their status, for the first page that people see."""

from collections.abc import Sequence
from scheduler_api.core.model import Owner, State
from scheduler_api.core.queries.event_pages import STATES_OF, Status
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell


def count(cell: Cell, owners: Sequence[Owner], *, now_ms: int) -> dict[Status, int]:
    """Return how many events of some owners have each status.

    Finished events count until their retention ends. Redis: one round trip.
    """
    pipe = cell.client.pipeline(transaction=False)
    statuses: list[Status] = []
    for owner in owners:
        active = keys.by_time(cell.prefix, str(owner), State.ACTIVE)
        pipe.zcount(active, f"({now_ms}", "+inf")
        pipe.zcount(active, "-inf", now_ms)
        statuses += [Status.SCHEDULED, Status.DUE]
        for status, states in STATES_OF.items():
            for state in states:
                pipe.zcard(keys.finished(cell.prefix, str(owner), state))
                statuses.append(status)
    counts = dict.fromkeys(Status, 0)
    for status, found in zip(statuses, pipe.execute(), strict=True):
        counts[status] += found
    return counts
