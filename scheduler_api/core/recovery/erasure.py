"""Erases an event, or a schedule with all its occurrences, from the store.

Every step is small and may be repeated. After an interruption, call the method again to
continue. An event that is being sent is cancelled, and erased only when its attempt has
ended.
"""

from collections.abc import Iterator, Sequence
from scheduler_api.core.batches import batches
from scheduler_api.core.model import Owner
from scheduler_api.core.recovery.deletion import (
    KEYS_AT_ONCE,
    Erased,
    delete_templates,
    erase_events,
    scan,
    scan_templates,
)
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import Cancelled, EventStore
from typing import cast

JOURNAL_AT_ONCE = 1_000
# How long an interrupted erasure of a schedule can be continued.
UNFINISHED_FOR_S = 30 * 86_400
BEING_SENT = (Cancelled.REQUESTED, Cancelled.ALREADY_REQUESTED)


class Erasure:
    """Erases events and schedules of one cell."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._client = cell.client
        self._prefix = cell.prefix

    def forget_event(self, owner: Owner, event_id: str) -> Erased:
        """Erase an event, its callbacks, and the events of its URL group.

        Redis: two scans of all keys, a read of the owner's journal, and erase_events.
        """
        return self._forget(owner, event_id, is_schedule=False)

    def forget_schedule(self, owner: Owner, schedule_id: str, *, name: str) -> Erased:
        """Erase a schedule with all its occurrences and their events.

        The schedule itself is deleted first, so that it creates no more occurrences.

        Redis: as `forget_event`, write_small, and delete_schedule.

        Args:
            name: `unfinished` finds the schedule by this text until it is erased.
        """
        unfinished = keys.erasing(self._prefix, str(owner), schedule_id)
        remember = ("SET", unfinished, name, "EX", UNFINISHED_FOR_S)
        self._cell.write_small(remember)
        options = {"id": schedule_id, "owner": str(owner), "read_revision": ""}
        self._cell.call("delete_schedule", options)
        erased = self._forget(owner, schedule_id, is_schedule=True)
        if not erased.running:
            self._client.delete(unfinished)
        return erased

    def unfinished(self, name: str) -> Iterator[tuple[Owner, str]]:
        """Yield owner and id of each schedule that is only partly erased.

        Redis: a scan of all keys.
        """
        start = keys.erasing(self._prefix, "", "").removesuffix(":")
        for key in scan(self._cell, f"{start}*"):
            if self._client.get(key) == name.encode():
                tenant, dialect, schedule_id = key.removeprefix(start).split(":")
                yield Owner(tenant, dialect), schedule_id

    def _descendants(self, event_id: str) -> list[str]:
        """Return the ids of events whose ids begin with this id and a dot."""
        start = keys.event(self._prefix, "")
        pattern = keys.event(self._prefix, f"{event_id}.*")
        return [key.removeprefix(start) for key in scan(self._cell, pattern)]

    def _forget(self, owner: Owner, name: str, *, is_schedule: bool) -> Erased:
        """Erase events and what refers to them.

        Their records are deleted last: while they exist, the call can be repeated.

        Args:
            name: the id of an event or a schedule.
        """
        event_ids, running = self._cancel_family(owner, name, is_schedule=is_schedule)
        if running:
            return Erased(0, running)
        self._delete_deduplication(owner, {*event_ids, name})
        self._delete_journal_entries(owner, {*event_ids})
        if is_schedule:
            delete_templates(self._cell, scan_templates(self._cell, name))
        return erase_events(self._cell, str(owner), event_ids)

    def _cancel_family(
        self, owner: Owner, name: str, *, is_schedule: bool
    ) -> tuple[list[str], int]:
        """Cancel an event or the occurrences of a schedule, and their descendants.

        An event that has just ended may have created callbacks, so the search is
        repeated until it finds nothing new. Returns all ids, an event's own id last,
        and how many events are being sent.
        """
        # A dict keeps the order; the ids that are found first come last.
        cancelled: dict[str, None] = {}
        found = self._descendants(name) if is_schedule else [name]
        running = 0
        while found:
            running += self._cancel(owner, found)
            cancelled = dict.fromkeys([*found, *cancelled])
            found = [each for each in self._descendants(name) if each not in cancelled]
        return [*cancelled], running

    def _cancel(self, owner: Owner, event_ids: Sequence[str]) -> int:
        """Cancel events; return how many of them are being sent."""
        results = EventStore(self._cell).cancel(owner, event_ids)
        return sum(result in BEING_SENT for result in results)

    def _delete_deduplication(self, owner: Owner, event_ids: set[str]) -> None:
        pattern = keys.deduplication(self._prefix, str(owner), "*")
        for names in batches(scan(self._cell, pattern), KEYS_AT_ONCE):
            values = cast(list[bytes | None], self._client.mget(names))
            stored = zip(names, values, strict=True)
            found = [
                name
                for name, value in stored
                if value and value.decode().partition(" ")[0] in event_ids
            ]
            if found:
                self._client.unlink(*found)

    def _delete_journal_entries(self, owner: Owner, event_ids: set[str]) -> None:
        key, start = keys.journal(self._prefix, str(owner)), "-"
        while True:
            found = cast(
                list[tuple[bytes, dict[bytes, bytes]]],
                self._client.xrange(key, start, "+", count=JOURNAL_AT_ONCE),
            )
            if not found:
                return
            entries = [n for n, fields in found if fields[b"e"].decode() in event_ids]
            if entries:
                self._client.xdel(key, *entries)
            start = f"({found[-1][0].decode()}"
