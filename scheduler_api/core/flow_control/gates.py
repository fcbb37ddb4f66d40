"""Changes the settings of gates: queues, flow-control keys and destinations.

The Lua functions of the store decide which events a gate holds back.
"""

from scheduler_api.core.errors import LimitReached
from scheduler_api.core.model import Owner
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.gate_names import encode_name

# Replies of set_gate; 0 means that the gate does not exist.
DONE, LIMIT_REACHED = 1, 2
Fields = dict[str, str | int]


def set_gate(
    cell: Cell,
    gate: str,
    fields: Fields,
    *,
    limit: int | None,
    paused: bool | None = None,
    reset: bool = False,
    owner: Owner | str = "",
    name: str = "",
) -> bool:
    """Set fields of a gate; '' removes a field. Return whether the gate exists.

    Events that the new values admit proceed at once. Redis: set_gate, atomic.

    Args:
        paused: True pauses the gate, False resumes the gate, None changes nothing.
        reset: whether to reset the count of the current rate period.
        limit: the maximum number of gates of this kind that the owner may have, checked
            before a missing gate is created; 0 means unlimited. None: do not create a
            missing gate.

    Raises: LimitReached.
    """
    pairs = [word for pair in fields.items() for word in pair]
    options: dict[str, object] = {
        "gate": gate,
        "owner": str(owner),
        "name": encode_name(name),
        "reset": reset,
    }
    if limit is not None:
        options["limit"] = limit
    if paused is not None:
        options["paused"] = paused
    code = cell.call("set_gate", options, pairs)
    if code == LIMIT_REACHED:
        raise LimitReached(gate)
    return bool(code == DONE)
