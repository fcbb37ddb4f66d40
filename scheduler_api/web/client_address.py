"""Finds the address of a client whose requests come through reverse proxies."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from scheduler_api.core.settings.variables import Network
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Address = IPv4Address | IPv6Address

PROXY_HEADERS = (
    *("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PROTO"),
    *("HTTP_X_REAL_IP", "HTTP_FORWARDED", "HTTP_VIA"),
)
# Networks of this size belong to one client.
IPV6_PREFIX_LENGTH = 64
# Some proxies append the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
_WITH_PORT = re.compile(r"\[(.+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


class ClientAddresses:
    """WSGI middleware that sets `REMOTE_ADDR` to the address of the client."""

    def __init__(self, app: WSGIApplication, *, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = trusted

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = client_address(
            environ.get("REMOTE_ADDR", ""),
            environ.get("HTTP_X_FORWARDED_FOR", ""),
            trusted=self._trusted,
        )
        return self._app(environ, start_response)


def client_address(peer: str, forwarded_for: str, *, trusted: Sequence[Network]) -> str:
    """Return the last address that does not belong to a trusted proxy.

    The addresses before it are not used, because a client can send any
    `X-Forwarded-For`. If all addresses belong to trusted proxies, return the first
    address. If an entry is not an address, return the address after this entry.

    Args:
        peer: the address from which the connection comes; counts as the last entry.
        forwarded_for: the value of `X-Forwarded-For`, to which each proxy appends the
            address from which the request came.
    """
    client = peer
    for entry in reversed(forwarded_for.split(",")):
        if not is_in(client, trusted):
            break
        previous = _parse(entry)
        if previous is None:
            break
        client = str(previous)
    return client


def is_in(address: str, networks: Sequence[Network]) -> bool:
    """Return whether an address is in one of the networks."""
    parsed = _parse(address) if networks else None
    return parsed is not None and any(parsed in network for network in networks)


def network_of(address: str) -> str:
    """Return the address, or the network of an IPv6 address."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, IPV6_PREFIX_LENGTH), strict=False))
    return address if parsed is None else str(parsed)


def is_from_loopback(environ: WSGIEnvironment) -> bool:
    """Return whether a request comes from this machine, and through no proxy.

    A proxy on this machine connects from a loopback address too, so a request with a
    header that only proxies add does not count.
    """
    address = _parse(environ.get("REMOTE_ADDR", ""))
    is_proxied = any(name in environ for name in PROXY_HEADERS)
    return address is not None and address.is_loopback and not is_proxied


def _parse(entry: str) -> Address | None:
    match = _WITH_PORT.fullmatch(entry.strip())
    try:
        address = ip_address(match[1] or match[2] if match else entry.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
