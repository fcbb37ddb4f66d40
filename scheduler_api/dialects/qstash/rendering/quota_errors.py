"""How a tenant is told that it has as many of something as it may have."""

from scheduler_api.core.settings.limits import Room
from scheduler_api.core.store.gate_names import QUEUE
from scheduler_api.core.tenants.url_groups import GROUP

STATUS = 412


def sentence(named: str, room: Room) -> str:
    """What there is no room for, and what to do.

    Args:
        named: as `NoRoom` and `Verdict.NO_ROOM` name it.
    """
    if named == GROUP:
        return f"at most {room.groups} url groups are allowed: delete one first"
    if named.startswith(f"{QUEUE}:"):
        return f"at most {room.queues} queues are allowed: delete one first"
    forgotten = "unpin or resume one, or wait until one is forgotten"
    return f"at most {room.flows} flow control keys are allowed: {forgotten}"
