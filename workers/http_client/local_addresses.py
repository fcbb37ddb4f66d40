"""The addresses of this machine's network interfaces."""

import psutil
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

IP_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def own_addresses() -> frozenset[Address]:
    """Return the current IPv4 and IPv6 addresses of this machine's interfaces.

    If the operating system does not list the interfaces, return the addresses of the
    host name. A public address that a router translates to this machine is not
    included.
    """
    try:
        return frozenset(_interface_addresses())
    except OSError:
        return frozenset(_host_name_addresses())


def _interface_addresses() -> Iterator[Address]:
    for interface in psutil.net_if_addrs().values():
        for entry in interface:
            if entry.family in IP_FAMILIES:
                yield _without_scope(entry.address)


def _host_name_addresses() -> Iterator[Address]:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return
    for *_, address in found:
        yield _without_scope(str(address[0]))


def _without_scope(address: str) -> Address:
    """Parse an address; drop the scope of a link-local address (`fe80::1%eth0`)."""
    return ip_address(address.partition("%")[0])
