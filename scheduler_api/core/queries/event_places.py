"""Reads where an event is: its queue, its flow-control key, the gate it waits at."""

from dataclasses import dataclass
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.gate_names import FLOW, QUEUE, decode_name
from scheduler_api.core.store.records import EVENT
from typing import cast

FIELDS = EVENT.codes("gates", "waits_at", "token")


@dataclass(frozen=True)
class Place:
    """Where an event is.

    Attributes:
        queue, flow_key: '' if the event has none.
        waits_at: the gate at which it waits, '' if it does not.
        is_claimed: whether it is passed to the workers, or an attempt runs.
        is_sent: whether an attempt runs.
    """

    queue: str
    flow_key: str
    waits_at: str
    is_claimed: bool
    is_sent: bool


def read_place(cell: Cell, event_id: str) -> Place:
    """Return the place of an event. Redis: one round trip."""
    pipe = cell.client.pipeline(transaction=False)
    pipe.hmget(keys.event(cell.prefix, event_id), FIELDS)
    # Events with gates, such as a queue, have a ~ in front.
    pipe.zmscore(keys.leased(cell.prefix), [event_id, f"~{event_id}"])
    found, leases = cast(tuple[list[bytes | None], list[object]], pipe.execute())
    gates, waits_at, token = ((each or b"").decode() for each in found)
    names = dict.fromkeys((QUEUE, FLOW), "")
    for gate in gates.split():
        kind, _, rest = gate.partition(":")
        if kind in names:
            names[kind] = decode_name(rest.rpartition(":")[2].encode())
    return Place(
        names[QUEUE],
        names[FLOW],
        waits_at,
        is_claimed=any(lease is not None for lease in leases),
        is_sent=token != "",
    )
