"""Which addresses are this machine's own."""

import ctypes
import socket
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

# BSD (macOS) puts a length byte before a one-byte family; Linux has two bytes.
_HAS_LENGTH_BYTE = sys.platform == "darwin"
_IPV4_OFFSET, _IPV4_SIZE = 4, 4
_IPV6_OFFSET, _IPV6_SIZE = 8, 16


class _Interface(ctypes.Structure):
    """The head of C's `struct ifaddrs`, the same on Linux and macOS."""


_Interface._fields_ = [
    ("next", ctypes.POINTER(_Interface)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
]


def own_addresses() -> frozenset[Address]:
    """Return every IPv4 and IPv6 address of this machine's interfaces, as they are now.

    Covers all interfaces and their further addresses on Linux (glibc and musl) and
    macOS. Where C's `getifaddrs` is missing or fails, it is what the host name stands
    for. Not covered: a public address that a router in front translates to us, and
    addresses that are added later.
    """
    try:
        return frozenset(_interface_addresses())
    except (AttributeError, OSError):
        return frozenset(_host_name_addresses())


def _interface_addresses() -> Iterator[Address]:
    c = ctypes.CDLL(None, use_errno=True)
    first = ctypes.POINTER(_Interface)()
    if c.getifaddrs(ctypes.byref(first)) != 0:
        raise OSError(ctypes.get_errno(), "getifaddrs")
    try:
        entry = first
        while entry:
            address = _read_address(entry.contents.address)
            if address is not None:
                yield address
            entry = entry.contents.next
    finally:
        c.freeifaddrs(first)


def _read_address(pointer: int | None) -> Address | None:
    """Read a `struct sockaddr`; None for an interface without an IP address."""
    if not pointer:
        return None
    start = ctypes.string_at(pointer, 2)
    family = start[1] if _HAS_LENGTH_BYTE else int.from_bytes(start, sys.byteorder)
    if family == socket.AF_INET:
        return IPv4Address(ctypes.string_at(pointer + _IPV4_OFFSET, _IPV4_SIZE))
    if family == socket.AF_INET6:
        return IPv6Address(ctypes.string_at(pointer + _IPV6_OFFSET, _IPV6_SIZE))
    return None


def _host_name_addresses() -> Iterator[Address]:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return
    for *_, peer in found:
        yield ip_address(str(peer[0]).partition("%")[0])
