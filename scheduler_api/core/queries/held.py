"""What is held, by which gate, and how much."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from scheduler_api.core.model import Owner
from scheduler_api.core.store import gate_names, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.gate_names import (
    DESTINATION,
    FLOW,
    NEW_ROUTES,
    QUEUE,
    SLOW_END,
    TENANT,
)
from scheduler_api.core.store.owned_keys import is_gate_of
from scheduler_api.core.store.reads import execute_reads
from scheduler_api.core.store.records import GATE
from typing import Any, cast

# The kind of the gate where a tenant's events wait for workers with room.
SLOW = "slow"
# How many gates, and how many owners of gates, are examined.
MAX_GATES, MAX_OWNERS = 500, 50
LISTED = 10
FIELDS = (
    *("paused_ms", "breaker", "since_ms", "cause", "url", "origin"),
    "parallelism",
)


@dataclass(frozen=True)
class Waiters:
    """The events that wait at one gate.

    Attributes:
        kind: the first letter of the name of the gate (`gate_names`), or SLOW.
        name: of a queue or flow-control key; the URL of an origin or route; else ''.
        owner: of a queue or a flow-control key; else None.
        tenant: whose events wait; '' at a gate of all tenants.
        events: how many events wait; in a queue, whether they are due or not.
        is_failing: whether the breaker of the origin or route is not closed.
        cause: why attempts there fail, or ''.
        since_ms: when the gate was paused, or its breaker changed its state.
    """

    kind: str
    name: str
    owner: Owner | None
    tenant: str
    events: int
    is_paused: bool = False
    is_failing: bool = False
    cause: str = ""
    since_ms: int | None = None


@dataclass(frozen=True)
class Held:
    """The gates at which events wait.

    Attributes:
        fullest: up to ten gates, those with most events first.
        gates, events: how many there are in all.
        by_kind: how many events wait, by `Waiters.kind`.
        is_complete: whether all gates were examined.
    """

    fullest: Sequence[Waiters]
    gates: int
    events: int
    by_kind: Counter[str]
    is_complete: bool


def held(cell: Cell, tenant: str | None, owners: Sequence[Owner]) -> Held:
    """Return what waits at gates. Redis: up to four round trips, not atomic.

    Args:
        tenant: None for all tenants.
        owners: those of the tenant.
    """
    if tenant is None:
        key = keys.owners(cell.prefix)
        found = cast(list[bytes], cell.client.srandmember(key, MAX_OWNERS + 1))
        owners = [Owner.parse(each.decode()) for each in found]
    gates = list(dict.fromkeys(_gates(cell, tenant, owners[:MAX_OWNERS])))
    fullest = sorted(
        (each for each in _read(cell, gates[:MAX_GATES]) if each.events),
        key=lambda each: -each.events,
    )
    by_kind = Counter[str]()
    for each in fullest:
        by_kind[each.kind] += each.events
    return Held(
        fullest[:LISTED],
        len(fullest),
        by_kind.total(),
        by_kind,
        is_complete=len(gates) <= MAX_GATES and len(owners) <= MAX_OWNERS,
    )


def at_gate(cell: Cell, gate: str) -> Waiters:
    """Return what waits at one gate, and what holds it back. Redis: two round trips."""
    [waiters] = _read(cell, [gate], empty=True)
    return waiters


def _gates(cell: Cell, tenant: str | None, owners: Sequence[Owner]) -> Iterator[str]:
    """Yield the gates at which events may wait, some more than once."""
    prefix, pipe = cell.prefix, cell.client.pipeline(transaction=False)
    pattern = gate_names.destination_gate(tenant or "*", "*")
    pipe.hscan(keys.held_destinations(prefix), 0, match=pattern, count=MAX_GATES)
    pipe.srandmember(keys.waiting_gates(prefix), MAX_GATES + 1)
    for owner in owners:
        pipe.zrevrange(keys.queues(prefix, str(owner)), 0, MAX_GATES)
        pipe.zrevrange(keys.flow_keys(prefix, str(owner)), 0, MAX_GATES)
    (_, destinations), waiting, *indexes = pipe.execute()
    yield from map(bytes.decode, destinations)
    for gate in map(bytes.decode, waiting):
        if tenant is None or is_gate_of(tenant, gate):
            yield gate
    if tenant is not None:
        limit = gate_names.tenant_gate(tenant)
        yield from (limit, limit + SLOW_END)
    kinds = ((owner, kind) for owner in owners for kind in (QUEUE, FLOW))
    for (owner, kind), names in zip(kinds, indexes, strict=True):
        yield from (f"{kind}:{owner}:{name.decode()}" for name in names)


def _read(
    cell: Cell, gates: Sequence[str], *, empty: bool = False
) -> Iterator[Waiters]:
    """Yield the gates with events, and what holds these back.

    Args:
        empty: whether to yield gates without events too.
    """
    prefix, pipe = cell.prefix, cell.client.pipeline(transaction=False)
    for gate in gates:
        line = keys.order if _is_queue(gate) else keys.waiters
        pipe.zcard(line(prefix, gate))
    counts = zip(gates, execute_reads(pipe), strict=True)
    used = {
        gate: count
        for gate, count in counts
        if isinstance(count, int) and (count or empty)
    }
    for gate in used:
        record = keys.queue if _is_queue(gate) else keys.gate
        name = record(prefix, gate.removesuffix(NEW_ROUTES))
        pipe.hmget(name, GATE.codes(*FIELDS))
    for (gate, count), values in zip(used.items(), execute_reads(pipe), strict=True):
        yield _describe(gate, count, values if isinstance(values, list) else [])


def _describe(gate: str, count: int, values: Sequence[bytes | None]) -> Waiters:
    pairs = zip(FIELDS, values, strict=bool(values))
    record: dict[str, Any] = {name: value.decode() for name, value in pairs if value}
    kind, _, rest = gate.partition(":")
    tenant = rest.partition(":")[0]
    owner, name = None, ""
    if kind in (QUEUE, FLOW):
        of, _, encoded = rest.rpartition(":")
        owner, name = Owner.parse(of), gate_names.decode_name(encoded.encode())
    elif kind == DESTINATION:
        name = record.get("url") or record.get("origin") or ""
    is_paused = "paused_ms" in record
    if kind == QUEUE and not is_paused:
        count = max(0, count - int(record.get("parallelism", 1)))
    return Waiters(
        kind=SLOW if gate.endswith(SLOW_END) and kind == TENANT else kind,
        name=name,
        owner=owner,
        tenant=tenant if is_gate_of(tenant, gate) else "",
        events=count,
        is_paused=is_paused,
        is_failing="breaker" in record,
        cause=record.get("cause", ""),
        since_ms=_integer(record.get("paused_ms") or record.get("since_ms")),
    )


def _is_queue(gate: str) -> bool:
    return gate.startswith(f"{QUEUE}:")


def _integer(text: str | None) -> int | None:
    return int(text) if text else None
