"""Reads which event waits longest at a gate, and how much of a queue is being sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import execute_reads
from scheduler_api.core.store.records import EVENT
from typing import Any, cast

# How many of the first events of a queue are examined.
MAX_EXAMINED = 200
DUE = EVENT.codes("first_due_ms", "due_ms")


@dataclass(frozen=True)
class Waiting:
    """The events at a gate.

    Attributes:
        running: events of a queue that are claimed or being sent, among its first
            `MAX_EXAMINED`. 0 for other gates, which have slots.
        oldest_id: the first event that waits; None if none does.
        oldest_ms: when this event was first due.
    """

    running: int = 0
    oldest_id: str | None = None
    oldest_ms: int | None = None


def of_queues(cell: Cell, parallelism: Mapping[str, int]) -> list[Waiting]:
    """Return what waits in each queue. Redis: three round trips, not atomic.

    Args:
        parallelism: of each queue, by its gate.
    """
    pipe = cell.client.pipeline(transaction=False)
    for gate, limit in parallelism.items():
        # One more than may run: the first that waits.
        last = min(limit + 1, MAX_EXAMINED) - 1
        pipe.zrange(keys.order(cell.prefix, gate), 0, last)
    lines = [
        [event_id.decode() for event_id in found]
        for found in cast(list[list[bytes]], pipe.execute())
    ]
    leased = _leased(cell, lines)
    first = [
        next((each for each in line if each not in leased), None) for line in lines
    ]
    due = _due(cell, first)
    return [
        Waiting(sum(each in leased for each in line), *oldest)
        for line, oldest in zip(lines, zip(first, due, strict=True), strict=True)
    ]


def of_gates(cell: Cell, gates: Sequence[str]) -> list[Waiting]:
    """Return what waits at each gate that is not a queue. Redis: two round trips."""
    pipe = cell.client.pipeline(transaction=False)
    for gate in gates:
        pipe.zrange(keys.waiters(cell.prefix, gate), 0, 0)
    first = [
        found[0].decode() if found else None
        for found in cast(list[list[bytes]], pipe.execute())
    ]
    pairs = zip(first, _due(cell, first), strict=True)
    return [Waiting(0, event_id, due_ms) for event_id, due_ms in pairs]


def _leased(cell: Cell, lines: Sequence[Sequence[str]]) -> set[str]:
    ids = [event_id for line in lines for event_id in line]
    if not ids:
        return set()
    # Events with gates, such as a queue, have a ~ in front.
    members = [f"~{event_id}" for event_id in ids]
    scores = cell.client.zmscore(keys.leased(cell.prefix), members)
    pairs = zip(ids, cast(list[Any], scores), strict=True)
    return {event_id for event_id, score in pairs if score is not None}


def _due(cell: Cell, event_ids: Sequence[str | None]) -> list[int | None]:
    """Return when each event was first due; None if there is none, or no such time."""
    ids = [event_id for event_id in event_ids if event_id is not None]
    pipe = cell.client.pipeline(transaction=False)
    for event_id in ids:
        pipe.hmget(keys.event(cell.prefix, event_id), DUE)
    due: dict[str | None, int | None] = {
        event_id: _first_time(values)
        for event_id, values in zip(ids, execute_reads(pipe), strict=True)
    }
    return [due.get(event_id) for event_id in event_ids]


def _first_time(values: Any) -> int | None:
    if not isinstance(values, list):
        return None
    times = (int(value) for value in values if value is not None and value.isdigit())
    return next(times, None)
