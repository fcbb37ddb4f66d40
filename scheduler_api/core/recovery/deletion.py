"""Deletes events and templates: what erasures and the retention share."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from scheduler_api.core.batches import batches
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell

EVENTS_AT_ONCE = 50
KEYS_AT_ONCE = 500


@dataclass(frozen=True)
class Erased:
    """How many events were erased, and how many are being sent and remain."""

    events: int
    running: int


def erase_events(cell: Cell, owner: str, event_ids: Sequence[str]) -> Erased:
    """Erase events of an owner; of those being sent, only request the cancellation.

    Redis: erase_events, in batches, atomic per event.
    """
    replies: list[bytes] = []
    for ids in batches(event_ids, EVENTS_AT_ONCE):
        replies += cell.call("erase_events", {"owner": owner}, ids)
    return Erased(replies.count(b"erased"), replies.count(b"running"))


def delete_templates(cell: Cell, names: Iterable[str]) -> None:
    """Delete templates, given as in `keys.superseded`. One round trip."""
    with cell.client.pipeline(transaction=False) as pipe:
        for name in names:
            schedule_id, _, revision = name.partition(":")
            pipe.unlink(keys.template(cell.prefix, schedule_id, revision))
            pipe.zrem(keys.superseded(cell.prefix), name)
        pipe.execute()


def scan(cell: Cell, pattern: str) -> Iterator[str]:
    """Yield the keys that match a pattern. Redis: a scan of all keys."""
    found = cell.client.scan_iter(match=pattern, count=KEYS_AT_ONCE)
    return (name.decode() for name in found)


def scan_templates(cell: Cell, schedule_id: str = "*") -> Iterator[str]:
    """Yield the templates of a schedule, or of all, as in `keys.superseded`."""
    start = keys.template(cell.prefix, "", "").removesuffix(":")
    pattern = keys.template(cell.prefix, schedule_id, "*")
    return (name.removeprefix(start) for name in scan(cell, pattern))
