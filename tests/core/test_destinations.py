"""Holds S-01, S-02, S-05 to S-07: what a URL means, and which addresses are shut."""

import pytest
from collections.abc import Iterator
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
from scheduler_api.core.destinations import (
    URL_MAX_LENGTH,
    AddressPolicy,
    BadDestination,
    parse,
)
from scheduler_api.core.variables import read_networks
from urllib.parse import urlsplit
from yarl import URL

# Written out once more, so that a slip in the table of the module shows.
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
    """Yield the IPv6 addresses that may end at an IPv4 one."""
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
def test_s01_first_and_last_of_each_block_are_shut(
    block: IPv4Network | IPv6Network,
) -> None:
    for address in (block[0], block[-1]):
        if address not in NAT64:
            assert DEFAULT.refusal(str(address), 443) is not None


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_s01_the_neighbours_of_each_block_are_judged_on_their_own(
    block: IPv4Network | IPv6Network,
) -> None:
    whole = 2**block.max_prefixlen
    for number in (int(block[0]) - 1, int(block[-1]) + 1):
        neighbour = type(block[0])(number % whole)
        shut = DEFAULT.refusal(str(neighbour), 443) is not None

        assert shut == is_listed(neighbour), neighbour


@given(st.sampled_from(BLOCKS), st.data())
def test_s01_property_every_address_of_a_block_is_shut(
    block: IPv4Network | IPv6Network, data: st.DataObject
) -> None:
    number = data.draw(st.integers(int(block[0]), int(block[-1])))
    address = type(block[0])(number)

    assert (DEFAULT.refusal(str(address), 443) is None) == (not is_listed(address))


@given(st.one_of(addresses_v4, addresses_v6))
def test_s01_property_any_address_is_shut_exactly_if_listed(
    address: IPv4Address | IPv6Address,
) -> None:
    assert (DEFAULT.refusal(str(address), 443) is None) == (not is_listed(address))


@given(addresses_v4)
def test_s01_property_nat64_has_the_verdict_of_its_ipv4_address(
    address: IPv4Address,
) -> None:
    translated = IPv6Address(int(NAT64[0]) | int(address))

    assert DEFAULT.refusal(str(translated), 1) == DEFAULT.refusal(str(address), 1)


@given(addresses_v4)
def test_s01_property_no_ipv6_spelling_opens_what_is_shut(address: IPv4Address) -> None:
    if DEFAULT.refusal(str(address), 1) is None:
        return

    for spelled in spellings(address):
        if IPv6Address("2606::") <= spelled:
            continue  # an ordinary public network, whatever its last bits say
        assert DEFAULT.refusal(str(spelled), 1) is not None, spelled


@pytest.mark.parametrize("address", SINGLE)
def test_s01_metadata_addresses_stay_shut_whatever_is_allowed(address: str) -> None:
    assert DEFAULT.refusal(address, 80) == "metadata"
    assert OPEN.refusal(address, 80) == "metadata"


@given(
    st.one_of(
        st.integers(0, 2**16 - 1).map(lambda n: IPv4Address("169.254.0.0") + n),
        st.sampled_from([IPv4Address(a) for a in SINGLE if "." in a]),
    )
)
def test_s01_property_no_spelling_of_link_local_or_metadata_is_ever_allowed(
    address: IPv4Address,
) -> None:
    assert OPEN.refusal(str(address), 80) is not None
    for spelled in spellings(address):
        assert OPEN.refusal(str(spelled), 80) is not None, spelled


@pytest.mark.parametrize("address", ["fe80::1", "febf::1", "169.254.169.254"])
def test_s01_link_local_stays_shut_whatever_is_allowed(address: str) -> None:
    assert OPEN.refusal(address, 80) == "link-local"


@pytest.mark.parametrize("address", PUBLIC)
def test_s01_public_addresses_are_open(address: str) -> None:
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
def test_s01_an_allowed_network_is_open(allow: str, address: str) -> None:
    assert AddressPolicy(allow=read_networks(allow)).refusal(address, 80) is None


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "128.0.0.1", "::1", "::ffff:127.0.0.1", "::7f00:1", "2002:7f00:1::"],
)
def test_s01_allowing_loopback_opens_nothing_else(address: str) -> None:
    policy = AddressPolicy(allow=read_networks("127.0.0.0/8"))

    assert (policy.refusal(address, 80) is None) == (address == "128.0.0.1")


def test_s01_own_addresses_are_shut_even_where_public() -> None:
    own = frozenset({ip_address("93.184.215.14"), ip_address("2606:4700::7")})
    policy = AddressPolicy(own_addresses=own)

    assert policy.refusal("93.184.215.14", 443) == "own-address"
    assert policy.refusal("2606:4700::7", 443) == "own-address"
    assert policy.refusal("64:ff9b::93.184.215.14", 443) == "own-address"
    assert policy.refusal("93.184.215.15", 443) is None


def test_s01_own_addresses_open_with_the_network_they_are_in() -> None:
    own = frozenset({ip_address("93.184.215.14")})
    policy = AddressPolicy(allow=read_networks("93.184.215.0/24"), own_addresses=own)

    assert policy.refusal("93.184.215.14", 443) is None


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "10.1.1.1"],
)
def test_s01_closed_ports_stay_shut_at_this_machine(address: str) -> None:
    policy = AddressPolicy(
        allow=EVERYTHING,
        own_addresses=frozenset({ip_address("10.1.1.1")}),
        closed_ports=frozenset({(None, 6379)}),
    )

    assert policy.refusal(address, 6379) == "closed-port"
    assert policy.refusal(address, 6380) is None


def test_s01_a_closed_port_of_another_machine_is_shut_there_alone() -> None:
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
def test_s01_what_is_no_plain_address_is_shut(text: str) -> None:
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
def test_s02_what_python_calls_global_is_shut_all_the_same(address: str) -> None:
    assert DEFAULT.refusal(address, 443) is not None


READ = [
    # (given, origin, what goes over the wire after the origin)
    ("http://example.com", "http://example.com:80", "/"),
    ("http://example.com?x", "http://example.com:80", "/?x"),
    ("https://example.com/", "https://example.com:443", "/"),
    ("HTTPS://EXAMPLE.COM/A", "https://example.com:443", "/A"),
    ("http://example.com:443/", "http://example.com:443", "/"),
    ("http://example.com:00080/", "http://example.com:80", "/"),
    ("http://example.com./", "http://example.com:80", "/"),
    ("http://a_b-c.d9/", "http://a_b-c.d9:80", "/"),
    ("http://localhost:65535/", "http://localhost:65535", "/"),
    ("http://[::1]:80/x", "http://[::1]:80", "/x"),
    ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]:80", "/"),
    ("http://[2606:4700::ABCD]/", "http://[2606:4700::abcd]:80", "/"),
    ("http://[::ffff:1.2.3.4]/", "http://[::ffff:102:304]:80", "/"),
    ("http://h/a//b/../c/./d", "http://h:80", "/a//b/../c/./d"),
    ("http://h/%2f%2F%41%zz%", "http://h:80", "/%2f%2F%41%zz%"),
    ("http://h/?q=%41&q=a+b&&=", "http://h:80", "/?q=%41&q=a+b&&="),
    ("http://h/a?b?c", "http://h:80", "/a?b?c"),
    ("http://h/a#frag", "http://h:80", "/a"),
    ("http://h/a?b#frag?c", "http://h:80", "/a?b"),
    ("http://h/@b:c", "http://h:80", "/@b:c"),
    ("http://h/;x='\"<>{}|^`", "http://h:80", "/;x='\"<>{}|^`"),
    ("http://h?@evil.example/", "http://h:80", "/?@evil.example/"),
    ("http://h/https://other/x", "http://h:80", "/https://other/x"),
    (
        "http://bücher.example/ü?ü=%fc",
        "http://xn--bcher-kva.example:80",
        "/%C3%BC?%C3%BC=%fc",
    ),
    ("http://faß.de/", "http://xn--fa-hia.de:80", "/"),
    ("http://例え.テスト/", "http://xn--r8jz45g.xn--zckzah:80", "/"),
    ("http://xn--bcher-kva.example/", "http://xn--bcher-kva.example:80", "/"),
    ("http://127.1/", "http://127.1:80", "/"),
    ("http://①②⑦.0.0.1/", "http://127.0.0.1:80", "/"),
    ("http://a。b/", "http://a.b:80", "/"),
]

REFUSED = [
    "",
    "/path",
    "//example.com/",
    "example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "ws://example.com/",
    "http:",
    "http:/",
    "http://",
    "http:///path",
    "http:/example.com/",
    "http:example.com",
    "http://?x",
    "http://#x",
    "http://:80/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http:\\\\example.com/",
    "http://example.com/a\\b",
    "http://user@example.com/",
    "http://user:pass@example.com/",
    "http://@example.com/",
    "http://:@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1%2f@example.com/",
    "http://h%2eexample.com/",
    "http://%31%32%37.0.0.1/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[::1/",
    "http://::1/",
    "http://[::1]x/",
    "http://x[::1]/",
    "http://[::1]:/",
    "http://[]/",
    "http://[v1.x]/",
    "http://[1.2.3.4]/",
    "http://[::g]/",
    "http://[[::1]]/",
    "http://h:/",
    "http://h:0/",
    "http://h:65536/",
    "http://h:99999/",
    "http://h:-1/",
    "http://h:+80/",
    "http://h:8_0/",
    "http://h:٣/",
    "http://h:80:80/",
    "http://h:80a/",
    "http://h: 80/",
    "http://ex ample.com/",
    " http://example.com/",
    "http://example.com/ ",
    "http://example.com/a b",
    "http://example.com/\r\nX-Injected: 1",
    "http://example.com/\x00",
    "http://exa\tmple.com/",
    "http://example.com/\x7f",
    "http://example.com/\x85",
    "http://example.com/\u2028",
    "http://example.com/\ud800",
    "\ufeffhttp://example.com/",
    "http://a..b/",
    "http://.a/",
    "http://-a.b/",
    "http://a,b/",
    "http://a;b/",
    "http://*/",
    "http://a$b/",
    "http://ex℀mple.com/",
    "http://\uff41\uff0f\uff42/",
    f"http://{'a' * 64}.com/",
    f"http://{'a.' * 130}com/",
    f"http://{'é' * 60}.com/",
    f"http://h/{'a' * URL_MAX_LENGTH}",
]


@pytest.mark.parametrize(("given_url", "origin", "target"), READ)
def test_s06_a_readable_url_has_one_reading(
    given_url: str, origin: str, target: str
) -> None:
    destination = parse(given_url)

    assert destination.url == given_url
    assert str(destination.origin) == origin
    assert destination.target == target
    connects, second = URL(destination.wire, encoded=True), urlsplit(destination.wire)
    assert connects.raw_path_qs == target
    assert connects.raw_host == second.hostname
    assert connects.raw_host is not None
    assert connects.raw_host.rstrip(".") == destination.host
    assert connects.port == destination.port


@pytest.mark.parametrize("url", REFUSED)
def test_s06_what_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(BadDestination) as refusal:
        parse(url)
    assert len(str(refusal.value)) > 10


@given(
    st.text(
        alphabet=st.sampled_from("ab1.:/@\\?#[]%&;=+-_~ \t\r\n\x00é。①℀\uff10"),
        max_size=30,
    )
)
def test_s06_property_both_parsers_agree_or_the_url_is_refused(rest: str) -> None:
    try:
        destination = parse("http://" + rest)
    except BadDestination:
        return

    connects, second = URL(destination.wire, encoded=True), urlsplit(destination.wire)
    assert destination.wire.isascii()
    assert connects.raw_host == second.hostname
    assert connects.port == (second.port or 80) == destination.port
    assert connects.user is None
    assert second.username is None


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "0",
        "①②⑦.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
    ],
)
def test_s05_a_spelling_is_never_shown_as_another_host_than_it_connects_to(
    host: str,
) -> None:
    destination = parse(f"http://{host}/")

    assert URL(destination.wire, encoded=True).raw_host == destination.host


def test_s07_only_https_where_only_https_is_wanted() -> None:
    policy = AddressPolicy(https_only=True)
    assert policy.read("https://h/").port == 443

    with pytest.raises(BadDestination, match="https"):
        policy.read("http://h/")


def test_s07_only_listed_ports_where_ports_are_listed() -> None:
    policy = AddressPolicy(ports=frozenset({80, 443, 8080}))
    assert policy.read("http://h:8080/").port == 8080
    assert policy.read("https://h/").port == 443

    with pytest.raises(BadDestination, match="22 is not allowed: use one of 80, 443"):
        policy.read("http://h:22/")


def test_s07_ports_hold_at_the_socket_too() -> None:
    policy = AddressPolicy(ports=frozenset({443}))

    assert policy.refusal("93.184.215.14", 443) is None
    assert policy.refusal("93.184.215.14", 0) is None
    assert policy.refusal("93.184.215.14", 80) == "port not allowed"


def test_s07_the_longest_url_is_a_setting() -> None:
    assert parse("http://h/ab", max_length=11)

    with pytest.raises(BadDestination, match="10"):
        parse("http://h/ab", max_length=10)
