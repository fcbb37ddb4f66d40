"""Counts events by their status, and what waits in RQ."""

from collections.abc import Sequence
from rq import Queue
from scheduler_api.core.batches import batches
from scheduler_api.core.model import Owner, State
from scheduler_api.core.queries.event_pages import STATES_OF, Status
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.rq_envelopes import QUEUE
from typing import cast

# How many sets one round trip counts.
BATCH = 1_000


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


def dead_letters(cell: Cell) -> int:
    """Return how many dead letters all tenants have.

    Redis: one round trip per 1,000 owners.
    """
    owners = cast(set[bytes], cell.client.smembers(keys.owners(cell.prefix)))
    found = 0
    for batch in batches(owners, BATCH):
        pipe = cell.client.pipeline(transaction=False)
        for owner in batch:
            pipe.zcard(keys.finished(cell.prefix, owner.decode(), State.DEAD))
        found += sum(pipe.execute())
    return found


def rq_jobs(cell: Cell) -> dict[str, int]:
    """Return how many jobs wait in each of RQ's queues. Redis: two round trips."""
    queues = {QUEUE, *(queue.name for queue in Queue.all(cell.client))}
    pipe = cell.client.pipeline(transaction=False)
    for name in queues:
        pipe.llen(f"{Queue.redis_queue_namespace_prefix}{name}")
    return dict(zip(queues, pipe.execute(), strict=True))
