"""Where a message is to go, read from the raw target of a request, or as it is named.

A destination stands in the path as it is, so only the raw target has its doubled
slashes and escapes. Its query is the request's, without what is meant for this API.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from scheduler_api.core.delivery import destinations
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.errors import NotFound
from scheduler_api.dialects.qstash.parsing.header_values import (
    NAME_MAX_LENGTH,
    BadValue,
    read_name,
    read_url,
)
from scheduler_api.dialects.qstash.parsing.message import Message
from scheduler_api.dialects.qstash.parsing.request_headers import PREFIX
from urllib.parse import unquote, unquote_plus

TOKEN = "qstash_token"
DESTINATION = "invalid destination url"
NOT_SUPPORTED = "this server has no api of its own to publish to"
SHUT = "which deliveries may reach only if SCHED_ALLOW_NETWORKS names its network"

_ESCAPED_SCHEMES = ("http%3a", "https%3a")
_LOCALHOST = "localhost"


@dataclass(frozen=True)
class Target:
    """What a publisher named, in its parts; `configuration` is decoded.

    `rest` stands before the query, `query` is what is left of it for the destination,
    None if there is none.
    """

    rest: str
    query: str | None
    configuration: tuple[tuple[str, str], ...]

    @property
    def destination(self) -> str:
        """A URL or a url group."""
        return self.rest if self.query is None else f"{self.rest}?{self.query}"


def read_target(environ: Mapping[str, object], *, route: str) -> Target:
    """What the target of a request names behind its route.

    Args:
        route: what stands before the destination, such as `/v2/publish/`.

    Raises: NotFound, if the route is spelled with escapes.
    """
    return read_named(_behind(environ, route))


def read_queued(environ: Mapping[str, object], *, route: str) -> tuple[str, Target]:
    """As `read_target`, and the queue that stands before the destination.

    Raises: NotFound, if the route is spelled with escapes.
    """
    queue, _, named = _behind(environ, route).partition("/")
    return unquote(queue), read_named(named)


def _behind(environ: Mapping[str, object], route: str) -> str:
    """What stands behind the route in the raw target."""
    raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "")
    if not raw.isascii():
        # A server reads bytes as latin-1; what is no UTF-8 stays as it is.
        octets = raw.encode("latin-1", "ignore")
        raw = octets.decode("utf-8", "replace")
    path, question, query = raw.partition("#")[0].partition("?")
    _, found, rest = path.partition(route)
    if not found or not rest:
        raise NotFound
    return rest + question + query


def read_named(named: str) -> Target:
    """What a publisher named; one that was escaped as a whole is decoded once."""
    rest, question, query = named.partition("#")[0].partition("?")
    if rest[:8].lower().startswith(_ESCAPED_SCHEMES):
        rest, within, own = unquote(rest).partition("#")[0].partition("?")
        if within:
            query = f"{own}&{query}" if question else own
            question = within
    return _with_query(rest, query) if question else Target(rest, None, ())


def _with_query(rest: str, query: str) -> Target:
    kept, configuration = [], []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        lowered = unquote_plus(name).lower()
        if lowered.startswith(PREFIX):
            configuration.append((lowered, unquote_plus(value)))
        elif lowered != TOKEN:
            kept.append(part)
    return Target(rest, "&".join(kept) if kept else None, tuple(configuration))


def read_group_name(named: str) -> str | None:
    """The name of a url group that a publisher named, None if it is a URL.

    Raises: BadValue.
    """
    name, question, _ = named.partition("?")
    if "/" in name or ":" in name or len(name) > NAME_MAX_LENGTH:
        return None
    if question:
        wanted = "should have no query if it is a url group"
        raise BadValue("destination", f"{wanted}, not {named[:40]!r}")
    return read_name(name, "destination")


@lru_cache(maxsize=1024)
def read_destination(named: str, allow: AddressPolicy) -> str:
    """The URL that a publisher named, where deliveries could go by what it says.

    Raises: BadValue.
    """
    if named.startswith("api/"):
        raise BadValue(
            "destination", f"{named[:40]!r} is not supported: {NOT_SUPPORTED}"
        )
    url = read_url(named, DESTINATION)
    check_address(url, DESTINATION, allow=allow)
    return url


def check_callbacks(message: Message, *, allow: AddressPolicy) -> None:
    """Holds the addresses of a message's callbacks to those of destinations.

    Raises: BadValue.
    """
    for name, callback in (
        ("Upstash-Callback", message.callback),
        ("Upstash-Failure-Callback", message.failure_callback),
    ):
        if callback is not None:
            check_address(callback.url, name, allow=allow)


def check_address(url: str, name: str, *, allow: AddressPolicy) -> None:
    """Refuses a URL that says itself that deliveries may not go to it.

    Which address a name stands for is known only when it is connected to.

    Raises: BadValue.
    """
    try:
        host = allow.read(url).host
    except destinations.BadDestination as err:
        raise BadValue(f"{name}:", str(err)) from err
    local = host == _LOCALHOST or host.endswith(f".{_LOCALHOST}")
    try:
        address = ip_address("127.0.0.1" if local else host)
    except ValueError:
        return
    if allow.refusal(str(address), 0) is None:
        return
    kind = "a loopback address" if address.is_loopback else "an address that is shut"
    raise BadValue(f"{name}:", f"endpoint resolves to {kind}: {address}, {SHUT}")
