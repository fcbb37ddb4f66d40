"""Names of gates, and their encoding as an argument of the Lua functions. Pure.

A gate's name starts with its kind. The rest depends on the kind: `q:<owner>:<name>` for
a queue, `d:<tenant>:<digest>` for an origin, `d:<tenant>:<digest>.<digest>` for a
route. Names are percent-encoded.
"""

import hashlib
import re
from functools import lru_cache
from scheduler_api.core.delivery.destinations import BadDestination, parse
from scheduler_api.core.delivery.routes import route_path
from scheduler_api.core.model import FlowLimits, Gates, Owner
from scheduler_api.core.settings.limits import (
    NO_CAPS,
    NO_OWNER_LIMITS,
    Caps,
    OwnerLimits,
)
from urllib.parse import quote, unquote

QUEUE, FLOW, DESTINATION, HOST = "q", "f", "d", "h"
TENANT, EVERYTHING = "t", "a"
DIGEST_LENGTH, ROUTE_DIGEST_LENGTH = 12, 8
MAX_SEGMENTS = 15

# In the gates of the routes that are not tracked.
SHARED_ROUTE = ".*"
# The end of the gate at which events wait for a slowed origin if their route is new.
NEW_ROUTES = ".new"
# The end of the gate at which a tenant's events wait for workers with room, because
# their destinations are slow or unknown.
SLOW_END = ":slow"

_ORIGIN = re.compile(r"[A-Za-z]+://[^/?#]+")


def queue_gate(owner: Owner, name: str) -> str:
    """The gate of an owner's queue."""
    return f"{QUEUE}:{owner}:{encode_name(name)}"


def flow_gate(owner: Owner, key: str) -> str:
    """The gate of an owner's flow-control key."""
    return f"{FLOW}:{owner}:{encode_name(key)}"


def destination_gate(tenant: str, digest: str) -> str:
    """The gate of an origin or route; each tenant has separate gates."""
    return f"{DESTINATION}:{tenant}:{digest}"


def is_route(gate: str) -> bool:
    """Whether the gate is that of a route, and not that of an origin."""
    return "." in gate


def tenant_gate(tenant: str) -> str:
    """The gate of all events of a tenant."""
    return f"{TENANT}:{tenant}"


def encode_name(name: str) -> str:
    """Percent-encode a name, so that it has no blanks, commas or line breaks."""
    return quote(name, safe="")


def decode_name(name: bytes) -> str:
    """Decode the result of `encode_name`."""
    return unquote(name.decode())


def destination_digest(url: str) -> str:
    """Digest of a URL's scheme, host and port; '' if the URL is invalid."""
    origin = _ORIGIN.match(url)
    return "" if origin is None else _digests(origin[0])[0]


@lru_cache(maxsize=1024)
def route_digest(url: str) -> str:
    """Digests of a URL's origin and route, separated by a dot; '' if it is invalid.

    The first digit of the route's digest is the number of its segments.
    """
    origin = destination_digest(url)
    if not origin:
        return ""
    match = _ORIGIN.match(url)
    rest = url[match.end() :] if match and url.isascii() else parse(url).rest
    path = route_path(rest)
    segments = min(path.count("/"), MAX_SEGMENTS)
    route = f"{segments:x}{hashlib.sha1(path.encode()).hexdigest()}"
    return f"{origin}.{route[:ROUTE_DIGEST_LENGTH]}"


def readable_origin(url: str) -> str:
    """The origin of a valid URL, such as `https://shop.example`.

    Raises: BadDestination.
    """
    origin = parse(url).origin
    return f"{origin.scheme}://{origin.host_header}"


def readable_route(url: str) -> str:
    """The route of a valid URL, such as `https://shop.example/users/*/hook`.

    Raises: BadDestination.
    """
    return readable_origin(url) + route_path(parse(url).rest)


def readable_gate(gate: str, url: str) -> str | None:
    """Return the origin or route at which an event waits; None at another gate.

    Args:
        url: the URL of the event.
    """
    if not gate.startswith(f"{DESTINATION}:"):
        return None
    try:
        if not is_route(gate) or gate.endswith(NEW_ROUTES):
            return readable_origin(url)
        if SHARED_ROUTE in gate:
            segments = route_path(parse(url).rest).count("/")
            return readable_origin(url) + segments * "/*"
        return readable_route(url)
    except BadDestination:
        return None


def host_digest(url: str) -> str:
    """Digest of a URL's host; '' if the URL is invalid."""
    origin = _ORIGIN.match(url)
    return "" if origin is None else _digests(origin[0])[1]


@lru_cache(maxsize=4096)
def _digests(url: str) -> tuple[str, str]:
    try:
        origin = parse(url).origin
    except BadDestination:
        return "", ""
    return _digest(str(origin)), _digest(origin.host)


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()[:DIGEST_LENGTH]


def encode_gates(
    owner: Owner,
    gates: Gates,
    *,
    url: str = "",
    caps: Caps = NO_CAPS,
    owner_limits: OwnerLimits = NO_OWNER_LIMITS,
) -> str:
    """Encode the gates of an event, in the order in which the store checks them.

    The gates are separated by blanks. Each gate is encoded as
    `<name>,<parallelism>,<rate>,<period ms>`. If the number of an owner's queues or
    flow-control keys is limited, `,<max>` is added to a gate of this kind.
    """
    encoded = []
    if gates.queue:
        limit = _count_limit(owner_limits.queues)
        encoded.append(f"{queue_gate(owner, gates.queue)},,,{limit}")
    if gates.flow is not None:
        limited = _with_limits(flow_gate(owner, gates.flow.key), gates.flow)
        encoded.append(f"{limited}{_count_limit(owner_limits.flow_keys)}")
    if caps.destination and (digest := destination_digest(url)):
        gate = destination_gate(owner.tenant, digest)
        encoded.append(f"{gate},{caps.destination},,")
    if caps.host and (digest := host_digest(url)):
        encoded.append(f"{HOST}:{digest},{caps.host},,")
    if caps.tenant:
        encoded.append(f"{tenant_gate(owner.tenant)},{caps.tenant},,")
    if caps.everything:
        encoded.append(f"{EVERYTHING}:,{caps.everything},,")
    return " ".join(encoded)


def decode_gates(text: str) -> Gates:
    """Decode the result of `encode_gates`; return the queue and the flow-control key.

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


def _count_limit(count: int) -> str:
    return f",{count}" if count else ""


def _with_limits(gate: str, limits: FlowLimits) -> str:
    parallelism, rate = limits.parallelism or "", limits.rate or ""
    return f"{gate},{parallelism},{rate},{limits.period_ms}"
