"""Finds what else holds events back after a gate or a schedule was resumed."""

from collections.abc import Iterable
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Gates, Owner, Schedule
from scheduler_api.core.store import gate_names, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import read_event
from scheduler_api.core.store.records import CLOSING, EVENT
from typing import cast

WAITING = EVENT.codes("gates", "waits_at")


class Holding:
    """Names the gates that hold events back. Redis: some reads, not atomic."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._client = cell.client
        self._prefix = cell.prefix

    def first_waiter(self, gate: str) -> str | None:
        """Return the id of the first event of a queue, or of the first at a gate."""
        is_queue = gate.startswith(f"{gate_names.QUEUE}:")
        line = keys.order if is_queue else keys.waiters
        found = cast(list[bytes], self._client.zrange(line(self._prefix, gate), 0, 0))
        return found[0].decode() if found else None

    def of_event(self, owner: Owner, event_id: str | None, *, besides: str) -> str:
        """Return what holds an event, besides one gate; '' if nothing does."""
        gate, url = self.gate_of_event(owner, event_id, besides=besides)
        return _readable(gate, url)

    def gate_of_event(
        self, owner: Owner, event_id: str | None, *, besides: str = ""
    ) -> tuple[str, str]:
        """Return the gate that holds an event, '' for none, and the URL of the event.

        Args:
            besides: a gate that does not count.
        """
        if event_id is None:
            return "", ""
        try:
            url = read_event(self._cell, owner, event_id).content.url
        except (NotFound, UnreadableRecord):
            return "", ""
        key = keys.event(self._prefix, event_id)
        names, line = cast(list[bytes | None], self._client.hmget(key, WAITING))
        gates = [gate for gate in _text(names).split() if gate != besides]
        others = [*_destinations(owner, url), *gates]
        waits_at = _text(line) if _text(line) in gates else ""
        return self._first_closed(others) or waits_at, url

    def of_schedule(self, schedule: Schedule) -> str:
        """Return what would hold the events of a schedule; '' if nothing would."""
        return _readable(self.gate_of_schedule(schedule), schedule.content.url)

    def gate_of_schedule(self, schedule: Schedule) -> str:
        """Return the gate that would hold the events of a schedule, '' for none."""
        url, owner = schedule.content.url, schedule.owner
        gates = [*_named(owner, schedule.options.gates), *_destinations(owner, url)]
        return self._first_closed(gates)

    def _first_closed(self, gates: Iterable[str]) -> str:
        """Return the first gate that is paused or has a breaker that is not closed."""
        names = list(dict.fromkeys(gates))
        pipe = self._client.pipeline(transaction=False)
        for gate in names:
            is_queue = gate.startswith(f"{gate_names.QUEUE}:")
            record = keys.queue if is_queue else keys.gate
            pipe.hmget(record(self._prefix, gate), CLOSING)
        replies = zip(names, pipe.execute(), strict=True)
        return next((gate for gate, found in replies if any(found)), "")


def _named(owner: Owner, gates: Gates) -> list[str]:
    queue = [gate_names.queue_gate(owner, gates.queue)] if gates.queue else []
    flow = [] if gates.flow is None else [gate_names.flow_gate(owner, gates.flow.key)]
    return queue + flow


def _destinations(owner: Owner, url: str) -> list[str]:
    """Return the gates of the origin and the route of a URL."""
    digest = gate_names.route_digest(url)
    if not digest:
        return []
    origin = gate_names.destination_gate(owner.tenant, digest.partition(".")[0])
    return [origin, gate_names.destination_gate(owner.tenant, digest)]


def _readable(gate: str, url: str) -> str:
    kind, _, rest = gate.partition(":")
    name = gate_names.decode_name(rest.rpartition(":")[2].encode())
    match kind:
        case gate_names.QUEUE:
            return f"queue {name}"
        case gate_names.FLOW:
            return f"flow control key {name}"
        case gate_names.DESTINATION:
            return gate_names.readable_gate(gate, url) or ""
    return "a limit of concurrent deliveries" if gate else ""


def _text(value: bytes | None) -> str:
    return (value or b"").decode()
