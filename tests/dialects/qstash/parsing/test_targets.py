"""Tests of destinations in the path of a request: how they are read and checked."""

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
    ("target", "destination"),
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
        ("https:%2F%2Fh%2Fa%2520b?c", "https://h/a%20b?c"),
        ("https:/%2Fh%2Fx", "https://h/x"),
        ("https:/h/a//b?u=http:/z", "https://h/a//b?u=http:/z"),
        ("HTTP:/h:1", "HTTP://h:1"),
        ("https%3A%2Fh%2Fx", "https://h/x"),
        ("https:///h", "https:///h"),
        ("name", "name"),
    ],
)
@pytest.mark.parametrize("server", ["RAW_URI", "REQUEST_URI"])
@pytest.mark.parametrize(
    ("mount", "before"),
    [
        ("", ROUTE),
        ("", "/V2/PubLish/"),
        ("", f"http://api.example.com:8080{ROUTE}"),
        ("/prefix", f"/prefix{ROUTE}"),
        ("/prefix", f"HTTP://h/prefix{ROUTE}"),
    ],
)
def test_a_destination_is_taken_unchanged_from_the_raw_target(
    server: str, mount: str, before: str, target: str, destination: str
) -> None:
    environ = {server: before + target, "SCRIPT_NAME": mount}

    assert read_target(environ, route=ROUTE).destination == destination


def test_token_and_configuration_are_removed_from_the_destination() -> None:
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


def test_a_query_of_configuration_only_is_removed() -> None:
    environ = {"RAW_URI": f"{ROUTE}http://h/x?qstash_token=secret"}

    assert read_target(environ, route=ROUTE).destination == "http://h/x"


@pytest.mark.parametrize("text", ["group?x=1", "group?", "group?x=http://h/"])
def test_a_url_group_with_a_query_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="should have no query"):
        read_group_name(text)


@pytest.mark.parametrize(
    "raw",
    [
        *("/v2/pub%6Cish/http://h", "/v2", "", "/prefix/v2/publish/http://h"),
        "/v2/pub%6Cish/http://h/v2/publish/http://z",
    ],
)
def test_a_target_without_the_route_is_not_found(raw: str) -> None:
    with pytest.raises(NotFound):
        read_target({"RAW_URI": raw}, route=ROUTE)


def test_raw_utf8_is_percent_encoded() -> None:
    raw = f"{ROUTE}http://h/ü?ß".encode().decode("latin-1")
    destination = read_target({"RAW_URI": raw}, route=ROUTE).destination

    assert destination == "http://h/%C3%BC?%C3%9F"
    assert read_destination(destination, OUTSIDE) == destination


def test_a_fragment_is_removed() -> None:
    assert read_destination("http://h/x?a=1#part", OUTSIDE) == "http://h/x?a=1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://h", "endpoint has invalid scheme, add http:// or https://"),
        ("h.com/x", "endpoint has invalid scheme, add http:// or https://"),
        ("/http://h", "endpoint has invalid scheme, add http:// or https://"),
        ("http://", "URL has no host"),
        ("http:/h", "endpoint has invalid scheme, add http:// or https://"),
        ("http://u:p@h/", "URL has a user or password before the host"),
        ("http://[::1]/", "endpoint resolves to a loopback address: ::1"),
        ("http://127.1.2.3:1/", "endpoint resolves to a loopback address: 127.1.2.3"),
        ("http://localhost", "endpoint resolves to a loopback address: 127.0.0.1"),
        ("http://a.LocalHost./", "endpoint resolves to a loopback address: 127.0.0.1"),
        ("http://10.0.0.1/", "endpoint resolves to a blocked address: 10.0.0.1"),
        ("http://169.254.169.254/", "endpoint resolves to a blocked address"),
        ("http://h/" + "a" * 9000, "URL is longer than 8192 characters"),
    ],
)
def test_bad_destinations_are_refused(text: str, message: str) -> None:
    with pytest.raises(BadValue) as caught:
        read_destination(text, OUTSIDE)

    assert str(caught.value).startswith(f"invalid destination url: {message}")


@pytest.mark.parametrize("text", ["a b", "ü", ""])
def test_a_text_that_is_neither_url_nor_name_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match=r"destination should be 1 to 256 letters"):
        read_group_name(text)


@pytest.mark.parametrize("text", ["group", "h.com", "a_b-C.1", "a" * 256])
def test_a_name_is_a_url_group(text: str) -> None:
    assert read_group_name(text) == text


@pytest.mark.parametrize("text", ["http://h.com", "h.com/", "h.com:80", "a" * 257])
def test_a_url_is_not_a_url_group(text: str) -> None:
    assert read_group_name(text) is None


@pytest.mark.parametrize("text", ["api/llm", "api/email", "api/llm/v1"])
def test_the_hosted_services_own_apis_are_refused(text: str) -> None:
    with pytest.raises(BadValue, match=f"destination '{text}' is not supported"):
        read_destination(text, OUTSIDE)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://localhost:1/x"])
def test_a_loopback_destination_can_be_allowed(url: str) -> None:
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
def test_s07_s09_the_policy_can_restrict_schemes_and_ports(
    policy: AddressPolicy, message: str
) -> None:
    message_with_callback = Message(callback=Callback("http://h/"))

    with pytest.raises(BadValue, match=f"^invalid destination url: {message}"):
        read_destination("http://h/", policy)
    with pytest.raises(BadValue, match=f"^Upstash-Callback: {message}"):
        check_callbacks(message_with_callback, policy=policy)
    assert read_destination("https://h/", policy) == "https://h/"


@pytest.mark.parametrize("name", ["callback", "failure_callback"])
def test_callbacks_are_checked_like_destinations(name: str) -> None:
    blocked = Callback("http://127.0.0.1/")
    message = Message(
        callback=blocked if name == "callback" else None,
        failure_callback=blocked if name != "callback" else None,
    )
    header = "Upstash-Callback" if name == "callback" else "Upstash-Failure-Callback"

    with pytest.raises(BadValue, match=f"{header}: endpoint resolves to a loopback"):
        check_callbacks(message, policy=OUTSIDE)
    check_callbacks(message, policy=LOOPBACK)
