"""Finds events and schedules by any id that a client may have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from scheduler_api.core import public_ids
from scheduler_api.core.model import Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import execute_reads
from scheduler_api.core.store.records import EVENT, SCHEDULE

MAX_LENGTH = 1_000


@dataclass(frozen=True)
class Found:
    """What an id names."""

    owner: Owner
    id: str
    is_schedule: bool


def find(
    cell: Cell, text: str, *, tenant: str | None, owners: Sequence[Owner]
) -> list[Found]:
    """Return the events and schedules that a text names, in all dialects.

    Redis: two round trips.

    Args:
        tenant: whose they must be; None: of any tenant.
        owners: where schedules are searched by the name that their owner gave.
    """
    text = text.strip()
    if not text.isprintable() or not 0 < len(text) <= MAX_LENGTH:
        return []
    stored = public_ids.stored_ids(text)
    pipe = cell.client.pipeline(transaction=False)
    for candidate in stored.values():
        pipe.hget(keys.event(cell.prefix, candidate), EVENT.code("owner"))
        pipe.hget(keys.schedule(cell.prefix, candidate), SCHEDULE.code("owner"))
    for owner in owners:
        pipe.hget(keys.names(cell.prefix, str(owner)), text)
    replies = execute_reads(pipe)
    found = list(_by_id(stored, replies[: 2 * len(stored)]))
    for owner, schedule in zip(owners, replies[2 * len(stored) :], strict=True):
        if isinstance(schedule, bytes):
            found.append(Found(owner, schedule.decode(), is_schedule=True))
    unique = dict.fromkeys(found)
    return [each for each in unique if tenant in (None, each.owner.tenant)]


def _by_id(stored: dict[str, str], replies: Sequence[object]) -> Iterator[Found]:
    """Yield those candidates that their dialect has stored."""
    kinds = zip(replies[::2], replies[1::2], strict=True)
    for (dialect, candidate), pair in zip(stored.items(), kinds, strict=True):
        for is_schedule, reply in enumerate(pair):
            if isinstance(reply, bytes):
                owner = Owner.parse(reply.decode())
                if owner.dialect == dialect:
                    yield Found(owner, candidate, bool(is_schedule))
