"""Changes the settings of gates: queues, flow-control keys and destinations.

The Lua functions of the store decide which events a gate holds back.
"""

from scheduler_api.core.errors import LimitReached, StoreFull
from scheduler_api.core.model import Owner
from scheduler_api.core.store import audit
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.gate_names import encode_name

# The highest parallelism and rate, and the longest period of a rate.
MAX_LIMIT = 1_000_000_000
MAX_PERIOD_MS = 7 * 86_400_000
# Replies of set_gate; 0 means that the gate does not exist.
DONE, LIMIT_REACHED, FULL = 1, 2, 3
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
    change: Change | None = None,
) -> bool:
    """Set fields of a gate; the value '' removes a field.

    If the new values admit waiting events, the events proceed at once. Returns False
    if the gate does not exist and may not be created. Redis: set_gate, atomic.

    Args:
        paused: True pauses the gate, False resumes the gate, None changes nothing.
        reset: whether to reset the count of the current rate period.
        limit: how many gates of this kind the owner may have; 0 means unlimited. A
            missing gate is created only within this limit. None: a missing gate is not
            created.
        change: what the audit log records; None: the change is not by a person.

    Raises: LimitReached, StoreFull.
    """
    pairs = [word for pair in fields.items() for word in pair]
    options: dict[str, object] = {
        "gate": gate,
        "owner": str(owner),
        "name": encode_name(name),
        "reset": reset,
        **audit.options(change),
    }
    if limit is not None:
        options["limit"] = limit
    if paused is not None:
        options["paused"] = paused
    code = cell.call("set_gate", options, pairs)
    if code == LIMIT_REACHED:
        raise LimitReached(gate)
    if code == FULL:
        raise StoreFull
    return bool(code == DONE)
