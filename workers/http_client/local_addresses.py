"""The addresses of this machine's network interfaces; asks the operating system."""

import psutil
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

IP_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def own_addresses() -> frozenset[Address]:
    """Return every IPv4 and IPv6 address of this machine's interfaces, as they are now.

    If the interfaces cannot be read, these are the addresses of the host name. Not
    covered: a public address that a router in front translates to us, and addresses
    that are added later.
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
    for *_, peer in found:
        yield _without_scope(str(peer[0]))


def _without_scope(address: str) -> Address:
    """Parse an address; a link-local one may name its interface: `fe80::1%eth0`."""
    return ip_address(address.partition("%")[0])
