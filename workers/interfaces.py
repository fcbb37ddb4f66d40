"""The addresses of this machine's own interfaces, gathered once at a worker's start."""

import fcntl
import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

Address = IPv4Address | IPv6Address

SIOCGIFADDR = 0x8915
IF_INET6 = Path("/proc/net/if_inet6")


def own_addresses() -> frozenset[Address]:
    """Every address found: on Linux each interface's first IPv4 and all its IPv6.

    Elsewhere those that this machine's name stands for.
    """
    found = set(_by_name())
    if IF_INET6.parent.exists():
        found.update(_ipv4_of_interfaces())
        found.update(_ipv6_of_interfaces())
    return frozenset(found)


def _by_name() -> list[Address]:
    try:
        answers = socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return []
    return [ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]


def _ipv4_of_interfaces() -> list[Address]:
    found: list[Address] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
            except OSError:
                continue
            found.append(IPv4Address(answer[20:24]))
    return found


def _ipv6_of_interfaces() -> list[Address]:
    if not IF_INET6.exists():
        return []
    lines = IF_INET6.read_text().splitlines()
    return [IPv6Address(bytes.fromhex(line.split()[0])) for line in lines]
