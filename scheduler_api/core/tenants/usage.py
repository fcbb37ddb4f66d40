"""Counts what a tenant has stored."""

from collections.abc import Iterator, Sequence
from redis.client import Pipeline
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import NotFound
from scheduler_api.core.model import FINAL_STATES, State
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.records import EVENT, SCHEDULE
from scheduler_api.core.tenants import removal
from typing import cast

BATCH = 500
# As many bytes of content as tell whether its body is shared.
START_BYTES = 40
STORED, SINCE = "stored.bytes", "stored.since"
PLACE = ("schedule", "body_revision")


def pending(cell: Cell, owners: Sequence[str]) -> int:
    """Return the number of unfinished events and of schedules. One round trip."""
    return sum(sum(found) for found in pending_by_owner(cell, owners).values())


def pending_by_owner(cell: Cell, owners: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the numbers of unfinished events and of schedules. One round trip."""
    with cell.client.pipeline(transaction=False) as pipe:
        for owner in owners:
            pipe.zcard(keys.by_time(cell.prefix, owner, State.ACTIVE))
            pipe.zcard(keys.schedules(cell.prefix, owner))
        counts = pipe.execute()
    return dict(zip(owners, zip(counts[::2], counts[1::2], strict=True), strict=True))


def stored_bytes(cell: Cell, tenant: str) -> int | None:
    """Return the bytes of content of a tenant; None if they were never limited."""
    key = keys.tenant(cell.prefix, tenant)
    counted, since = cell.client.hmget(key, [STORED, SINCE])
    if counted is None and since is None:
        return None
    return int(counted or 0) + int(since or 0)


def recount(cell: Cell, tenant: str, owners: Sequence[str]) -> int:
    """Count the bytes of content of a tenant, and store the number; 0 for no tenant.

    Content that is stored meanwhile may be counted twice, until the next count. Redis:
    two reads of every event and schedule, not atomic.
    """
    key = keys.tenant(cell.prefix, tenant)
    if not cell.client.exists(key):
        return 0
    since = int(cell.client.hget(key, SINCE) or 0)
    counted = sum(
        length
        for owner in owners
        for length in _lengths(cell, owner, _content_keys(cell, owner))
    )

    def write(pipe: Pipeline) -> None:
        removal.watch(pipe, cell.prefix, tenant)
        pipe.multi()
        pipe.hset(key, STORED, counted)
        pipe.hincrby(key, SINCE, -since)

    try:
        cell.client.transaction(write)
    except NotFound:
        return 0
    return counted


def _lengths(cell: Cell, owner: str, names: Iterator[str]) -> Iterator[int]:
    """Yield the lengths of contents, and of each body that they share once."""
    shared: set[str] = set()
    for batch in batches(names, BATCH):
        with cell.client.pipeline(transaction=False) as pipe:
            for name in batch:
                pipe.strlen(name)
                pipe.getrange(name, 0, START_BYTES)
            replies = pipe.execute()
            yield from replies[::2]
            found = {codec.shared_body_name(start) for start in replies[1::2]}
            for body in found - shared - {None}:
                pipe.strlen(keys.shared_body(cell.prefix, owner, str(body)))
            yield from pipe.execute()
            shared |= {str(body) for body in found}


def _content_keys(cell: Cell, owner: str) -> Iterator[str]:
    schedules = keys.schedules(cell.prefix, owner)
    yield from _templates(cell, _members(cell, schedules))
    yield from _bodies(
        cell, _members(cell, keys.by_time(cell.prefix, owner, State.ACTIVE))
    )
    for state in FINAL_STATES:
        finished = keys.finished(cell.prefix, owner, state)
        yield from _bodies(cell, _members(cell, finished))


def _members(cell: Cell, key: str) -> Iterator[str]:
    for member, _ in cell.client.zscan_iter(key, count=BATCH):
        yield cast(bytes, member).decode()


def _templates(cell: Cell, ids: Iterator[str]) -> Iterator[str]:
    for batch in batches(ids, BATCH):
        with cell.client.pipeline(transaction=False) as pipe:
            for schedule_id in batch:
                record = keys.schedule(cell.prefix, schedule_id)
                pipe.hget(record, SCHEDULE.code("revision"))
            revisions = pipe.execute()
        for schedule_id, revision in zip(batch, revisions, strict=True):
            yield keys.template(cell.prefix, schedule_id, (revision or b"").decode())


def _bodies(cell: Cell, ids: Iterator[str]) -> Iterator[str]:
    """Yield the keys of the content of events; occurrences use that of a schedule."""
    for batch in batches(ids, BATCH):
        with cell.client.pipeline(transaction=False) as pipe:
            for event_id in batch:
                pipe.hmget(keys.event(cell.prefix, event_id), EVENT.codes(*PLACE))
            records = pipe.execute()
        for event_id, values in zip(batch, records, strict=True):
            found = zip(PLACE, values, strict=True)
            record = {name: value for name, value in found if value is not None}
            if "schedule" not in record:
                yield codec.content_key(cell.prefix, event_id, record)
