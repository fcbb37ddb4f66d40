"""Tests of which IP addresses are blocked.

The tests cover the rules S-01 and S-02, also for IPv6 addresses that contain an IPv4
address.
"""

import pytest
from collections.abc import Iterator
from dataclasses import replace
from hypothesis import given
from hypothesis import strategies as st
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from scheduler_api.core.delivery.destinations import AddressPolicy, parse
from scheduler_api.core.settings.variables import read_networks

# Copies of the tables of blocked networks, so that accidental changes fail a test.
BLOCKS_V4 = [
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
]
BLOCKS_V6 = [
    "::/8",
    "64:ff9b:1::/48",
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
]
SINGLE = [
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
]
BLOCKS = [ip_network(block) for block in BLOCKS_V4 + BLOCKS_V6]
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700::1111", "2a00:1450::1"]
EVERYTHING = read_networks("0.0.0.0/0, ::/0")
NAT64 = IPv6Network("64:ff9b::/96")
DEFAULT = AddressPolicy()
OPEN = AddressPolicy(allow=EVERYTHING)
addresses_v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
addresses_v6 = st.integers(0, 2**128 - 1).map(IPv6Address)


def spellings(address: IPv4Address) -> Iterator[IPv6Address]:
    """Yield IPv6 addresses that contain `address`.

    A network may route packets for these IPv6 addresses to `address`.
    """
    bits = int(address)
    for prefix in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::"):
        yield IPv6Address(int(IPv6Address(prefix)) | bits)
    yield IPv6Address(int(IPv6Address("2002::")) | bits << 80)
    yield IPv6Address(int(IPv6Address("2001::")) | bits ^ 0xFFFFFFFF)
    yield IPv6Address(int(IPv6Address("2001::")) | bits << 64)
    for interface in ("2606:4700::5efe:0:0", "2606:4700::200:5efe:0:0"):
        yield IPv6Address(int(IPv6Address(interface)) | bits)


def is_listed(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and address in NAT64:
        return is_listed(IPv4Address(int(address) & 0xFFFFFFFF))
    return str(address) in SINGLE or any(address in block for block in BLOCKS)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_s01_the_first_and_last_address_of_each_block_are_blocked(
    block: IPv4Network | IPv6Network,
) -> None:
    for address in (block[0], block[-1]):
        if address not in NAT64:
            assert DEFAULT.refusal(str(address), 443) is not None


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_s01_the_neighbours_of_a_block_are_blocked_only_if_they_are_listed(
    block: IPv4Network | IPv6Network,
) -> None:
    size = 2**block.max_prefixlen
    for number in (int(block[0]) - 1, int(block[-1]) + 1):
        neighbour = type(block[0])(number % size)
        blocked = DEFAULT.refusal(str(neighbour), 443) is not None

        assert blocked == is_listed(neighbour), neighbour


@given(st.sampled_from(BLOCKS), st.data())
def test_s01_every_address_of_a_block_is_blocked(
    block: IPv4Network | IPv6Network, data: st.DataObject
) -> None:
    number = data.draw(st.integers(int(block[0]), int(block[-1])))
    address = type(block[0])(number)

    assert (DEFAULT.refusal(str(address), 443) is None) == (not is_listed(address))


@given(st.one_of(addresses_v4, addresses_v6))
def test_s01_an_address_is_blocked_exactly_if_it_is_listed(
    address: IPv4Address | IPv6Address,
) -> None:
    assert (DEFAULT.refusal(str(address), 443) is None) == (not is_listed(address))


@given(addresses_v4)
def test_s01_a_nat64_address_is_blocked_like_its_ipv4_address(
    address: IPv4Address,
) -> None:
    translated = IPv6Address(int(NAT64[0]) | int(address))

    assert DEFAULT.refusal(str(translated), 1) == DEFAULT.refusal(str(address), 1)


@given(addresses_v4)
def test_s01_ipv6_forms_of_a_blocked_ipv4_address_are_blocked(
    address: IPv4Address,
) -> None:
    if DEFAULT.refusal(str(address), 1) is None:
        return

    for spelled in spellings(address):
        if IPv6Address("2606::") <= spelled:
            continue  # `spelled` is in a public network, which is allowed
        assert DEFAULT.refusal(str(spelled), 1) is not None, spelled


@pytest.mark.parametrize("address", SINGLE)
def test_s01_metadata_addresses_are_blocked_in_allowed_networks(address: str) -> None:
    assert DEFAULT.refusal(address, 80) == "metadata"
    assert OPEN.refusal(address, 80) == "metadata"


@given(
    st.one_of(
        st.integers(0, 2**16 - 1).map(lambda n: IPv4Address("169.254.0.0") + n),
        st.sampled_from([IPv4Address(a) for a in SINGLE if "." in a]),
    )
)
def test_s01_ipv6_forms_of_link_local_and_metadata_addresses_are_always_blocked(
    address: IPv4Address,
) -> None:
    assert OPEN.refusal(str(address), 80) is not None
    for spelled in spellings(address):
        assert OPEN.refusal(str(spelled), 80) is not None, spelled


@pytest.mark.parametrize("address", ["fe80::1", "febf::1", "169.254.169.254"])
def test_s01_link_local_addresses_are_blocked_in_allowed_networks(address: str) -> None:
    assert OPEN.refusal(address, 80) == "link-local"


@pytest.mark.parametrize("address", PUBLIC)
def test_s01_public_addresses_are_allowed(address: str) -> None:
    assert DEFAULT.refusal(address, 443) is None


@pytest.mark.parametrize(
    ("allow", "address"),
    [
        ("127.0.0.0/8", "127.0.0.1"),
        ("10.0.0.0/8", "10.255.255.255"),
        ("::1/128", "::1"),
        ("fd00::/8", "fd12::1"),
        ("192.168.1.7/32", "192.168.1.7"),
        ("10.0.0.0/8", "64:ff9b::10.1.2.3"),
    ],
)
def test_s01_addresses_of_an_allowed_network_are_allowed(
    allow: str, address: str
) -> None:
    assert AddressPolicy(allow=read_networks(allow)).refusal(address, 80) is None


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "128.0.0.1", "::1", "::ffff:127.0.0.1", "::7f00:1", "2002:7f00:1::"],
)
def test_s01_allowing_loopback_allows_no_other_address(address: str) -> None:
    policy = AddressPolicy(allow=read_networks("127.0.0.0/8"))

    assert (policy.refusal(address, 80) is None) == (address == "128.0.0.1")


def test_s01_public_addresses_of_this_machine_are_blocked() -> None:
    own = frozenset({ip_address("93.184.215.14"), ip_address("2606:4700::7")})
    policy = AddressPolicy(own_addresses=own)

    assert policy.refusal("93.184.215.14", 443) == "own-address"
    assert policy.refusal("2606:4700::7", 443) == "own-address"
    assert policy.refusal("64:ff9b::93.184.215.14", 443) == "own-address"
    assert policy.refusal("93.184.215.15", 443) is None


def test_s01_addresses_of_this_machine_can_be_allowed() -> None:
    own = frozenset({ip_address("93.184.215.14")})
    policy = AddressPolicy(allow=read_networks("93.184.215.0/24"), own_addresses=own)

    assert policy.refusal("93.184.215.14", 443) is None


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "10.1.1.1"],
)
def test_s01_closed_ports_of_this_machine_are_blocked(address: str) -> None:
    policy = AddressPolicy(
        allow=EVERYTHING,
        own_addresses=frozenset({ip_address("10.1.1.1")}),
        closed_ports=frozenset({(None, 6379)}),
    )

    assert policy.refusal(address, 6379) == "closed-port"
    assert policy.refusal(address, 6380) is None


def test_s01_a_closed_port_of_another_machine_is_blocked_only_there() -> None:
    store = ip_address("10.0.0.5")
    policy = AddressPolicy(allow=EVERYTHING, closed_ports=frozenset({(store, 6379)}))

    assert policy.refusal("10.0.0.5", 6379) == "closed-port"
    assert policy.refusal("::ffff:10.0.0.5", 6379) == "closed-port"
    assert policy.refusal("64:ff9b::10.0.0.5", 6379) == "closed-port"
    assert policy.refusal("10.0.0.5", 80) is None
    assert policy.refusal("10.0.0.6", 6379) is None


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "fe80::1%0"],
)
def test_s01_text_that_is_not_an_address_is_refused(text: str) -> None:
    assert OPEN.refusal(text, 80) is not None


@pytest.mark.parametrize(
    "address",
    [
        "224.0.0.1",
        "239.255.255.250",
        "192.88.99.1",
        "192.0.0.192",
        "168.63.129.16",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "::5efe:7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:a9fe:a9fe::1",
        "fec0::1",
        "ff02::1",
        "3fff::1",
        "5f00::1",
        "100.64.0.1",
    ],
)
def test_s02_special_addresses_that_python_calls_global_are_blocked(
    address: str,
) -> None:
    assert DEFAULT.refusal(address, 443) is not None


RECEIVER = AddressPolicy(
    allow=read_networks("127.0.0.0/8"),
    closed_ports=frozenset({(None, 8080), (None, 6379)}),
    receiver_port=8080,
)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/receiver", None),
        ("/receiver?status=503", None),
        ("/receiver/orders/7", None),
        ("/receivers", "closed-port"),
        ("//receiver/x", "closed-port"),
        ("/Receiver/x", "closed-port"),
        ("/%72eceiver/x", "closed-port"),
        ("/api/events?/receiver/", "closed-port"),
        ("/api/events#/receiver/", "closed-port"),
        ("?/receiver/", "closed-port"),
        ("", "closed-port"),
    ],
)
def test_s01_only_the_receiver_of_this_service_is_open(
    path: str, reason: str | None
) -> None:
    origin = RECEIVER.origin_of(parse(f"http://127.0.0.1:8080{path}"))

    refusal = RECEIVER.refusal("127.0.0.1", 8080, receiver=origin.receiver)

    assert refusal == reason


def test_s01_the_receiver_opens_no_other_port_and_no_network() -> None:
    store = RECEIVER.origin_of(parse("http://127.0.0.1:6379/receiver/"))

    assert RECEIVER.refusal("127.0.0.1", 6379, receiver=store.receiver) == "closed-port"
    assert RECEIVER.refusal("127.0.0.1", 6379, receiver=True) == "closed-port"
    assert RECEIVER.refusal("10.0.0.1", 8080, receiver=True) is not None
    assert RECEIVER.refusal("169.254.169.254", 8080, receiver=True) == "link-local"


def test_s01_the_receiver_is_closed_unless_it_is_served() -> None:
    policy = replace(RECEIVER, receiver_port=None)
    origin = policy.origin_of(parse("http://127.0.0.1:8080/receiver/"))

    assert policy.refusal("127.0.0.1", 8080, receiver=origin.receiver) == "closed-port"
