"""What queues, flow-control keys and destinations share: a gate is set by one script.

What a gate holds back, and when that goes on, is decided by the scripts alone.
"""

from scheduler_api.core.errors import NoRoom
from scheduler_api.core.model import Owner
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.gate_names import encoded
from typing import cast

# What gate_set.lua answers, besides 0: there is no such gate.
DONE, NO_ROOM = 1, 2
Fields = dict[str, str | int]


def set_gate(
    cell: Cell,
    gate: str,
    fields: Fields,
    *,
    most: int | None,
    owner: Owner | str = "",
    name: str = "",
) -> bool:
    """Set fields of a gate, '' removes one; answer whether there is such a gate.

    What may go on by the new fields goes on at once. Redis: gate_set.lua, atomic.

    Args:
        most: how many gates of its kind the owner may have if this one has to be made,
            0 is no limit; None: it is not made.

    Raises: NoRoom.
    """
    pairs = [word for pair in fields.items() for word in pair]
    made = "" if most is None else most
    words = (gate, str(owner), encoded(name), made, *pairs)
    code = cast(int, cell.run("gate_set", *words))
    if code == NO_ROOM:
        raise NoRoom(gate)
    return code == DONE
