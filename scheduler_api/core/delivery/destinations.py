"""Where an event may be sent: one reading of a URL, and which addresses are shut.

Nothing here opens a socket. A URL is read at the door with `parse`; whether its
address may be connected to is asked of `AddressPolicy` at the moment of connecting,
because only then is it known which address a name stands for.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.settings.variables import Network
from urllib.parse import quote, urlsplit
from yarl import URL

Address = IPv4Address | IPv6Address
Forms = tuple[Address, ...]

URL_MAX_LENGTH = 8192

# An own table, because `ipaddress.is_global` answers differently on each patch
# release of Python and calls multicast, NAT64 and site-local addresses global.
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
# The one part of `::/8` with a life of its own: it is judged by the IPv4 address
# in its last 32 bits.
NAT64 = IPv6Network("64:ff9b::/96")

# Shut whatever an operator allows: whoever reaches these gets the machine's own
# credentials. 168.63.129.16 (Azure) lies in a public range.
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
# Addresses that end at this machine; Linux connects 0.0.0.0 and :: to loopback.
LOOPBACK: tuple[Network, ...] = (
    IPv4Network("127.0.0.0/8"),
    IPv4Network("0.0.0.0/8"),
    IPv6Network("::/127"),
)

_SHAPE = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# Control characters and the space; `\s` would let through what is not white space.
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]")
_ASCII = "".join(map(chr, range(0x21, 0x7F)))
DEFAULT_PORTS = {"http": 80, "https": 443}


class BadDestination(SchedulerError, ValueError):
    """The URL cannot be a destination; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what connections, breakers and pauses go by."""

    scheme: str
    host: str  # lower case, IDNA, no brackets, no trailing dot
    port: int
    authority: str  # as it is connected to, the port only where the URL names one
    host_header: str  # the port only where it is not the scheme's own

    def __str__(self) -> str:
        """`scheme://host:port`, the port always written."""
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL in the one reading that every part of the system shares."""

    url: str  # exactly as given
    origin: Origin
    rest: str  # behind the authority: ASCII, path and query byte for byte, no fragment

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return self.origin.scheme

    @property
    def host(self) -> str:
        """In lower case, IDNA, without brackets or a trailing dot."""
        return self.origin.host

    @property
    def port(self) -> int:
        """The scheme's own where the URL names none."""
        return self.origin.port

    @property
    def wire(self) -> str:
        """What is connected to."""
        return f"{self.scheme}://{self.origin.authority}{self.rest}"

    @property
    def target(self) -> str:
        """Path and query, as a request's first line has them."""
        return self.rest if self.rest.startswith("/") else f"/{self.rest}"


def parse(url: str, *, max_length: int = URL_MAX_LENGTH) -> Destination:
    """Read `url` with the parser that will connect, and only if a second one agrees.

    Args:
        max_length: in characters.

    Raises:
        BadDestination: it is no absolute http(s) URL, or two readings are possible.
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
    """Which addresses may be connected to; everything not public is shut by default.

    `ports` are the only ones, none means any.
    """

    allow: tuple[Network, ...] = ()
    https_only: bool = False
    ports: frozenset[int] = frozenset()
    # Addresses of this machine's own interfaces, its public ones too.
    own_addresses: frozenset[Address] = frozenset()
    # (address, port) that stay shut inside allowed networks, such as the store's and
    # our own API's; None stands for every address that ends at this machine.
    closed_ports: frozenset[tuple[Address | None, int]] = frozenset()

    @classmethod
    def of(cls, settings: EngineSettings) -> "AddressPolicy":
        """What the settings say; they do not know this machine's own addresses."""
        return cls(
            allow=settings.allow_networks,
            https_only=settings.https_only,
            ports=frozenset(settings.destination_ports),
        )

    def read(self, url: str) -> Destination:
        """A URL that deliveries may go to, by what it says itself.

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

    def refusal(self, address: str, port: int) -> str | None:
        """Return why `address` may not be connected to, None if it may.

        The text is short and stable. It is for the operator's log: a tenant must
        not learn from it what an internal name stands for.

        Args:
            port: 0 asks about the address alone.
        """
        try:
            given = ip_address(address)
        except ValueError:
            return "not-an-address"
        forms: Forms = (given, *_embedded(given))
        shut = _always_shut(forms)
        if shut is not None:
            return shut
        if self._is_closed(forms, port):
            return "closed-port"
        if port and self.ports and port not in self.ports:
            return "port not allowed"
        judged = forms[1] if given in NAT64 else given
        if _within(given, self.allow) or _within(judged, self.allow):
            return None
        own = any(form in self.own_addresses for form in forms)
        return "own-address" if own else _block_of(judged)

    def _is_closed(self, forms: Forms, port: int) -> bool:
        if any((form, port) in self.closed_ports for form in forms):
            return True
        return (None, port) in self.closed_ports and any(
            form in self.own_addresses or _within(form, LOOPBACK) for form in forms
        )


def _split(url: str) -> tuple[str, str, str]:
    """Return lower-case scheme, authority, and path with query; the fragment goes."""
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        raise BadDestination("URL must start with http:// or https:// and name a host")
    scheme, authority, rest = shape.groups()
    if not authority:
        raise BadDestination("URL names no host: write http://host/path")
    if "@" in authority:
        raise BadDestination(
            "URL has a user or password before the host: send an Authorization header"
        )
    if "%" in authority:
        raise BadDestination(
            "URL has a percent escape or a zone in its host: write the plain name"
        )
    return scheme.lower(), authority, rest.partition("#")[0]


@lru_cache(maxsize=4096)
def _read_origin(scheme: str, authority: str) -> Origin:
    """Read what many URLs have in common; what follows it is no part of either reading.

    Raises: BadDestination, as often as it is asked.
    """
    host, named_port = _read_authority(authority)
    port = named_port or DEFAULT_PORTS[scheme]
    shown = _bracketed(host)
    written = shown if named_port is None else f"{shown}:{named_port}"
    _check_agreement(f"{scheme}://{written}/", host=host, port=port)
    host = host.rstrip(".")
    header = _bracketed(host)
    if port != DEFAULT_PORTS[scheme]:
        header = f"{header}:{port}"
    return Origin(scheme, host, port, written, header)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _read_authority(authority: str) -> tuple[str, int | None]:
    """Return the host in lower-case ASCII without brackets, and the port if named."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise BadDestination(
            f"{authority!r} is no host: write host, host:port or [IPv6 address]:port"
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
        raise BadDestination(f"[{text}] is no IPv6 address") from err


def _read_name(host: str) -> str:
    if not host.isascii():
        try:
            host = URL(f"http://{host}/").raw_host or ""
        except ValueError as err:
            raise BadDestination(f"{host!r} is no host name: {err}") from err
    host = host.lower()
    labels = host.removesuffix(".").split(".")
    if len(host) > 254 or not all(map(_LABEL.fullmatch, labels)):
        raise BadDestination(
            f"{host!r} is no host name: labels are 1 to 63 letters, digits and hyphens"
        )
    return host


def _check_agreement(wire: str, *, host: str, port: int) -> None:
    """Refuse what the parser that connects and the standard library read apart."""
    try:
        connects, second = URL(wire, encoded=True), urlsplit(wire)
        agreed = (
            (connects.raw_host, connects.port) == (host, port)
            and (second.hostname, second.port or port) == (host, port)
            and connects.scheme == second.scheme
            and connects.user is second.username is None
        )
    except ValueError as err:
        raise BadDestination(f"URL cannot be read: {err}") from err
    if not agreed:
        raise BadDestination("URL can be read in two ways: write it plainly")


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _always_shut(forms: Forms) -> str | None:
    if any(_within(form, LINK_LOCAL) for form in forms):
        return "link-local"
    return "metadata" if not METADATA.isdisjoint(forms) else None


def _block_of(address: Address) -> str | None:
    blocks = BLOCKED_V4 if isinstance(address, IPv4Address) else BLOCKED_V6
    return next((f"blocked {block}" for block in blocks if address in block), None)


def _embedded(address: Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address may be a spelling of.

    Mapped, compatible, translated and NAT64 forms, ISATAP, 6to4 and Teredo. NAT64's
    is the first.
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
