"""Tests of listing the addresses of this machine."""

import psutil
import pytest
import socket
from ipaddress import ip_address
from types import SimpleNamespace
from workers.http_client.local_addresses import own_addresses


def entry(family: int, address: str) -> SimpleNamespace:
    return SimpleNamespace(family=family, address=address)


def test_the_loopback_address_is_included() -> None:
    assert ip_address("127.0.0.1") in own_addresses()


def test_the_ip_addresses_of_all_interfaces_are_included(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = {
        "lo": [entry(socket.AF_INET, "127.0.0.1"), entry(psutil.AF_LINK, "00:00:00")],
        "eth0": [
            entry(socket.AF_INET, "93.184.215.14"),
            entry(socket.AF_INET, "93.184.215.15"),
            entry(socket.AF_INET6, "fe80::1%eth0"),
        ],
        "down": [entry(psutil.AF_LINK, "02:fc:00:00:00:01")],
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: listed)

    assert own_addresses() == {
        ip_address("127.0.0.1"),
        ip_address("93.184.215.14"),
        ip_address("93.184.215.15"),
        ip_address("fe80::1"),
    }


def test_without_an_interface_list_the_host_name_is_resolved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError("getifaddrs")

    monkeypatch.setattr(psutil, "net_if_addrs", fail)
    monkeypatch.setattr(socket, "gethostname", lambda: "127.0.0.7")

    assert own_addresses() == {ip_address("127.0.0.7")}
