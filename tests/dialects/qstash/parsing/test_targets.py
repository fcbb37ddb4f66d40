"""Destinations as they stand in the raw target of a request."""

import pytest
from ipaddress import ip_network
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.errors import NotFound
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.message import Callback, Message
from scheduler_api.dialects.qstash.parsing.targets import (
    check_callbacks,
    read_destination,
    read_group_name,
    read_target,
)

ROUTE = "/v2/publish/"
OUTSIDE = AddressPolicy()
LOOPBACK = AddressPolicy(allow=(ip_network("127.0.0.0/8"),))


@pytest.mark.parametrize(
    ("behind", "destination"),
    [
        ("http://h:1/p?x=1&y=2", "http://h:1/p?x=1&y=2"),
        ("http://h/a%2Fb", "http://h/a%2Fb"),
        ("http://h/a//b/", "http://h/a//b/"),
        ("http://h/%C3%BC%20b", "http://h/%C3%BC%20b"),
        ("http://h/?u=http://z/?q=1", "http://h/?u=http://z/?q=1"),
        ("http://h/x#frag", "http://h/x"),
        ("https://h", "https://h"),
        ("http%3A%2F%2Fh%2Fx", "http://h/x"),
        ("HTTPS%3a%2F%2Fh%2Fa%2520b", "HTTPS://h/a%20b"),
        ("http%3A%2F%2Fh%2Fx%3Fa%3D1?b=2", "http://h/x?a=1&b=2"),
        ("http%3A%2F%2Fh%2Fx%3Fqstash_token%3Dz%23f?b=2", "http://h/x?b=2"),
        ("http://h/v2/publish/http://z", "http://h/v2/publish/http://z"),
        ("http://h/?a=1&a=2&&b=%26+", "http://h/?a=1&a=2&&b=%26+"),
        ("http://h/?", "http://h/?"),
        ("http://h?x", "http://h?x"),
        ("name", "name"),
    ],
)
@pytest.mark.parametrize("server", ["RAW_URI", "REQUEST_URI"])
@pytest.mark.parametrize("before", ["", "/prefix", "http://api.example.com:8080"])
def test_destination_is_taken_as_it_came(
    server: str, before: str, behind: str, destination: str
) -> None:
    environ = {server: f"{before}{ROUTE}{behind}"}

    assert read_target(environ, route=ROUTE).destination == destination


def test_what_is_meant_for_this_api_does_not_go_on() -> None:
    query = (
        "a=1&qstash_token=secret&Upstash-Delay=10s&b&upstash-label=x+y%2Cz"
        "&qst%61sh_token=secret&%75pstash-retries=3&QSTASH_TOKEN=secret&=&c=%2f"
    )
    target = read_target({"RAW_URI": f"{ROUTE}http://h/?{query}"}, route=ROUTE)

    assert target.destination == "http://h/?a=1&b&=&c=%2f"
    assert target.configuration == (
        ("upstash-delay", "10s"),
        ("upstash-label", "x y,z"),
        ("upstash-retries", "3"),
    )


def test_nothing_is_left_of_a_query_that_was_all_ours() -> None:
    environ = {"RAW_URI": f"{ROUTE}http://h/x?qstash_token=secret"}

    assert read_target(environ, route=ROUTE).destination == "http://h/x"


@pytest.mark.parametrize("named", ["group?x=1", "group?", "group?x=http://h/"])
def test_query_behind_a_group_is_told(named: str) -> None:
    with pytest.raises(BadValue, match="should have no query"):
        read_group_name(named)


@pytest.mark.parametrize("raw", ["/v2/publish/", "/v2/pub%6Cish/http://h", "/v2", ""])
def test_route_that_is_not_there_is_not_found(raw: str) -> None:
    with pytest.raises(NotFound):
        read_target({"RAW_URI": raw}, route=ROUTE)


def test_raw_utf8_is_sent_as_escapes() -> None:
    raw = f"{ROUTE}http://h/ü?ß".encode().decode("latin-1")
    destination = read_target({"RAW_URI": raw}, route=ROUTE).destination

    assert read_destination(destination, OUTSIDE) == "http://h/%C3%BC?%C3%9F"


def test_fragment_is_no_part_of_what_is_signed() -> None:
    assert read_destination("http://h/x?a=1#part", OUTSIDE) == "http://h/x?a=1"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("ftp://h", "endpoint has invalid scheme, add http:// or https://"),
        ("h.com/x", "endpoint has invalid scheme, add http:// or https://"),
        ("/http://h", "endpoint has invalid scheme, add http:// or https://"),
        ("http://", "URL names no host"),
        ("http:/h", "endpoint has invalid scheme, add http:// or https://"),
        ("http://u:p@h/", "URL has a user or password before the host"),
        ("http://[::1]/", "endpoint resolves to a loopback address: ::1"),
        ("http://127.1.2.3:1/", "endpoint resolves to a loopback address: 127.1.2.3"),
        ("http://localhost", "endpoint resolves to a loopback address: 127.0.0.1"),
        ("http://a.LocalHost./", "endpoint resolves to a loopback address: 127.0.0.1"),
        ("http://10.0.0.1/", "endpoint resolves to an address that is shut: 10.0.0.1"),
        ("http://169.254.169.254/", "endpoint resolves to an address that is shut"),
        ("http://h/" + "a" * 9000, "URL is longer than 8192 characters"),
    ],
)
def test_bad_destinations_are_refused(named: str, message: str) -> None:
    with pytest.raises(BadValue) as caught:
        read_destination(named, OUTSIDE)

    assert str(caught.value).startswith(f"invalid destination url: {message}")


@pytest.mark.parametrize("named", ["a b", "ü", ""])
def test_what_is_neither_url_nor_name_is_refused(named: str) -> None:
    with pytest.raises(BadValue, match=r"destination should be 1 to 256 letters"):
        read_group_name(named)


@pytest.mark.parametrize("named", ["group", "h.com", "a_b-C.1", "a" * 256])
def test_what_may_be_a_name_is_that_of_a_url_group(named: str) -> None:
    assert read_group_name(named) == named


@pytest.mark.parametrize("named", ["http://h.com", "h.com/", "h.com:80", "a" * 257])
def test_what_can_be_no_name_is_no_url_group(named: str) -> None:
    assert read_group_name(named) is None


@pytest.mark.parametrize("named", ["api/llm", "api/email", "api/llm/v1"])
def test_apis_of_the_hosted_service_are_refused_by_name(named: str) -> None:
    with pytest.raises(BadValue, match=f"destination '{named}' is not supported"):
        read_destination(named, OUTSIDE)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://localhost:1/x"])
def test_loopback_is_a_destination_where_it_is_allowed(url: str) -> None:
    assert read_destination(url, LOOPBACK) == url


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (AddressPolicy(https_only=True), "URL must begin with https://"),
        (
            AddressPolicy(ports=frozenset({443})),
            "port 80 is not allowed: use one of 443",
        ),
    ],
)
def test_s07_s09_installation_may_narrow_schemes_and_ports(
    policy: AddressPolicy, message: str
) -> None:
    told = Message(callback=Callback("http://h/"))

    with pytest.raises(BadValue, match=f"^invalid destination url: {message}"):
        read_destination("http://h/", policy)
    with pytest.raises(BadValue, match=f"^Upstash-Callback: {message}"):
        check_callbacks(told, allow=policy)
    assert read_destination("https://h/", policy) == "https://h/"


@pytest.mark.parametrize("name", ["callback", "failure_callback"])
def test_callbacks_are_held_to_the_same(name: str) -> None:
    shut = Callback("http://127.0.0.1/")
    message = Message(
        callback=shut if name == "callback" else None,
        failure_callback=shut if name != "callback" else None,
    )
    shown = "Upstash-Callback" if name == "callback" else "Upstash-Failure-Callback"

    with pytest.raises(BadValue, match=f"{shown}: endpoint resolves to a loopback"):
        check_callbacks(message, allow=OUTSIDE)
    check_callbacks(message, allow=LOOPBACK)
