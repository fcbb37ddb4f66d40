"""Reads destinations from the paths of requests, and checks them.

The path of a request contains the destination without percent-encoding. The destination
is read from the raw request target, because Flask's path has lost double slashes and
percent escapes. The query of the request belongs to the destination, except for the
parameters that configure the message.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from scheduler_api.core.delivery import destinations
from scheduler_api.core.delivery.destinations import HOW_TO_ALLOW, AddressPolicy
from scheduler_api.core.errors import NotFound
from scheduler_api.dialects.qstash.parsing.header_values import (
    NAME_MAX_LENGTH,
    BadValue,
    read_name,
    read_url,
)
from scheduler_api.dialects.qstash.parsing.message import Message
from scheduler_api.dialects.qstash.parsing.request_headers import PREFIX
from urllib.parse import quote, unquote, unquote_plus, unquote_to_bytes

TOKEN = "qstash_token"
DESTINATION = "invalid destination url"
NOT_SUPPORTED = "this server delivers only to urls and url groups"

_SCHEME = re.compile("https?:", re.IGNORECASE)
# The beginning of a URL that a client has percent-encoded as a whole.
_ESCAPED_SCHEME = re.compile("https?(?:%3a|:/?%2f)", re.IGNORECASE)
# Proxies that clean paths leave one slash of two.
_ONE_SLASH = re.compile("(https?:)/(?!/)", re.IGNORECASE)
_ASCII = "".join(map(chr, range(128)))
# What precedes the path in a target such as `http://api.example.com/v2/publish/…`.
_ORIGIN = re.compile(r"\A[a-z][a-z0-9+.-]*://[^/?#]*", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """A destination as a publisher wrote it.

    `path` is the part before the query. `query` is the query of the destination, or
    None. `configuration` has the decoded parameters that configure the message, with
    one character per byte, as in headers.
    """

    path: str
    query: str | None
    configuration: tuple[tuple[str, str], ...]

    @property
    def destination(self) -> str:
        """The destination with its query: a URL or the name of a url group."""
        return self.path if self.query is None else f"{self.path}?{self.query}"


def read_target(environ: Mapping[str, object], *, route: str) -> Target:
    """Read the destination after the route from the raw request target.

    Args:
        route: the path before the destination, such as `/v2/publish/`.

    Raises: NotFound, if the client wrote the route with percent escapes.
    """
    return parse_target(_after_route(environ, route))


def read_enqueue_target(
    environ: Mapping[str, object], *, route: str
) -> tuple[str, Target]:
    """Read the queue name and the destination after the route; see `read_target`.

    Raises: BadValue, if a URL follows the route; NotFound, as `read_target`.
    """
    rest = _after_route(environ, route)
    name, _, text = rest.partition("/")
    queue = unquote(name)
    if _SCHEME.match(queue):
        example = f"{route}<queue>/{rest}"[:NAME_MAX_LENGTH]
        raise BadValue("queueName", f"is missing: POST {example}")
    return queue, parse_target(text)


def read_configuration(environ: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return the parameters of a request that configure messages; see `Target`."""
    raw = str(environ.get("QUERY_STRING", "")).encode("latin-1", "replace")
    return parse_target(f"?{raw.decode(errors='replace')}").configuration


def _after_route(environ: Mapping[str, object], route: str) -> str:
    """Return everything after the route in the raw request target."""
    raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "")
    if not raw.isascii():
        # WSGI servers decode the target as latin-1.
        raw = quote(raw.encode("latin-1", "ignore"), safe=_ASCII)
    if not raw.startswith("/"):
        raw = _ORIGIN.sub("", raw, count=1)
    text = raw.partition("#")[0]
    # The destination may contain the text of the route too, so cut by length. Clients
    # may write the route in any case.
    before = f"{environ.get('SCRIPT_NAME', '')}{route}"
    after = len(before)
    if not text.startswith(before) and text[:after].lower() != before.lower():
        raise NotFound
    return text[after:]


def parse_target(text: str) -> Target:
    """Split a destination into its parts.

    If the client has percent-encoded the whole URL, it is decoded once. If a proxy has
    removed one of the two slashes after the scheme, it is added.
    """
    path, question, query = text.partition("#")[0].partition("?")
    if _ESCAPED_SCHEME.match(path):
        path, inner_question, inner_query = (
            unquote(path).partition("#")[0].partition("?")
        )
        if inner_question:
            query = f"{inner_query}&{query}" if question else inner_query
            question = inner_question
    if _ONE_SLASH.match(path):
        path = path.replace("/", "//", 1)
    return _with_query(path, query) if question else Target(path, None, ())


def _with_query(path: str, query: str) -> Target:
    kept, configuration = [], []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        name = unquote_plus(name).lower()
        if name.startswith(PREFIX):
            configuration.append((name, _octets(value)))
        elif name != TOKEN:
            kept.append(part)
    return Target(path, "&".join(kept) if kept else None, tuple(configuration))


def _octets(value: str) -> str:
    """Decode percent escapes to a string with one character per byte."""
    return unquote_to_bytes(value.replace("+", " ")).decode("latin-1")


def read_group_name(destination: str) -> str | None:
    """Return the destination if it is the name of a url group, None if it is a URL.

    Raises: BadValue, if the destination is neither, or is a name with a query.
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
    """Check a destination URL; return it as it will be sent.

    Raises: BadValue, if the URL is invalid or the policy blocks its address.
    """
    if destination.startswith("api/"):
        raise BadValue(
            "destination", f"{destination[:40]!r} is not supported: {NOT_SUPPORTED}"
        )
    url = read_url(destination, DESTINATION)
    check_address(url, DESTINATION, policy=policy)
    return url


def check_callbacks(message: Message, *, policy: AddressPolicy) -> None:
    """Check that the policy allows the callback URLs of a message.

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
        blocked = policy.blocked_literal(policy.read(url))
    except destinations.BadDestination as err:
        raise BadValue(f"{name}:", str(err)) from err
    if blocked is not None:
        raise BadValue(f"{name}:", f"endpoint resolves to {blocked}; {HOW_TO_ALLOW}")
