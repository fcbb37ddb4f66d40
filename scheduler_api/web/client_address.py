"""Who made a request, where reverse proxies stand before this process."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from scheduler_api.core.settings.variables import Network
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Address = IPv4Address | IPv6Address

# Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
_HOP = re.compile(r"\[(.+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


class ClientAddresses:
    """Puts a client's address in place of the trusted proxy that passed it on."""

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
    """The last address that is no trusted proxy's; the first, if all are.

    A client may write what it likes into `X-Forwarded-For`: only what a trusted proxy
    has added counts, so what is no address ends the search.

    Args:
        peer: who is connected.
        forwarded_for: the value of `X-Forwarded-For`, each proxy's client in order.
    """
    client = peer
    for hop in reversed(forwarded_for.split(",")):
        known = _read(client)
        if known is None or not any(known in network for network in trusted):
            break
        before = _read(hop)
        if before is None:
            break
        client = str(before)
    return client


def _read(hop: str) -> Address | None:
    found = _HOP.fullmatch(hop.strip())
    try:
        address = ip_address(found[1] or found[2] if found else hop.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
