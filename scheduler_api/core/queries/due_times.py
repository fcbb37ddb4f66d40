"""When events are due: what waits already, and how much is to come."""

from collections.abc import Sequence
from scheduler_api.core.model import Owner, State
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell

MINUTE_MS = 60_000
# How many of the oldest events of an owner are examined. Most of those that are not due
# wait for a retry or at a gate.
MAX_EXAMINED = 200


def next_minutes(cell: Cell, *, count: int, now_ms: int) -> list[int]:
    """Return how many events and schedules are due in each of the next minutes.

    A schedule counts once, at its next fire time. Redis: one round trip.
    """
    pipe = cell.client.pipeline(transaction=False)
    for start_ms in range(now_ms, now_ms + count * MINUTE_MS, MINUTE_MS):
        pipe.zcount(keys.due(cell.prefix), start_ms, f"({start_ms + MINUTE_MS}")
    return pipe.execute()


def oldest_due_ms(cell: Cell, owners: Sequence[Owner], *, now_ms: int) -> int | None:
    """Return when the oldest event of some owners was due that has not begun.

    None if there is none. An event that waits at a gate, or for its retry, is not due.
    Redis: two round trips, not atomic.
    """
    pipe = cell.client.pipeline(transaction=False)
    for owner in owners:
        active = keys.by_time(cell.prefix, str(owner), State.ACTIVE)
        pipe.zrangebyscore(active, "-inf", now_ms, start=0, num=MAX_EXAMINED)
    ids = [event_id.decode() for found in pipe.execute() for event_id in found]
    if not ids:
        return None
    members = [member for each in ids for member in (each, f"~{each}")]
    scores = cell.client.zmscore(keys.due(cell.prefix), members)
    due = [int(score) for score in scores if score]
    return min((each for each in due if each <= now_ms), default=None)
