"""Find keys that nothing will ever remove."""

import redis
from collections.abc import Iterator
from scheduler_api.core.fsck import walk
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from typing import cast

# What RQ and rq-scheduler keep: names of queues, workers and registered jobs, lists of
# waiting jobs, and registries of jobs, whose entries have a time of removal.
RQ_PERMANENT = (
    *(keys.DATABASE_CELL, "rq:queues", "rq:queue:", "rq:workers"),
    *("rq:wip:", "rq:finished:", "rq:failed:", "rq:scheduler:scheduled_jobs"),
)
# Of a job, which may be registered: its record, and a stream of its last ten results.
OF_A_JOB = ("rq:job:", "rq:results:")


def ownerless(cell: Cell) -> list[str]:
    """Return each key without a TTL that no record, no index and no list explains.

    The keys of the cell are checked by fsck, whose other faults are returned too.
    """
    found = {str(fault) for fault in walk.check(cell)}
    return sorted(found.union(_ownerless_outside(cell)))


def _ownerless_outside(cell: Cell) -> Iterator[str]:
    """Yield the keys of the database that do not belong to the cell's prefix."""
    client = cell.client
    for key in client.scan_iter(count=1_000):
        name = key.decode()
        if name.startswith((cell.prefix, *RQ_PERMANENT)):
            continue
        if name.startswith(OF_A_JOB) and _is_listed(client, name.split(":", 2)[2]):
            continue
        if client.ttl(key) == walk.NO_TTL:
            yield f"{name}: is an unknown key without a TTL"


def _is_listed(client: redis.Redis, job_id: str) -> bool:
    """Whether a job waits in a queue or is registered as a chore."""
    if client.zscore("rq:scheduler:scheduled_jobs", job_id) is not None:
        return True
    queues = cast(set[bytes], client.smembers("rq:queues"))
    return any(client.lpos(queue.decode(), job_id) is not None for queue in queues)
