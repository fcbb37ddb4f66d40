"""Tests of messages: conversion to options of an event and back, and content hashes."""

import orjson
import pytest
from dataclasses import fields, replace
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.dialects.qstash.parsing.message import (
    Callback,
    FlowControl,
    Message,
    canonical,
    content_hash,
    from_options,
    message_id,
    to_options,
)
from scheduler_api.dialects.qstash.parsing.redaction import Redaction

NOW_MS = 1_700_000_000_000
CALLBACK = Callback(
    url="https://example.com/back",
    method="PUT",
    headers=(("X-A", "1"),),
    content_type="text/plain",
    retries=0,
    retry_delay="5",
    timeout_ms=1,
    delay_ms=2,
)
FULL = Message(
    method="GET",
    headers=(("X-A", "1"), ("X-B", "2"), ("X-A", "3")),
    content_type="text/plain",
    retries=0,
    retry_delay="1000 * (1 + retried)",
    timeout_ms=5_000,
    delay_ms=10_000,
    not_before_ms=NOW_MS,
    deduplication_id="d",
    content_based=True,
    callback=CALLBACK,
    failure_callback=Callback("http://h/"),
    labels=("a", "b"),
    redaction=Redaction(True, True, ("x-a",)),
    queue="q",
    flow_control=FlowControl("k", parallelism=3, rate=4, period_s=60),
    caller_ip="192.0.2.1",
    topic="t",
    endpoint="e",
    cron="CRON_TZ=Asia/Tokyo * * * * *",
    tz="Asia/Tokyo",
    schedule_id="s",
)


def stored(message: Message) -> bytes:
    return orjson.dumps(to_options(message))


def test_every_field_is_stored() -> None:
    assert from_options(orjson.loads(stored(FULL))) == FULL
    assert all(getattr(FULL, f.name) != f.default for f in fields(Message))


@pytest.mark.parametrize("name", [f.name for f in fields(Message)])
def test_each_field_is_stored_separately(name: str) -> None:
    message = replace(Message(), **{name: getattr(FULL, name)})

    assert from_options(orjson.loads(stored(message))) == message
    assert len(to_options(message)) == 1


def test_defaults_take_no_space() -> None:
    assert stored(Message()) == b"{}"


def test_a_message_without_settings_takes_few_bytes() -> None:
    plain = Message(content_type="application/json", caller_ip="192.0.2.1")

    assert stored(plain) == b'{"ct":"application/json","ip":"192.0.2.1"}'


def test_zero_retries_are_stored() -> None:
    assert from_options(to_options(Message(retries=0))).retries == 0


@pytest.mark.parametrize(
    "options",
    [
        {"zz": 1},
        {"h": ["X-A"]},
        {"h": 5},
        {"c": {"m": "GET"}},
        {"c": 1},
        {"x": {"q": 1}},
    ],
)
def test_unknown_options_are_unreadable(
    options: object,
) -> None:
    with pytest.raises(UnreadableRecord):
        from_options(options)  # type: ignore[arg-type]


def test_not_before_wins_over_the_delay_and_past_means_now() -> None:
    message = Message(delay_ms=5_000)

    assert message.wanted_ms(NOW_MS) == NOW_MS + 5_000
    assert replace(message, not_before_ms=NOW_MS + 9).wanted_ms(NOW_MS) == NOW_MS + 9
    assert replace(message, not_before_ms=NOW_MS - 9).wanted_ms(NOW_MS) == NOW_MS


def test_the_content_type_is_the_first_header_sent() -> None:
    assert FULL.sent_headers[:2] == (("Content-Type", "text/plain"), ("X-A", "1"))
    assert Message().sent_headers == ()


def test_a_message_id_is_the_event_id_with_a_prefix() -> None:
    assert message_id("7k") == "msg_7k"


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("test-header", "Test-Header"),
        ("X-GITHUB-event", "X-Github-Event"),
        ("etag", "Etag"),
        ("x_y-1a", "X_y-1a"),
        ("-", "-"),
    ],
)
def test_header_names_have_a_canonical_form(name: str, spelling: str) -> None:
    assert canonical(name) == spelling


def hash_of(
    message: Message = FULL, url: str = "http://h/", body: bytes = b"body"
) -> str:
    return content_hash(message, url=url, body=body)


@pytest.mark.parametrize(
    "other",
    [
        hash_of(url="http://h/x"),
        hash_of(body=b"bodY"),
        hash_of(replace(FULL, content_type="text/html")),
        hash_of(replace(FULL, content_type=None)),
        hash_of(replace(FULL, headers=())),
        hash_of(replace(FULL, headers=(("X-A", "1"), ("X-B", "2"), ("X-A", "4")))),
        hash_of(replace(FULL, headers=(*FULL.headers, ("X-C", "")))),
    ],
)
def test_the_content_hash_covers_destination_body_and_headers(other: str) -> None:
    assert other != hash_of()


def test_the_content_hash_leaves_out_other_settings() -> None:
    bare = Message(headers=FULL.headers, content_type=FULL.content_type)

    assert hash_of(bare) == hash_of()


def test_the_content_hash_ignores_the_order_of_headers() -> None:
    assert hash_of(replace(FULL, headers=FULL.headers[::-1])) == hash_of()


@given(*[st.tuples(*[st.sampled_from(["", "a", "aa", "b"])] * 4)] * 2)
def test_property_different_contents_have_different_hashes(
    left: tuple[str, ...], right: tuple[str, ...]
) -> None:
    def of(parts: tuple[str, ...]) -> str:
        url, name, value, body = parts
        return hash_of(Message(headers=((name, value),)), url, body.encode())

    assert (of(left) == of(right)) == (left == right)
