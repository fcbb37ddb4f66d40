"""Finds events and schedules by any id that a client may have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from scheduler_api.core import public_ids
from scheduler_api.core.deduplication import Duplicate
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
        owners: whose names of schedules, deduplication ids and idempotency keys are
            searched too.
    """
    text = text.strip()
    if not text.isprintable() or not 0 < len(text) <= MAX_LENGTH:
        return []
    candidates = [*public_ids.stored_ids(text).items()]
    candidates += _named(cell, owners, text)
    found = _existing(cell, list(dict.fromkeys(candidates)))
    return [each for each in found if tenant in (None, each.owner.tenant)]


def _named(cell: Cell, owners: Sequence[Owner], text: str) -> Iterator[tuple[str, str]]:
    """Yield dialect and stored id of what the owners may have given this name."""
    pipe, dialects = cell.client.pipeline(transaction=False), list[str]()
    for owner in owners:
        pipe.hget(keys.names(cell.prefix, str(owner)), text)
        names = public_ids.deduplication_names(owner.dialect, text)
        for name in names:
            pipe.get(keys.deduplication(cell.prefix, str(owner), name))
        dialects += [owner.dialect] * (1 + len(names))
    for dialect, reply in zip(dialects, execute_reads(pipe), strict=True):
        if isinstance(reply, bytes):
            # The value of a deduplication key begins with an id, too.
            yield dialect, Duplicate.parse(reply).id


def _existing(cell: Cell, candidates: Sequence[tuple[str, str]]) -> Iterator[Found]:
    """Yield those candidates that their dialect has stored."""
    pipe = cell.client.pipeline(transaction=False)
    for _, candidate in candidates:
        pipe.hget(keys.event(cell.prefix, candidate), EVENT.code("owner"))
        pipe.hget(keys.schedule(cell.prefix, candidate), SCHEDULE.code("owner"))
    replies = execute_reads(pipe)
    kinds = zip(replies[::2], replies[1::2], strict=True)
    for (dialect, candidate), pair in zip(candidates, kinds, strict=True):
        for is_schedule, reply in enumerate(pair):
            if isinstance(reply, bytes):
                owner = Owner.parse(reply.decode())
                if owner.dialect == dialect:
                    yield Found(owner, candidate, bool(is_schedule))
