"""Tests of forwarded headers: which are forwarded or refused, and under which names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.headers import check_outbound, is_reserved
from scheduler_api.dialects.qstash.parsing.forwarded_headers import (
    DELIVERY_HEADERS,
    HEADERS_MAX,
    HEADERS_MAX_BYTES,
)
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.message import Callback, Message
from scheduler_api.dialects.qstash.parsing.request_headers import from_headers
from tests.dialects.qstash.header_parsing import BACK, read, refusal


def test_forwarded_headers_keep_their_order_and_get_canonical_names() -> None:
    message = from_headers(
        [
            ("Upstash-Forward-x-b", "1"),
            ("upstash-forward-authorization", "Bearer theirs"),
            ("Upstash-Forward-X-B", "2"),
            ("Upstash-Forward-Cookie", "a=b"),
            ("Upstash-Forward-Forward-To", "x"),
        ]
    )

    assert message.headers == (
        ("X-B", "1"),
        ("Authorization", "Bearer theirs"),
        ("X-B", "2"),
        ("Cookie", "a=b"),
        ("Forward-To", "x"),
    )


def test_a_forwarded_header_may_have_a_name_that_begins_with_upstash() -> None:
    message = read({"Upstash-Forward-Upstash-Foo": "1"})

    assert message.headers == (("Upstash-Foo", "1"),)


def test_a_forwarded_content_type_overrides_the_requests_own() -> None:
    message = read(
        {"Upstash-Forward-content-type": "text/html", "Content-Type": "text/plain"}
    )

    assert message.content_type == "text/html"
    assert message.headers == ()


@pytest.mark.parametrize(
    "name",
    [
        *sorted(DELIVERY_HEADERS),
        *("Host", "Content-Length", "TE", "Proxy-X", "Upstash-Telemetry-Sdk"),
        "Scheduler-Possible-Duplicate",
    ],
)
@pytest.mark.parametrize(
    "prefix", ["Upstash-Forward-", "Upstash-Callback-Forward-", "Upstash-Callback-"]
)
def test_s17_reserved_headers_are_dropped(prefix: str, name: str) -> None:
    message = read({prefix + name: "x", "Upstash-Callback": BACK})

    assert message == Message(callback=Callback(BACK))


def test_s17_forwarding_all_headers_leaves_out_those_meant_for_this_server() -> None:
    headers = {
        "Host": "scheduler",
        "User-Agent": "GitHub",
        "Content-Type": "application/json",
        "Content-Length": "2",
        "Authorization": "Bearer ours",
        "Scheduler-Tenant": "1",
        "X-Api-Key": "ours",
        "x_api.key": "ours",
        "Cookie": "session=1",
        "Transfer_encoding": "chunked",
        "Accept-Encoding": "gzip",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "X-Forwarded-For": "10.0.0.1",
        "X-Real-Ip": "10.0.0.1",
        "Via": "proxy",
        "Upstash-Delay": "1s",
        "upstash-telemetry-sdk": "js",
        "Upstash-Forward-X-Mine": "explicit",
        "x-mine": "implicit",
        "x-github-event": "push",
        "Accept": "*/*",
    }

    message = read(headers, query=[("upstash-header-forward", "true")])

    assert message == Message(
        content_type="application/json",
        delay_ms=1_000,
        headers=(
            ("X-Github-Event", "push"),
            ("Accept", "*/*"),
            ("X-Mine", "explicit"),
        ),
    )


def test_headers_are_not_forwarded_unless_header_forward_is_true() -> None:
    assert read({"Upstash-Header-Forward": "false", "X-A": "1"}).headers == ()


@pytest.mark.parametrize(
    "headers",
    [
        {"Upstash-Forward-X-A": "a\r\nX-Injected: 1"},
        {"Upstash-Forward-X-A": "a\x00"},
        {"Upstash-Forward-X-A": "漢"},
        {"Upstash-Forward-X A": "a"},
        {"Upstash-Forward-": "a"},
        {"Upstash-Forward-X-A:": "a"},
        {"Upstash-Callback-Forward-X-A": "a\n", "Upstash-Callback": BACK},
        {"Upstash-Failure-Callback-X\n": "a", "Upstash-Failure-Callback": BACK},
        {"Content-Type": "text/plain\n"},
        {"Upstash-Header-Forward": "true", "X-A": "\x01"},
    ],
)
def test_s16_a_header_that_cannot_be_sent_is_refused(headers: dict[str, str]) -> None:
    assert "cannot be forwarded" in str(refusal(headers))


def test_s16_the_error_names_the_header_with_its_prefix() -> None:
    assert refusal({"upstash-forward-x-a": "\x00"}).name == "Upstash-Forward-X-A"


def test_s18_the_number_and_size_of_headers_are_limited() -> None:
    maximum = {f"Upstash-Forward-X-{n}": "" for n in range(HEADERS_MAX)}

    assert len(read(maximum).headers) == HEADERS_MAX
    assert refusal(maximum | {"Upstash-Forward-Y": ""}).name == "Upstash-Forward-*"
    refusal({"Upstash-Forward-X": "a" * HEADERS_MAX_BYTES})
    longest = "a" * HEADERS_MAX_BYTES
    assert read({"Content-Type": longest}).content_type == longest
    assert refusal({"Content-Type": longest + "a"}).name == "Content-Type"


NAMES = ["Host", "X-A", "x-a", "Upstash-Retried", "Content-Type", "Te", ""]
PREFIXES = ["", "Upstash-Forward-", "Upstash-Callback-", "upstash-callback-forward-"]


@given(
    st.lists(
        st.tuples(
            st.builds(
                "{}{}{}".format,
                st.sampled_from(PREFIXES),
                st.sampled_from(NAMES),
                st.sampled_from(["", "", "\r\nX: 1", " ", "\x00", "é"]) | st.text(),
            ),
            st.sampled_from(["v", "", "é", "a\r\nb", "\x00"]) | st.text(max_size=5),
        ),
        max_size=5,
    )
)
def test_s16_s17_property_every_kept_header_can_be_sent_and_is_not_reserved(
    pairs: list[tuple[str, str]],
) -> None:
    fixed = [("Upstash-Callback", BACK), ("Upstash-Header-Forward", "true")]
    try:
        message = from_headers([*fixed, *pairs])
    except BadValue as fault:
        assert str(fault)
        return

    assert message.callback is not None
    kept = [*message.sent_headers, *message.callback.headers]
    for name, value in kept:
        check_outbound(name, value)
        assert not is_reserved(name)
        assert name.lower() not in DELIVERY_HEADERS | {"authorization", "cookie"}
