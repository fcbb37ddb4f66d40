"""Destinations in the paths of requests, and the checks that a destination must pass.

A destination is part of the path, unencoded. Only the raw request target still has its
double slashes and percent escapes. The query of the request belongs to the destination,
except for the parameters that configure the message.
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
NOT_SUPPORTED = "this server delivers only to urls and url groups"
HOW_TO_ALLOW = "to allow it, add its network to SCHED_ALLOW_NETWORKS"

_ESCAPED_SCHEMES = ("http%3a", "https%3a")
_LOCALHOST = "localhost"


@dataclass(frozen=True)
class Target:
    """A destination as a publisher wrote it.

    `path` is the part before the query. `query` is the destination's own, None if it
    has none. `configuration` has the decoded parameters that configure the message.
    """

    path: str
    query: str | None
    configuration: tuple[tuple[str, str], ...]

    @property
    def destination(self) -> str:
        """A URL or the name of a url group."""
        return self.path if self.query is None else f"{self.path}?{self.query}"


def read_target(environ: Mapping[str, object], *, route: str) -> Target:
    """The target after the route, from the raw request target.

    Args:
        route: the path before the destination, such as `/v2/publish/`.

    Raises: NotFound, if the route is written with percent escapes.
    """
    return parse_target(_after_route(environ, route))


def read_enqueue_target(
    environ: Mapping[str, object], *, route: str
) -> tuple[str, Target]:
    """The queue name and the target after the route; see `read_target`.

    Raises: NotFound, if the route is written with percent escapes.
    """
    queue, _, text = _after_route(environ, route).partition("/")
    return unquote(queue), parse_target(text)


def _after_route(environ: Mapping[str, object], route: str) -> str:
    """Everything after the route in the raw request target."""
    raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "")
    if not raw.isascii():
        # WSGI servers decode the target as latin-1, but clients send UTF-8.
        octets = raw.encode("latin-1", "ignore")
        raw = octets.decode("utf-8", "replace")
    path, question, query = raw.partition("#")[0].partition("?")
    _, found, rest = path.partition(route)
    if not found or not rest:
        raise NotFound
    return rest + question + query


def parse_target(text: str) -> Target:
    """Split a target into its parts; a percent-encoded URL is decoded once."""
    path, question, query = text.partition("#")[0].partition("?")
    if path[:8].lower().startswith(_ESCAPED_SCHEMES):
        path, inner_question, inner_query = (
            unquote(path).partition("#")[0].partition("?")
        )
        if inner_question:
            query = f"{inner_query}&{query}" if question else inner_query
            question = inner_question
    return _with_query(path, query) if question else Target(path, None, ())


def _with_query(path: str, query: str) -> Target:
    kept, configuration = [], []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        name = unquote_plus(name).lower()
        if name.startswith(PREFIX):
            configuration.append((name, unquote_plus(value)))
        elif name != TOKEN:
            kept.append(part)
    return Target(path, "&".join(kept) if kept else None, tuple(configuration))


def read_group_name(destination: str) -> str | None:
    """The destination if it is the name of a url group, None if it is a URL.

    Raises: BadValue, if it is neither, or is a name with a query.
    """
    name, question, _ = destination.partition("?")
    if "/" in name or ":" in name or len(name) > NAME_MAX_LENGTH:
        return None
    if question:
        fault = "should have no query if it is a url group"
        raise BadValue("destination", f"{fault}, not {destination[:40]!r}")
    return read_name(name, "destination")


@lru_cache(maxsize=1024)
def read_destination(destination: str, policy: AddressPolicy) -> str:
    """A destination URL, as it will be sent.

    Raises: BadValue, also if the policy blocks the address in it.
    """
    if destination.startswith("api/"):
        raise BadValue(
            "destination", f"{destination[:40]!r} is not supported: {NOT_SUPPORTED}"
        )
    url = read_url(destination, DESTINATION)
    check_address(url, DESTINATION, policy=policy)
    return url


def check_callbacks(message: Message, *, policy: AddressPolicy) -> None:
    """Check the callback URLs of a message like destinations.

    Raises: BadValue.
    """
    for name, callback in (
        ("Upstash-Callback", message.callback),
        ("Upstash-Failure-Callback", message.failure_callback),
    ):
        if callback is not None:
            check_address(callback.url, name, policy=policy)


def check_address(url: str, name: str, *, policy: AddressPolicy) -> None:
    """Refuse a URL whose scheme, port or literal address the policy blocks.

    Host names are resolved and checked only when a delivery connects.

    Raises: BadValue.
    """
    try:
        host = policy.read(url).host
    except destinations.BadDestination as err:
        raise BadValue(f"{name}:", str(err)) from err
    is_localhost = host == _LOCALHOST or host.endswith(f".{_LOCALHOST}")
    try:
        address = ip_address("127.0.0.1" if is_localhost else host)
    except ValueError:
        return
    if policy.refusal(str(address), 0) is None:
        return
    kind = "a loopback address" if address.is_loopback else "a blocked address"
    fault = f"endpoint resolves to {kind}: {address}; {HOW_TO_ALLOW}"
    raise BadValue(f"{name}:", fault)
