"""Erases a tenant with everything that it has.

Every step is small and may be repeated. After an interruption, start the removal again
to continue. Events that are being sent are cancelled, and erased only when their
attempts have ended.
"""

from collections.abc import Iterator, Sequence
from scheduler_api.core.batches import batches
from scheduler_api.core.model import FINAL_STATES, State
from scheduler_api.core.recovery.deletion import (
    EVENTS_AT_ONCE,
    KEYS_AT_ONCE,
    Erased,
    delete_templates,
    erase_events,
    scan,
    scan_templates,
)
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.owned_keys import belongs_to, is_gate_of
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.tokens import CACHED_S
from typing import cast

# For how long processes may accept the tokens of a tenant after they were deleted.
TOKENS_CACHED_MS = int(CACHED_S * 1_000) + 1_000
# How many rounds in a row must find nothing that could store further events or reports.
IDLE_ROUNDS = 2
NO_TTL = -1


class TenantRemoval:
    """Removes tenants of one cell."""

    def __init__(self, cell: Cell, tenants: Tenants) -> None:
        self._cell = cell
        self._client = cell.client
        self._prefix = cell.prefix
        self._tenants = tenants

    def remove(self, tenant_id: str, *, by: str) -> Iterator[int]:
        """Erase a tenant with everything that it has.

        Yields, at the end of each round, how many events are being sent. The caller
        waits a moment before the next round. The generator ends when the tenant is
        gone, at the earliest `TOKENS_CACHED_MS` after its tokens were deleted.

        Args:
            by: who removes the tenant, for the audit log.
        """
        began_ms = self._tenants.begin_removal(tenant_id, by=by)
        idle_rounds = 0
        while idle_rounds < IDLE_ROUNDS:
            tokens_cached = self._cell.now_ms() < began_ms + TOKENS_CACHED_MS
            owners = self._tenants.stored_owners(tenant_id)
            found = [erased for owner in owners for erased in self._erase_owner(owner)]
            running = sum(erased.running for erased in found)
            is_idle = not (tokens_cached or running or any(e.events for e in found))
            idle_rounds = idle_rounds + 1 if is_idle else 0
            yield running
        self._delete_gates(tenant_id)
        self._delete_keys(tenant_id)
        self._delete_orphaned_templates()
        self._tenants.end_removal(tenant_id)

    def _erase_owner(self, owner: str) -> list[Erased]:
        """Erase all schedules and events."""
        self._delete_schedules(owner)
        active = keys.by_time(self._prefix, owner, State.ACTIVE)
        finished = [keys.finished(self._prefix, owner, each) for each in FINAL_STATES]
        return [self._erase_indexed(owner, index) for index in (active, *finished)]

    def _erase_indexed(self, owner: str, index: str) -> Erased:
        events = running = 0
        # Events that are being sent remain in the index, before those not read yet.
        while ids := self._members(index, start=running):
            erased = erase_events(self._cell, owner, ids)
            events += erased.events
            running += erased.running
        return Erased(events, running)

    def _delete_schedules(self, owner: str) -> None:
        index = keys.schedules(self._prefix, owner)
        while ids := self._members(index):
            for schedule_id in ids:
                options = {"id": schedule_id, "owner": owner, "read_revision": ""}
                self._cell.call("delete_schedule", options)
            self._delete_unreadable(index, ids)

    def _members(self, index: str, *, start: int = 0) -> list[str]:
        """Return the next members of an index."""
        members = self._client.zrange(index, start, start + EVENTS_AT_ONCE - 1)
        return [member.decode() for member in cast(list[bytes], members)]

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

    def _delete_gates(self, tenant_id: str) -> None:
        """Remove the tenant's gates from the sets that all tenants share."""
        prefix = self._prefix
        gates = {gate for gate in self._shared_gates() if is_gate_of(tenant_id, gate)}
        for batch in batches(gates, KEYS_AT_ONCE):
            members = [f"g:{gate}" for gate in batch]
            with self._client.pipeline(transaction=False) as pipe:
                pipe.zrem(keys.due(prefix), *members)
                pipe.srem(keys.waiting_gates(prefix), *batch)
                pipe.hdel(keys.held_destinations(prefix), *batch)
                pipe.zrem(keys.routes(prefix), *batch)
                pipe.zrem(keys.quarantine(prefix), *members)
                pipe.hdel(keys.quarantine_reasons(prefix), *members)
                pipe.execute()

    def _shared_gates(self) -> Iterator[str]:
        """Yield the gates in the sets that all tenants share; some come repeatedly."""
        prefix, client, count = self._prefix, self._client, KEYS_AT_ONCE
        for place in (keys.due, keys.quarantine):
            members = client.zscan_iter(place(prefix), match="g:*", count=count)
            yield from (member.decode()[2:] for member, _ in members)
        for gate in client.sscan_iter(keys.waiting_gates(prefix), count=count):
            yield gate.decode()
        held = client.hscan_iter(keys.held_destinations(prefix), count=count)
        routes = client.zscan_iter(keys.routes(prefix), count=count)
        for found in (held, routes):
            yield from (gate.decode() for gate, _ in found)

    def _delete_keys(self, tenant_id: str) -> None:
        """Delete all keys that have the tenant in their names."""
        start = len(self._prefix)
        found = (
            name
            for name in scan(self._cell, f"{self._prefix}*")
            if belongs_to(tenant_id, name[start:])
        )
        for names in batches(found, KEYS_AT_ONCE):
            self._client.unlink(*names)

    def _delete_orphaned_templates(self) -> None:
        """Delete templates that neither a schedule nor an occurrence can use."""
        for names in batches(scan_templates(self._cell), KEYS_AT_ONCE):
            delete_templates(self._cell, self._orphaned(names))

    def _orphaned(self, templates: Sequence[str]) -> list[str]:
        """Return the orphaned ones of some templates.

        A template with a TTL belongs to a schedule that is being created.
        """
        with self._client.pipeline(transaction=False) as pipe:
            for template in templates:
                schedule_id, _, revision = template.partition(":")
                pipe.exists(keys.schedule(self._prefix, schedule_id))
                pipe.exists(keys.occurrences(self._prefix, schedule_id))
                pipe.pttl(keys.template(self._prefix, schedule_id, revision))
            replies = pipe.execute()
        rows = zip(templates, replies[::3], replies[1::3], replies[2::3], strict=True)
        return [
            template
            for template, schedule, occurrences, ttl_ms in rows
            if not schedule and not occurrences and ttl_ms == NO_TTL
        ]
