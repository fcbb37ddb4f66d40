"""Pauses, resumes and lists destinations that hold events back."""

from dataclasses import dataclass
from scheduler_api.core.delivery.destinations import BadDestination, Destination, parse
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.flow_control.gates import Fields, set_gate
from scheduler_api.core.model import Owner
from scheduler_api.core.store import gate_names, keys
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import read_event
from scheduler_api.core.store.records import EVENT, GATE
from typing import cast

HELD = GATE.codes("origin", "paused_ms", "closed_until_ms")


@dataclass(frozen=True)
class HeldDestination:
    """A destination that is paused, failing, or using its full share of a worker.

    A pause stores `origin`. If no origin is stored, `origin` is that of the first
    waiting event, or None if this event is missing or unreadable. `paused_ms` is the
    time of the pause. `probe_ms` is the time at which an open breaker admits the next
    attempt.
    """

    tenant: str
    origin: str | None
    waiting: int
    running: int
    paused_ms: int | None
    probe_ms: int | None


class HeldDestinations:
    """The held destinations of one cell."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def set_paused(
        self,
        tenant: str,
        destination: Destination,
        *,
        paused: bool,
        change: Change | None = None,
    ) -> None:
        """Pause a destination of a tenant, or resume it.

        During the pause, events that have not begun wait, and attempts in progress
        continue. Afterwards the waiting events proceed, oldest first. Redis: set_gate,
        atomic.

        Raises: NotFound (the destination to resume is not held).
        """
        origin = str(destination.origin)
        gate = gate_names.destination_gate(
            tenant, gate_names.destination_digest(origin)
        )
        fields: Fields = {"origin": origin} if paused else {}
        limit = 0 if paused else None
        if not set_gate(
            self._cell, gate, fields, paused=paused, limit=limit, change=change
        ):
            raise NotFound

    def all(self) -> list[HeldDestination]:
        """All held destinations of the cell.

        Redis: several reads for each destination, not atomic.
        """
        key = keys.held_destinations(self._cell.prefix)
        found = cast(dict[bytes, bytes], self._cell.client.hgetall(key))
        return [self._read(gate.decode()) for gate in found]

    def _read(self, gate: str) -> HeldDestination:
        prefix, pipe = self._cell.prefix, self._cell.client.pipeline(transaction=False)
        pipe.zrange(keys.waiters(prefix, gate), 0, 0)
        pipe.zcard(keys.waiters(prefix, gate))
        pipe.scard(keys.holders(prefix, gate))
        pipe.hmget(keys.gate(prefix, gate), HELD)
        first, waiting, running, (origin, paused, probe) = pipe.execute()
        found = origin.decode() if origin else None
        if found is None and first:
            found = self._origin_of(first[0].decode())
        return HeldDestination(
            tenant=gate.split(":")[1],
            origin=found,
            waiting=waiting,
            running=running,
            paused_ms=int(paused) if paused and paused.isdigit() else None,
            probe_ms=int(probe) if probe and probe.isdigit() else None,
        )

    def _origin_of(self, event_id: str) -> str | None:
        key = keys.event(self._cell.prefix, event_id)
        owner = cast(bytes | None, self._cell.client.hget(key, EVENT.code("owner")))
        if owner is None:
            return None
        try:
            event = read_event(self._cell, Owner.parse(owner.decode()), event_id)
            return str(parse(event.content.url).origin)
        except (BadDestination, NotFound, UnreadableRecord):
            return None
