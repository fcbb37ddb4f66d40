"""Pauses and resumes origins; lists the origins and routes that hold events back."""

from collections.abc import Sequence
from dataclasses import dataclass
from scheduler_api.core.delivery.destinations import Destination
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.flow_control import waiting
from scheduler_api.core.flow_control.gates import Fields, set_gate
from scheduler_api.core.flow_control.waiting import Waiting
from scheduler_api.core.store import gate_names, keys
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import owner_of_event, read_event
from scheduler_api.core.store.records import GATE, SLOWED_BREAKER
from typing import Any, cast

HELD = (
    *("origin", "url", "paused_ms", "breaker", "since_ms", "cause", "failed_ms"),
    *("closed_until_ms", "probes_failed", "ramp_since_ms"),
)
FAILING = ("url", "breaker", "since_ms", "cause")
PAGE_SIZE = 50
OPEN, HALF_OPEN, PROBE_FAILED = "open", "half-open", "probe failed"
SLOWED, CLOSED = "slowed", "closed"


@dataclass(frozen=True)
class HeldDestination:
    """An origin or route that is paused, failing, or using its full share of a worker.

    Attributes:
        url: the origin or route; None if it is unknown.
        state: the state of the breaker: `open`, `half-open` (a probe may be sent, or
            the rate rises after a success), `probe failed` (open, and the last probe
            failed), `slowed`, or `closed`.
        since_ms: since when the breaker is in this state.
        cause: how the last attempt failed.
        failed_ms: when the last attempt failed.
        probe_ms: when an open breaker admits the next attempt.
        paused_ms: the time of the pause.
    """

    tenant: str
    url: str | None
    state: str
    since_ms: int | None
    cause: str
    failed_ms: int | None
    probe_ms: int | None
    paused_ms: int | None
    waiting: int
    running: int


@dataclass(frozen=True)
class FailingDestination:
    """An origin or route whose breaker is not closed, and since when; see above."""

    tenant: str
    url: str
    cause: str
    since_ms: int


@dataclass(frozen=True)
class DestinationPage:
    """Some held destinations with what waits there; `next` is '' at the end."""

    rows: Sequence[tuple[HeldDestination, Waiting]]
    next: str


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
        """All held origins and routes of the cell, by tenant and URL.

        Redis: three round trips, three more for each without a stored URL; not atomic.
        """
        key = keys.held_destinations(self._cell.prefix)
        found = cast(list[bytes], self._cell.client.hkeys(key))
        read = self._read([gate.decode() for gate in found])
        return sorted(read, key=lambda held: (held.tenant, held.url or ""))

    def failing(self, *, limit: int) -> tuple[list[FailingDestination], bool]:
        """The origins and routes whose breakers are not closed; whether these are all.

        Redis: two round trips, not atomic.

        Args:
            limit: how many held origins and routes are examined.
        """
        key = keys.held_destinations(self._cell.prefix)
        gates = sorted(
            map(bytes.decode, cast(list[bytes], self._cell.client.hkeys(key)))
        )
        examined = gates[:limit]
        pipe = self._cell.client.pipeline(transaction=False)
        for gate in examined:
            pipe.hmget(keys.gate(self._cell.prefix, gate), GATE.codes(*FAILING))
        read = map(_failing, examined, pipe.execute())
        return [each for each in read if each is not None], len(gates) <= limit

    def page(self, tenant: str | None, *, after: str = "") -> DestinationPage:
        """The held origins and routes of a tenant that come next after a gate.

        Redis: five round trips, three more for each without a stored URL; not atomic.

        Args:
            tenant: None for those of all tenants.
            after: `next` of the page before.
        """
        found = cast(
            list[bytes],
            self._cell.client.hkeys(keys.held_destinations(self._cell.prefix)),
        )
        start = gate_names.destination_gate(tenant, "") if tenant else ""
        gates = sorted(name for name in map(bytes.decode, found) if name > after)
        wanted = [gate for gate in gates if gate.startswith(start)]
        chosen = wanted[:PAGE_SIZE]
        oldest = waiting.of_gates(self._cell, chosen)
        rows = zip(self._read(chosen), oldest, strict=True)
        return DestinationPage(
            sorted(rows, key=lambda row: (row[0].tenant, row[0].url or "")),
            chosen[-1] if len(wanted) > PAGE_SIZE else "",
        )

    def of_origin(self, tenant: str, destination: Destination) -> list[HeldDestination]:
        """The origin of a tenant and its routes, as far as they are held.

        Redis: like `all`.
        """
        digest = gate_names.destination_digest(str(destination.origin))
        gate = gate_names.destination_gate(tenant, digest)
        key = keys.held_destinations(self._cell.prefix)
        found = cast(list[bytes], self._cell.client.hkeys(key))
        names = sorted(name.decode() for name in found)
        return self._read(
            [name for name in names if name == gate or name.startswith(f"{gate}.")]
        )

    def _read(self, gates: Sequence[str]) -> list[HeldDestination]:
        now_ms, prefix = self._cell.now_ms(), self._cell.prefix
        pipe = self._cell.client.pipeline(transaction=False)
        for gate in gates:
            pipe.zrange(keys.waiters(prefix, gate), 0, 0)
            pipe.zcard(keys.waiters(prefix, gate))
            pipe.zcard(keys.waiters(prefix, f"{gate}{gate_names.NEW_ROUTES}"))
            pipe.scard(keys.holders(prefix, gate))
            pipe.hmget(keys.gate(prefix, gate), GATE.codes(*HELD))
        replies = pipe.execute()
        return [
            self._held(gate, replies[5 * n : 5 * n + 5], now_ms=now_ms)
            for n, gate in enumerate(gates)
        ]

    def _held(
        self, gate: str, replies: Sequence[Any], *, now_ms: int
    ) -> HeldDestination:
        first, waiting, waiting_new, running, values = replies
        record: dict[str, bytes] = {
            name: value for name, value in zip(HELD, values, strict=True) if value
        }
        url = record.get("url") or record.get("origin") or b""
        return HeldDestination(
            tenant=gate.split(":")[1],
            url=url.decode() or (self._url_of(gate, first[0]) if first else None),
            state=_state(record, now_ms),
            since_ms=_time(record, "since_ms"),
            cause=record.get("cause", b"").decode(),
            failed_ms=_time(record, "failed_ms"),
            probe_ms=_time(record, "closed_until_ms"),
            paused_ms=_time(record, "paused_ms"),
            waiting=waiting + waiting_new,
            running=running,
        )

    def _url_of(self, gate: str, waiter: bytes) -> str | None:
        """Return the URL of a gate, found by an event that waits there; or None."""
        event_id = waiter.decode()
        owner = owner_of_event(self._cell, event_id)
        if owner is None:
            return None
        try:
            event = read_event(self._cell, owner, event_id)
        except (NotFound, UnreadableRecord):
            return None
        return gate_names.readable_gate(gate, event.content.url)


def _failing(gate: str, values: Sequence[bytes | None]) -> FailingDestination | None:
    """Return a gate whose breaker is not closed, if its URL is known."""
    url, breaker, since_ms, cause = values
    if not (url and breaker):
        return None
    return FailingDestination(
        tenant=gate.split(":")[1],
        url=url.decode(),
        cause=(cause or b"").decode(),
        since_ms=int(since_ms or 0),
    )


def _state(record: dict[str, bytes], now_ms: int) -> str:
    if "breaker" not in record:
        return CLOSED
    if "ramp_since_ms" in record:
        return HALF_OPEN
    if record["breaker"] == SLOWED_BREAKER:
        return SLOWED
    if (_time(record, "closed_until_ms") or 0) <= now_ms:
        return HALF_OPEN
    return PROBE_FAILED if int(record.get("probes_failed", 0)) else OPEN


def _time(record: dict[str, bytes], name: str) -> int | None:
    value = record.get(name, b"")
    return int(value) if value.isdigit() else None
