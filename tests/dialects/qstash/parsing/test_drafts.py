"""Tests of how parsed messages become drafts of events."""

import pytest
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.dialects.qstash.parsing.drafts import (
    CACHED_MAX_LENGTH,
    Drafts,
    Limits,
)
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.message import from_options
from scheduler_api.dialects.qstash.parsing.request_headers import HeaderLimits
from typing import Any

URL = "https://example.com/hook"
NOW_MS = 1_000_000_000_000
LIMITS = Limits(
    headers=HeaderLimits(delay_ms=60_000),
    default_timeout_ms=900_000,
    deduplication_ms=600_000,
    body_limit_bytes=1_000,
    address_policy=AddressPolicy(),
)


def draft(body: bytes = b"x", url: str = URL, **headers: str) -> Any:
    drafts = Drafts(LIMITS)
    pairs = tuple((f"upstash-{n.replace('_', '-')}", v) for n, v in headers.items())
    return drafts.draft(drafts.read(pairs), url=url, body=body, now_ms=NOW_MS)


def test_a_message_without_settings_is_sent_at_once() -> None:
    plain = draft()

    assert (plain.at_ms, plain.delay_ms, plain.deadline_ms) == (None, 0, 900_000)
    assert plain.journal
    assert plain.deduplication is None


def test_a_delay_is_stored_as_a_delay_not_as_a_time() -> None:
    delayed = draft(delay="10s", timeout="5s")

    assert (delayed.at_ms, delayed.delay_ms) == (None, 10_000)
    assert delayed.deadline_ms == 5_000


@pytest.mark.parametrize(
    ("seconds", "at_ms"),
    [(-1, None), (0, None), (1, NOW_MS + 1_000), (60, NOW_MS + 60_000)],
)
def test_not_before_in_the_past_means_at_once(seconds: int, at_ms: int | None) -> None:
    timed = draft(not_before=str(NOW_MS // 1000 + seconds), delay="9s")

    assert (timed.at_ms, timed.delay_ms) == (at_ms, 0)


def test_not_before_is_limited_by_the_longest_delay() -> None:
    with pytest.raises(BadValue, match="Upstash-Not-Before should be at most 60s"):
        draft(not_before=str(NOW_MS // 1000 + 61))


def test_deduplication_keys_are_derived_from_the_id_or_the_content() -> None:
    keys = [
        draft(deduplication_id="a").deduplication,
        draft(deduplication_id="b").deduplication,
        draft(content_based_deduplication="true").deduplication,
        draft(content_based_deduplication="true", body=b"y").deduplication,
        draft(content_based_deduplication="true", url=URL + "2").deduplication,
        draft(content_based_deduplication="true", forward_a="1").deduplication,
    ]

    assert len(set(keys)) == len(keys)
    assert all(key.name.isascii() and key.name.isalnum() for key in keys)
    assert {(key.ttl_ms, key.digest) for key in keys} == {(600_000, "")}
    again = draft(deduplication_id="a", content_based_deduplication="true", body=b"z")
    assert again.deduplication == keys[0]


def test_equal_headers_are_parsed_once() -> None:
    drafts = Drafts(LIMITS)
    pairs = (("upstash-label", "a"), ("upstash-forward-b", "c"))
    parsed = drafts.read(pairs, queue="q", caller_ip="1.2.3.4")

    assert drafts.read(pairs, queue="q", caller_ip="1.2.3.4") is parsed
    assert from_options(parsed.options) == parsed.message
    others = [
        drafts.read(pairs, queue="r", caller_ip="1.2.3.4"),
        drafts.read(pairs, queue="q", caller_ip="1.2.3.5"),
        drafts.read(pairs, query=(("upstash-retries", "1"),), queue="q"),
    ]
    assert all(other.message != parsed.message for other in others)


def test_long_headers_are_not_cached() -> None:
    drafts = Drafts(LIMITS)
    pairs = (("upstash-forward-b", "c" * CACHED_MAX_LENGTH),)
    parsed = drafts.read(pairs)

    assert drafts.read(pairs) is not parsed
    assert drafts.read(pairs) == parsed


def test_bad_headers_are_refused_every_time() -> None:
    drafts = Drafts(LIMITS)

    for _ in range(2):
        with pytest.raises(BadValue, match="Upstash-Callback: endpoint resolves"):
            drafts.read((("upstash-callback", "http://127.0.0.1/"),))
