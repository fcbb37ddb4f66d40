"""How gates are named, and how a new event spells its gates for the functions. Pure.

A gate's name is its kind, its owner and what its owner calls it, percent-encoded.
"""

import hashlib
import re
from functools import lru_cache
from scheduler_api.core.delivery.destinations import BadDestination, parse
from scheduler_api.core.model import FlowLimits, Gates, Owner
from scheduler_api.core.settings.limits import ANY_NUMBER, NO_CAPS, Caps, Room
from urllib.parse import quote, unquote

QUEUE, FLOW, DESTINATION, HOST = "q", "f", "d", "h"
TENANT, EVERYTHING = "t", "a"
DIGEST_LENGTH = 12

_PLACE = re.compile(r"[A-Za-z]+://[^/?#]+")


def queue_gate(owner: Owner, name: str) -> str:
    """The gate of an owner's queue."""
    return f"{QUEUE}:{owner}:{encoded(name)}"


def flow_gate(owner: Owner, key: str) -> str:
    """The gate of an owner's flow-control key."""
    return f"{FLOW}:{owner}:{encoded(key)}"


def destination_gate(tenant: str, digest: str) -> str:
    """The gate of a tenant's destination: no tenant shuts one for another."""
    return f"{DESTINATION}:{tenant}:{digest}"


def tenant_gate(tenant: str) -> str:
    """The gate of all that a tenant sends."""
    return f"{TENANT}:{tenant}"


def encoded(name: str) -> str:
    """A name as it stands in a gate's: no blank, comma or line break in it."""
    return quote(name, safe="")


def decoded(name: bytes) -> str:
    """What `encoded` wrote."""
    return unquote(name.decode())


def destination(url: str) -> str:
    """What scheme, host and port of a URL are known by, '' if it is none."""
    place = _PLACE.match(url)
    return "" if place is None else _digests(place[0])[0]


def host(url: str) -> str:
    """What the host of a URL is known by, whoever sends there; '' if it is none."""
    place = _PLACE.match(url)
    return "" if place is None else _digests(place[0])[1]


@lru_cache(maxsize=4096)
def _digests(place: str) -> tuple[str, str]:
    try:
        origin = parse(place).origin
    except BadDestination:
        return "", ""
    return _digest(str(origin)), _digest(origin.host)


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()[:DIGEST_LENGTH]


def words(
    owner: Owner,
    gates: Gates,
    *,
    url: str = "",
    caps: Caps = NO_CAPS,
    room: Room = ANY_NUMBER,
) -> str:
    """The gates of an event in the order of their checks, with the limits it brings.

    Behind those of a gate of the owner's: how many of its kind there may be, if that
    is bounded.
    """
    found = []
    if gates.queue:
        found.append(f"{queue_gate(owner, gates.queue)},,,{_most(room.queues)}")
    if gates.flow is not None:
        limited = _limited(flow_gate(owner, gates.flow.key), gates.flow)
        found.append(f"{limited}{_most(room.flows)}")
    if caps.destination and (digest := destination(url)):
        gate = destination_gate(owner.tenant, digest)
        found.append(f"{gate},{caps.destination},,")
    if caps.host and (digest := host(url)):
        found.append(f"{HOST}:{digest},{caps.host},,")
    if caps.tenant:
        found.append(f"{tenant_gate(owner.tenant)},{caps.tenant},,")
    if caps.everything:
        found.append(f"{EVERYTHING}:,{caps.everything},,")
    return " ".join(found)


def read(text: str) -> Gates:
    """Queue and flow-control key of what `words` wrote.

    Raises: ValueError.
    """
    queue, flow = "", None
    for word in text.split():
        gate, *limits = word.split(",")
        kind, name = gate.partition(":")[0], gate.rpartition(":")[2]
        if kind == QUEUE:
            queue = unquote(name)
        elif kind == FLOW:
            parallelism, rate, period_ms = (int(limit or 0) for limit in limits[:3])
            flow = FlowLimits(
                unquote(name), parallelism or None, rate or None, period_ms
            )
    return Gates(queue, flow)


def _most(count: int) -> str:
    return f",{count}" if count else ""


def _limited(gate: str, limits: FlowLimits) -> str:
    parallelism, rate = limits.parallelism or "", limits.rate or ""
    return f"{gate},{parallelism},{rate},{limits.period_ms}"
