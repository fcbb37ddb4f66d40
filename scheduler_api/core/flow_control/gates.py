"""What queues, flow-control keys and destinations share: a gate is set by one function.

The functions of the store decide which events a gate holds back, and until when.
"""

from scheduler_api.core.errors import LimitReached
from scheduler_api.core.model import Owner
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.gate_names import encode_name

# What set_gate answers, besides 0: there is no such gate.
DONE, LIMIT_REACHED = 1, 2
Fields = dict[str, str | int]


def set_gate(
    cell: Cell,
    gate: str,
    fields: Fields,
    *,
    most: int | None,
    paused: bool | None = None,
    reset: bool = False,
    owner: Owner | str = "",
    name: str = "",
) -> bool:
    """Set fields of a gate, '' removes one; answer whether there is such a gate.

    Events that the new fields admit go on at once. Redis: set_gate, atomic.

    Args:
        paused: whether a person pauses it; None: as it is.
        reset: whether what has begun in this period is forgotten.
        most: how many gates of its kind the owner may have if this one has to be made,
            0 is no limit; None: it is not made.

    Raises: LimitReached.
    """
    pairs = [word for pair in fields.items() for word in pair]
    options: dict[str, object] = {
        "gate": gate,
        "owner": str(owner),
        "name": encode_name(name),
        "reset": reset,
    }
    if most is not None:
        options["most"] = most
    if paused is not None:
        options["paused"] = paused
    code = cell.call("set_gate", options, pairs)
    if code == LIMIT_REACHED:
        raise LimitReached(gate)
    return bool(code == DONE)
