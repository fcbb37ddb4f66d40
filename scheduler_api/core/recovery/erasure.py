"""Erases an event, a schedule, or a whole tenant from the store.

Every step is small and may be repeated: after a crash, the same call goes on where it
was interrupted. An event that is being sent is cancelled, and erased only when its
attempt has ended.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from scheduler_api.core.batches import batches
from scheduler_api.core.ids import nonce
from scheduler_api.core.model import FINAL_STATES, Owner, State
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.owned_keys import belongs_to, is_gate_of
from scheduler_api.core.store.records import EVENT, SCHEDULE
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.tokens import CACHED_S
from typing import cast

EVENTS_AT_ONCE = 50
KEYS_AT_ONCE = 500
JOURNAL_AT_ONCE = 1_000
# After the tokens of a tenant are deleted, requests with these tokens may still store
# events for this long.
TOKENS_CACHED_MS = int(CACHED_S * 1_000) + 1_000
# How many rounds in a row must find nothing that could store further events or reports.
IDLE_ROUNDS = 2
# How long an interrupted erasure of a schedule can be continued.
UNFINISHED_FOR_S = 30 * 86_400
NO_TTL = -1


@dataclass(frozen=True)
class Erased:
    """What was erased; `running` counts events that are being sent, and remain."""

    events: int
    running: int


class Erasure:
    """Erases events, schedules and tenants of one cell."""

    def __init__(self, cell: Cell, tenants: Tenants) -> None:
        self.cell = cell
        self._client = cell.client
        self._prefix = cell.prefix
        self._tenants = tenants

    def owner_of_event(self, event_id: str) -> Owner | None:
        """Return the owner of an event, None if there is no such event."""
        key = keys.event(self._prefix, event_id)
        return self._owner(key, EVENT.code("owner"))

    def owner_of_schedule(self, schedule_id: str) -> Owner | None:
        """Return the owner of a schedule, None if there is no such schedule."""
        key = keys.schedule(self._prefix, schedule_id)
        return self._owner(key, SCHEDULE.code("owner"))

    def schedule_named(self, owner: Owner, name: str) -> str | None:
        """Return the id of the schedule with a name, None if there is none."""
        key = keys.names(self._prefix, str(owner))
        found = cast(bytes | None, self._client.hget(key, name))
        return None if found is None else found.decode()

    def forget_event(self, owner: Owner, event_id: str) -> Erased:
        """Erase an event, its callbacks, and the events of its URL group.

        Redis: two scans of all keys, a read of the owner's journal, and erase_events.
        """
        return self._forget(owner, event_id, is_schedule=False)

    def forget_schedule(self, owner: Owner, schedule_id: str, *, name: str) -> Erased:
        """Erase a schedule with all its occurrences and their events.

        The schedule itself is deleted first, so that it creates no more occurrences.

        Redis: as `forget_event`, and delete_schedule.

        Args:
            name: `unfinished` finds the schedule by this text until it is erased.
        """
        unfinished = keys.erasing(self._prefix, str(owner), schedule_id)
        self._client.set(unfinished, name, ex=UNFINISHED_FOR_S)
        options = {"id": schedule_id, "owner": str(owner), "read_revision": ""}
        self.cell.call("delete_schedule", options)
        erased = self._forget(owner, schedule_id, is_schedule=True)
        if not erased.running:
            self._client.delete(unfinished)
        return erased

    def unfinished(self, name: str) -> tuple[Owner, str] | None:
        """Return the owner and the id of a schedule that is only partly erased.

        Redis: a scan of all keys.
        """
        start = keys.erasing(self._prefix, "", "").removesuffix(":")
        for key in self._scan(f"{start}*"):
            if self._client.get(key) == name.encode():
                tenant, dialect, schedule_id = key.removeprefix(start).split(":")
                return Owner(tenant, dialect), schedule_id
        return None

    def remove_tenant(self, tenant_id: str, *, by: str) -> Iterator[int]:
        """Erase a tenant with everything that it has.

        Yields, at the end of each round, how many events are being sent. The caller
        waits a moment before the next round. The generator ends when the tenant is
        gone, at the earliest `TOKENS_CACHED_MS` after its tokens were deleted.
        """
        began_ms = self._tenants.begin_removal(tenant_id, by=by)
        idle_rounds = 0
        while idle_rounds < IDLE_ROUNDS:
            may_create = self.cell.now_ms() < began_ms + TOKENS_CACHED_MS
            found = [self._erase_owner(owner) for owner in self._owners(tenant_id)]
            running = sum(erased.running for erased in found)
            is_idle = not (may_create or running or any(each.events for each in found))
            idle_rounds = idle_rounds + 1 if is_idle else 0
            yield running
        self._delete_gates(tenant_id)
        self._delete_keys(tenant_id)
        self._delete_orphaned_templates()
        self._tenants.end_removal(tenant_id)

    def _owner(self, key: str, code: str) -> Owner | None:
        owner = cast(bytes | None, self._client.hget(key, code))
        return None if owner is None else Owner.parse(owner.decode())

    def _owners(self, tenant_id: str) -> list[str]:
        members = cast(set[bytes], self._client.smembers(keys.owners(self._prefix)))
        owners = sorted(member.decode() for member in members)
        return [owner for owner in owners if owner.split(":")[0] == tenant_id]

    def _descendants(self, event_id: str) -> list[str]:
        """Return the ids of events whose ids begin with this id and a dot."""
        start = keys.event(self._prefix, "")
        pattern = keys.event(self._prefix, f"{event_id}.*")
        return [key.removeprefix(start) for key in self._scan(pattern)]

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
            self._delete_templates(name)
        replies = self._erase(str(owner), event_ids)
        return Erased(replies.count(b"erased"), replies.count(b"running"))

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
        running = 0
        for ids in batches(event_ids, EVENTS_AT_ONCE):
            options = {"owner": str(owner), "change": nonce()}
            replies = self.cell.call("cancel_events", options, ids)
            running += replies.count(b"requested") + replies.count(b"already_requested")
        return running

    def _erase(self, owner: str, event_ids: Sequence[str]) -> list[bytes]:
        replies: list[bytes] = []
        for ids in batches(event_ids, EVENTS_AT_ONCE):
            replies += self.cell.call("erase_events", {"owner": owner}, ids)
        return replies

    def _erase_owner(self, owner: str) -> Erased:
        """Erase all schedules and events."""
        self._delete_schedules(owner)
        active = keys.by_time(self._prefix, owner, State.ACTIVE)
        finished = [keys.finished(self._prefix, owner, each) for each in FINAL_STATES]
        found = [self._erase_indexed(owner, index) for index in (active, *finished)]
        return Erased(
            sum(each.events for each in found), sum(each.running for each in found)
        )

    def _erase_indexed(self, owner: str, index: str) -> Erased:
        events = running = 0
        while True:
            members = self._client.zrange(index, running, running + EVENTS_AT_ONCE - 1)
            ids = [member.decode() for member in cast(list[bytes], members)]
            if not ids:
                return Erased(events, running)
            replies = self._erase(owner, ids)
            events += replies.count(b"erased")
            running += replies.count(b"running")

    def _delete_schedules(self, owner: str) -> None:
        index = keys.schedules(self._prefix, owner)
        while True:
            members = self._client.zrange(index, 0, EVENTS_AT_ONCE - 1)
            ids = [member.decode() for member in cast(list[bytes], members)]
            if not ids:
                return
            for schedule_id in ids:
                options = {"id": schedule_id, "owner": owner, "read_revision": ""}
                self.cell.call("delete_schedule", options)
            self._delete_unreadable(index, ids)

    def _delete_unreadable(self, index: str, schedule_ids: Sequence[str]) -> None:
        """Delete what `delete_schedule` left because a record was unreadable."""
        members = [f"s:{schedule_id}" for schedule_id in schedule_ids]
        with self._client.pipeline(transaction=False) as pipe:
            for place in (keys.due, keys.quarantine):
                pipe.zrem(place(self._prefix), *members)
            pipe.hdel(keys.quarantine_reasons(self._prefix), *members)
            pipe.zrem(keys.paused_schedules(self._prefix), *schedule_ids)
            pipe.unlink(*(keys.schedule(self._prefix, each) for each in schedule_ids))
            pipe.zrem(index, *schedule_ids)
            pipe.execute()

    def _delete_deduplication(self, owner: Owner, event_ids: set[str]) -> None:
        pattern = keys.deduplication(self._prefix, str(owner), "*")
        for names in batches(self._scan(pattern), KEYS_AT_ONCE):
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

    def _delete_gates(self, tenant_id: str) -> None:
        """Remove the tenant's gates from the sets that all tenants share."""
        prefix, client = self._prefix, self._client
        due = client.zscan_iter(keys.due(prefix), match="g:*", count=KEYS_AT_ONCE)
        found = {
            *(member[2:] for member, _ in due),
            *client.sscan_iter(keys.waiting_gates(prefix), count=KEYS_AT_ONCE),
            *(gate for gate, _ in client.hscan_iter(keys.held_destinations(prefix))),
            *(gate for gate, _ in client.zscan_iter(keys.routes(prefix))),
            *(
                member[2:]
                for member, _ in client.zscan_iter(keys.quarantine(prefix), match="g:*")
            ),
        }
        gates = [
            each for each in map(bytes.decode, found) if is_gate_of(tenant_id, each)
        ]
        for batch in batches(gates, KEYS_AT_ONCE):
            members = [f"g:{gate}" for gate in batch]
            with client.pipeline(transaction=False) as pipe:
                pipe.zrem(keys.due(prefix), *members)
                pipe.srem(keys.waiting_gates(prefix), *batch)
                pipe.hdel(keys.held_destinations(prefix), *batch)
                pipe.zrem(keys.routes(prefix), *batch)
                pipe.zrem(keys.quarantine(prefix), *members)
                pipe.hdel(keys.quarantine_reasons(prefix), *members)
                pipe.execute()

    def _delete_keys(self, tenant_id: str) -> None:
        """Delete all keys that have the tenant in their names."""
        start = len(self._prefix)
        found = (
            name
            for name in self._scan(f"{self._prefix}*")
            if belongs_to(tenant_id, name[start:])
        )
        for names in batches(found, KEYS_AT_ONCE):
            self._client.unlink(*names)

    def _delete_templates(self, schedule_id: str) -> None:
        start = f"{self._prefix}t:"
        names = self._scan(f"{start}{schedule_id}:*")
        self._delete_template_keys(name.removeprefix(start) for name in names)

    def _delete_template_keys(self, members: Iterable[str]) -> None:
        with self._client.pipeline(transaction=False) as pipe:
            for member in members:
                pipe.unlink(f"{self._prefix}t:{member}")
                pipe.zrem(keys.superseded(self._prefix), member)
            pipe.execute()

    def _delete_orphaned_templates(self) -> None:
        """Delete templates that neither a schedule nor an occurrence can use."""
        start = f"{self._prefix}t:"
        for names in batches(self._scan(f"{start}*"), KEYS_AT_ONCE):
            members = [name.removeprefix(start) for name in names]
            self._delete_template_keys(self._orphaned(members))

    def _orphaned(self, members: Sequence[str]) -> list[str]:
        """Return the orphaned ones of some templates.

        A template with a TTL belongs to a schedule that is being created.
        """
        with self._client.pipeline(transaction=False) as pipe:
            for member in members:
                schedule_id = member.partition(":")[0]
                pipe.exists(keys.schedule(self._prefix, schedule_id))
                pipe.exists(keys.occurrences(self._prefix, schedule_id))
                pipe.pttl(f"{self._prefix}t:{member}")
            replies = pipe.execute()
        rows = zip(members, replies[::3], replies[1::3], replies[2::3], strict=True)
        return [
            member
            for member, schedule, occurrences, ttl_ms in rows
            if not schedule and not occurrences and ttl_ms == NO_TTL
        ]

    def _scan(self, pattern: str) -> Iterator[str]:
        found = self._client.scan_iter(match=pattern, count=KEYS_AT_ONCE)
        return (name.decode() for name in found)
