"""Tests of the client's address, from the connection and `X-Forwarded-For`."""

import pytest
from ipaddress import ip_network
from scheduler_api.web.client_address import client_address, is_from_loopback

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("10.0.0.1", "198.51.100.9, 192.0.2.7 ,10.0.0.2,fd00::2", "192.0.2.7"),
        ("::ffff:10.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("fd00::1", "[2001:db8::7]:4711, 10.0.0.2:80", "2001:db8::7"),
        ("10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_untrusted_address(
    peer: str, forwarded_for: str, client: str
) -> None:
    assert client_address(peer, forwarded_for, trusted=TRUSTED) == client


@pytest.mark.parametrize("peer", ["192.0.2.1", "2001:db8::1", "", "unix:"])
def test_the_header_of_an_untrusted_peer_is_ignored(peer: str) -> None:
    assert client_address(peer, "192.0.2.7", trusted=TRUSTED) == peer


@pytest.mark.parametrize(
    "entry", ["unknown", "_hidden", "[", "1.2.3", "1.2.3.4:x", "é"]
)
def test_the_search_stops_at_an_invalid_address(entry: str) -> None:
    forwarded_for = f"192.0.2.7, {entry}, 10.0.0.2"

    assert client_address("10.0.0.1", forwarded_for, trusted=TRUSTED) == "10.0.0.2"


@pytest.mark.parametrize(
    ("address", "headers", "is_local"),
    [
        ("127.0.0.1", {}, True),
        ("127.9.9.9", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("192.0.2.7", {}, False),
        ("10.0.0.1", {}, False),
        ("", {}, False),
        ("127.0.0.1", {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, False),
        ("127.0.0.1", {"HTTP_X_REAL_IP": "192.0.2.7"}, False),
        ("127.0.0.1", {"HTTP_FORWARDED": "for=192.0.2.7"}, False),
        ("127.0.0.1", {"HTTP_VIA": "1.1 proxy"}, False),
        ("127.0.0.1", {"HTTP_X_FORWARDED_PROTO": "https"}, False),
    ],
)
def test_a_proxy_on_this_machine_does_not_make_a_request_local(
    address: str, headers: dict[str, str], is_local: bool
) -> None:
    assert is_from_loopback({"REMOTE_ADDR": address, **headers}) is is_local
