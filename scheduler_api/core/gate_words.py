"""How gates are named, and how a new event tells the scripts of its own. Pure.

A gate's name is its kind, its owner and what its owner calls it, percent-encoded.
"""

from scheduler_api.core.model import FlowLimits, Gates, Owner
from urllib.parse import quote, unquote

QUEUE, FLOW = "q", "f"


def queue_gate(owner: Owner, name: str) -> str:
    """The gate of an owner's queue."""
    return f"{QUEUE}:{owner}:{encoded(name)}"


def flow_gate(owner: Owner, key: str) -> str:
    """The gate of an owner's flow-control key."""
    return f"{FLOW}:{owner}:{encoded(key)}"


def encoded(name: str) -> str:
    """A name as it stands in a gate's: no blank, comma or line break in it."""
    return quote(name, safe="")


def decoded(name: bytes) -> str:
    """What `encoded` wrote."""
    return unquote(name.decode())


def words(owner: Owner, gates: Gates) -> str:
    """The gates of an event in the order of their checks, with the limits it brings."""
    found = []
    if gates.queue:
        found.append(f"{queue_gate(owner, gates.queue)},,,")
    if gates.flow is not None:
        found.append(_limited(flow_gate(owner, gates.flow.key), gates.flow))
    return " ".join(found)


def read(text: str) -> Gates:
    """What `words` wrote.

    Raises: ValueError.
    """
    queue, flow = "", None
    for word in text.split():
        gate, *limits = word.split(",")
        kind, name = gate.partition(":")[0], gate.rpartition(":")[2]
        if kind == QUEUE:
            queue = unquote(name)
        elif kind == FLOW:
            parallelism, rate, period_ms = (int(limit or 0) for limit in limits)
            flow = FlowLimits(
                unquote(name), parallelism or None, rate or None, period_ms
            )
    return Gates(queue, flow)


def _limited(gate: str, limits: FlowLimits) -> str:
    parallelism, rate = limits.parallelism or "", limits.rate or ""
    return f"{gate},{parallelism},{rate},{limits.period_ms}"
