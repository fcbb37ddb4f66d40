"""Parses destination URLs and decides to which addresses deliveries may connect.

`parse` checks a URL when it is submitted. `AddressPolicy.refusal` checks an address
just before a worker connects, because the addresses of a host name may change until
then. This module opens no sockets.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.frozen import frozen
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.settings.variables import Network
from urllib.parse import quote, urlsplit
from yarl import URL

Address = IPv4Address | IPv6Address
Forms = tuple[Address, ...]

URL_MAX_LENGTH = 8192

# `ipaddress.is_global` is not used: its results differ between patch releases of
# Python, and it counts multicast, NAT64 and site-local addresses as global.
BLOCKED_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "255.255.255.255/32",
    )
)
BLOCKED_V6 = tuple(
    IPv6Network(block)
    for block in (
        "::/8",
        "64:ff9b::/32",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
# A NAT64 address contains an IPv4 address in its last 32 bits. `BLOCKED_V6` contains
# all NAT64 addresses, but `AddressPolicy` does not look them up there: it looks up the
# IPv4 address instead.
NAT64 = IPv6Network("64:ff9b::/96")

# These addresses are blocked even in networks that an operator allows, because metadata
# services at these addresses hand out the machine's credentials. 168.63.129.16 (Azure)
# is listed although it is a public address.
LINK_LOCAL: tuple[Network, ...] = (
    IPv4Network("169.254.0.0/16"),
    IPv6Network("fe80::/10"),
)
METADATA: frozenset[Address] = frozenset(
    ip_address(address)
    for address in (
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
    )
)
# Addresses of this machine; Linux treats 0.0.0.0 and :: like loopback addresses.
LOOPBACK: tuple[Network, ...] = (
    IPv4Network("127.0.0.0/8"),
    IPv4Network("0.0.0.0/8"),
    IPv6Network("::/127"),
)

_SHAPE = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# White space, control characters and surrogates.
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]")
_ASCII = "".join(map(chr, range(0x21, 0x7F)))
DEFAULT_PORTS = {"http": 80, "https": 443}
LOCALHOST = "localhost"
HOW_TO_ALLOW = "to allow it, add its network to SCHED_ALLOW_NETWORKS"
# The path of the receiver of this service.
RECEIVER_PATH = "/receiver"


class BadDestination(SchedulerError, ValueError):
    """The URL cannot be a destination; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A scheme, host and port; connections, breakers and pauses are kept by origin."""

    scheme: str
    host: str  # lower case, IDNA, no brackets, no trailing dot
    port: int
    authority: str  # host, and the port if the URL names a port
    host_header: str  # host, and the port unless it is the default of the scheme
    # Whether only requests to the receiver of this service go there. They share no
    # connection with others, which the same address and port may be closed to.
    receiver: bool = False

    def __str__(self) -> str:
        """`scheme://host:port`, always with the port."""
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}"


@frozen
class Destination:
    """A parsed URL."""

    url: str  # as submitted
    origin: Origin
    rest: str  # path and query, unchanged except that non-ASCII characters are escaped

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return self.origin.scheme

    @property
    def host(self) -> str:
        """The host in lower case, IDNA, without brackets or a trailing dot."""
        return self.origin.host

    @property
    def port(self) -> int:
        """The port of the URL, or the default of its scheme."""
        return self.origin.port

    @property
    def is_receiver(self) -> bool:
        """Whether the path is that of the receiver of this service, or below it."""
        path = self.rest.partition("?")[0]
        return path == RECEIVER_PATH or path.startswith(f"{RECEIVER_PATH}/")

    @property
    def normalized_url(self) -> str:
        """The URL with its scheme and host in lower-case ASCII, without a fragment."""
        return f"{self.scheme}://{self.origin.authority}{self.rest}"

    @property
    def target(self) -> str:
        """The request target: path and query, starting with a slash."""
        return self.rest if self.rest.startswith("/") else f"/{self.rest}"


def parse(url: str, *, max_length: int = URL_MAX_LENGTH) -> Destination:
    """Parse a URL; refuse a URL that yarl and the standard library parse differently.

    Args:
        max_length: the maximum length of the URL in characters.

    Raises:
        BadDestination: the URL is not an absolute http(s) URL, or the parsers
            disagree.
    """
    if len(url) > max_length:
        raise BadDestination(f"URL is longer than {max_length} characters: shorten it")
    if "\\" in url:
        raise BadDestination("URL has a backslash: write it as %5C, or use '/'")
    if _UNSENDABLE.search(url):
        raise BadDestination(
            "URL has a space or a control character: percent-encode it"
        )
    scheme, authority, rest = _split(url)
    if not rest.isascii():
        rest = quote(rest, safe=_ASCII)
    return Destination(url, _read_origin(scheme, authority), rest)


@dataclass(frozen=True)
class AddressPolicy:
    """Decides which URLs and addresses are allowed: by default, all public addresses.

    Args:
        allow: networks that are allowed although they are not public.
        ports: the only allowed ports; empty: all ports.
        own_addresses: addresses of this machine's interfaces. They are blocked, even
            if they are public, unless `allow` contains them.
        closed_ports: pairs of address and port that are blocked even in allowed
            networks, such as the ports of the store and of this service. The address
            None means all addresses of this machine.
        receiver_port: the port of this service, if it serves the receiver: requests to
            the receiver may connect to it on this machine, in allowed networks.
    """

    allow: tuple[Network, ...] = ()
    https_only: bool = False
    ports: frozenset[int] = frozenset()
    own_addresses: frozenset[Address] = frozenset()
    closed_ports: frozenset[tuple[Address | None, int]] = frozenset()
    receiver_port: int | None = None

    @classmethod
    def of(cls, settings: EngineSettings) -> "AddressPolicy":
        """Create a policy from the settings, without own addresses and closed ports."""
        return cls(
            allow=settings.allow_networks,
            https_only=settings.https_only,
            ports=frozenset(settings.destination_ports),
        )

    def read(self, url: str) -> Destination:
        """Parse a URL and check its scheme and port; addresses are not resolved.

        Raises: BadDestination.
        """
        destination = parse(url)
        if self.https_only and destination.scheme != "https":
            raise BadDestination("URL must begin with https://")
        if self.ports and destination.port not in self.ports:
            listed = ", ".join(map(str, sorted(self.ports)))
            raise BadDestination(
                f"port {destination.port} is not allowed: use one of {listed}"
            )
        return destination

    def blocked_literal(self, destination: Destination) -> str | None:
        """Return which blocked address a URL names; None if it names none.

        Only an address in place of a host name counts, and `localhost`: names are
        resolved when a delivery connects.
        """
        host = destination.host
        is_localhost = host == LOCALHOST or host.endswith(f".{LOCALHOST}")
        try:
            address = ip_address("127.0.0.1" if is_localhost else host)
        except ValueError:
            return None
        if self.refusal(str(address), 0) is None:
            return None
        kind = "a loopback address" if address.is_loopback else "a blocked address"
        return f"{kind}: {address}"

    def origin_of(self, destination: Destination) -> Origin:
        """Return the origin to connect to, marked if it is the receiver's."""
        origin = destination.origin
        if origin.port == self.receiver_port and destination.is_receiver:
            return replace(origin, receiver=True)
        return origin

    def refusal(self, address: str, port: int, *, receiver: bool = False) -> str | None:
        """Return the reason why `address` is blocked; None if the address is allowed.

        The reason is for the operator's log. Do not show the reason to tenants: they
        could learn from it how internal names resolve.

        Args:
            port: the port to connect to; 0: check only the address.
            receiver: as in `Origin`.
        """
        try:
            literal = ip_address(address)
        except ValueError:
            return "not-an-address"
        forms: Forms = (literal, *_embedded(literal))
        always_blocked = _always_blocked(forms)
        if always_blocked is not None:
            return always_blocked
        if self._is_closed(forms, port, receiver=receiver):
            return "closed-port"
        if port and self.ports and port not in self.ports:
            return "port not allowed"
        effective = forms[1] if literal in NAT64 else literal
        if _within(literal, self.allow) or _within(effective, self.allow):
            return None
        own = any(form in self.own_addresses for form in forms)
        return "own-address" if own else _block_of(effective)

    def _is_closed(self, forms: Forms, port: int, *, receiver: bool) -> bool:
        if any((form, port) in self.closed_ports for form in forms):
            return True
        if receiver and port == self.receiver_port:
            return False
        return (None, port) in self.closed_ports and any(
            form in self.own_addresses or _within(form, LOOPBACK) for form in forms
        )


def _split(url: str) -> tuple[str, str, str]:
    """Return the lower-case scheme, the authority, and the path with the query."""
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        raise BadDestination("URL must start with http:// or https:// and have a host")
    scheme, authority, rest = shape.groups()
    if not authority:
        raise BadDestination("URL has no host: write http://host/path")
    if "@" in authority:
        raise BadDestination(
            "URL has a user or password before the host: send an Authorization header"
        )
    if "%" in authority:
        raise BadDestination(
            "URL has a percent escape or a zone in its host: write the name without it,"
            " an international one in its xn-- form"
        )
    return scheme.lower(), authority, rest.partition("#")[0]


@lru_cache(maxsize=4096)
def _read_origin(scheme: str, authority: str) -> Origin:
    """Parse an origin; cached, because many URLs have the same origin.

    Raises: BadDestination, which is not cached.
    """
    host, explicit_port = _read_authority(authority)
    port = explicit_port or DEFAULT_PORTS[scheme]
    connect_to = _bracketed(host)
    if explicit_port is not None:
        connect_to = f"{connect_to}:{explicit_port}"
    _check_agreement(f"{scheme}://{connect_to}/", host=host, port=port)
    host = host.rstrip(".")
    header = _bracketed(host)
    if port != DEFAULT_PORTS[scheme]:
        header = f"{header}:{port}"
    return Origin(scheme, host, port, connect_to, header)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _read_authority(authority: str) -> tuple[str, int | None]:
    """Return the host in lower-case ASCII without brackets, and the port, if any."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise BadDestination(
            f"{authority!r} is not a host: write host, host:port or [IPv6 address]:port"
        )
    host, digits = match.groups()
    port = int(digits) if digits is not None else None
    if port is not None and not 1 <= port <= 65535:
        raise BadDestination(f"port {digits} does not exist: use 1 to 65535")
    if host.startswith("["):
        return _read_ipv6(host[1:-1]), port
    return _read_name(host), port


def _read_ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError as err:
        raise BadDestination(f"[{text}] is not an IPv6 address") from err


def _read_name(host: str) -> str:
    if not host.isascii():
        try:
            host = URL(f"http://{host}/").raw_host or ""
        except ValueError as err:
            raise BadDestination(
                f"{host!r} is not a host name: it has a character that host names do"
                " not have, or a part that is too long"
            ) from err
    host = host.lower()
    labels = host.removesuffix(".").split(".")
    if len(host) > 254 or not all(map(_LABEL.fullmatch, labels)):
        raise BadDestination(
            f"{host!r} is not a host name: each label has 1 to 63 letters, digits and"
            " hyphens"
        )
    return host


def _check_agreement(url: str, *, host: str, port: int) -> None:
    """Refuse a URL that yarl and the standard library parse differently."""
    try:
        by_yarl, by_urllib = URL(url, encoded=True), urlsplit(url)
        agreed = (
            (by_yarl.raw_host, by_yarl.port) == (host, port)
            and (by_urllib.hostname, by_urllib.port or port) == (host, port)
            and by_yarl.scheme == by_urllib.scheme
            and by_yarl.user is by_urllib.username is None
        )
    except ValueError as err:
        raise BadDestination(f"URL cannot be parsed: {err}") from err
    if not agreed:
        raise BadDestination("URL is ambiguous: write its host and port plainly")


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _always_blocked(forms: Forms) -> str | None:
    if any(_within(form, LINK_LOCAL) for form in forms):
        return "link-local"
    return "metadata" if not METADATA.isdisjoint(forms) else None


def _block_of(address: Address) -> str | None:
    blocks = BLOCKED_V4 if isinstance(address, IPv4Address) else BLOCKED_V6
    return next((f"blocked {block}" for block in blocks if address in block), None)


def _embedded(address: Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that are embedded in an IPv6 address.

    These forms are recognised: mapped, compatible, translated, NAT64, ISATAP, 6to4 and
    Teredo. A Teredo address contains two IPv4 addresses; all other forms contain one.
    """
    if isinstance(address, IPv4Address):
        return ()
    bits = int(address)
    last = IPv4Address(bits & 0xFFFFFFFF)
    if bits >> 120 == 0 or bits >> 32 & 0xFDFFFFFF == 0x5EFE:
        return (last,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    return address.teredo or ()
