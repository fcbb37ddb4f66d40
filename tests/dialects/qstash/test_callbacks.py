"""Tests of callbacks: their content, and when they are sent."""

import base64
import json
import pytest
from dataclasses import replace
from scheduler_api.core.model import Begun, Content
from scheduler_api.dialects.qstash.callbacks import (
    RESPONSE_MAX_BYTES,
    callback_content,
    failure_callback_content,
)
from scheduler_api.dialects.qstash.parsing.message import (
    Callback,
    Message,
    from_options,
)
from scheduler_api.dialects.qstash.parsing.redaction import Redaction, placeholder
from tests.attempts import NOW_MS
from tests.dialects.qstash.attempts import BEGUN, BODY, URL, Reply, begun_of
from typing import Any

BACK = Callback("https://example.com/back")
KEY = b"key"
RESPONSE = Reply(
    200, headers=(("x-a", "1"), ("X-A", "2"), ("ETag", "3")), body=b"\xffok"
)


def callback(
    message: Message, answer: Reply = RESPONSE, *, failures: int = 0
) -> Content:
    begun = begun_of(replace(message, callback=BACK), failures=failures)
    return not_none(callback_content(begun, answer, redaction_key=KEY))


def failure_callback(begun: Begun, answer: Reply = RESPONSE) -> Content | None:
    return failure_callback_content(
        begun, answer, dlq_id="1725323658779-0", redaction_key=KEY
    )


def not_none(content: Content | None) -> Content:
    assert content is not None
    return content


def body_of(content: Content) -> dict[str, Any]:
    body = json.loads(content.body)
    assert isinstance(body, dict)
    return body


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def test_the_body_has_the_response_and_the_message() -> None:
    message = Message(
        method="PUT",
        content_type="text/plain",
        headers=(("X-B", "1"), ("X-B", "2")),
        retries=5,
        caller_ip="192.0.2.1",
        topic="t",
        endpoint="e",
        schedule_id="s",
    )

    assert body_of(callback(message, failures=2)) == {
        "status": 200,
        "header": {"X-A": ["1", "2"], "Etag": ["3"]},
        "body": encoded(b"\xffok"),
        "retried": 2,
        "maxRetries": 5,
        "sourceMessageId": "msg_7k",
        "url": URL,
        "method": "PUT",
        "sourceHeader": {"Content-Type": ["text/plain"], "X-B": ["1", "2"]},
        "sourceBody": encoded(BODY),
        "notBefore": NOW_MS,
        "createdAt": NOW_MS - 1000,
        "callerIP": "192.0.2.1",
        "topicName": "t",
        "endpointName": "e",
        "scheduleId": "s",
    }


def test_absent_values_have_no_key() -> None:
    absent = {
        *("callerIP", "topicName", "endpointName", "scheduleId", "dlqId"),
        "bodyIncomplete",
    }

    assert not absent & body_of(callback(Message())).keys()


def test_the_status_is_0_without_a_response() -> None:
    body = body_of(callback(Message(), Reply(None, "timeout")))

    assert (body["status"], body["header"], body["body"]) == (0, {}, "")


@pytest.mark.parametrize("end", [b"ab", "\u00fc".encode()])
def test_the_response_is_cut_after_one_mebibyte_of_full_characters(end: bytes) -> None:
    start = b"a" * (RESPONSE_MAX_BYTES - 1)
    long = replace(RESPONSE, body=start + end)

    callback_body = base64.b64decode(body_of(callback(Message(), long))["body"])

    assert callback_body == start + end[:1].replace(b"\xc3", b"")


def test_a_text_that_was_cut_off_is_still_text_in_a_callback() -> None:
    cut = replace(RESPONSE, body=b"gr\xc3", body_incomplete=True)

    assert base64.b64decode(body_of(callback(Message(), cut))["body"]) == b"gr"


@pytest.mark.parametrize(
    "changes",
    [
        {"body_incomplete": True},
        {"body_truncated": True},
        {"body": b"a" * RESPONSE_MAX_BYTES + b"b"},
    ],
    ids=["incomplete", "truncated", "too-long"],
)
def test_a_callback_says_that_it_lacks_a_part_of_the_response_body(
    changes: dict[str, Any],
) -> None:
    body = body_of(callback(Message(), replace(RESPONSE, **changes)))

    assert body["bodyIncomplete"] is True


def test_a_failure_callback_names_the_dead_letter() -> None:
    begun = begun_of(Message(failure_callback=BACK), failures=3)

    content = not_none(failure_callback(begun))

    body = body_of(content)
    assert (body["dlqId"], body["retried"]) == ("1725323658779-0", 3)
    assert content.url == BACK.url


def test_without_a_url_there_is_no_callback() -> None:
    only_failure = begun_of(Message(failure_callback=BACK))
    only_attempts = begun_of(Message(callback=BACK))

    assert callback_content(only_failure, RESPONSE, redaction_key=KEY) is None
    assert failure_callback(only_attempts) is None


def test_a_callback_is_a_json_post_without_its_messages_retry_delay() -> None:
    content = callback(Message(method="GET", retries=2, retry_delay="9", labels=("l",)))

    assert content.url == BACK.url
    assert from_options(content.options) == Message(
        content_type="application/json", retries=2
    )


@pytest.mark.parametrize(("retries", "expected"), [(0, 0), (3, 3), (4, 3), (1000, 3)])
def test_a_callback_is_retried_like_its_message_but_at_most_three_times(
    retries: int, expected: int
) -> None:
    message = Message(retries=retries, callback=BACK, failure_callback=BACK)
    contents = callback(message), not_none(failure_callback(begun_of(message)))

    found = [from_options(content.options).retries for content in contents]
    assert found == [expected, expected]


def test_a_callback_may_have_its_own_settings() -> None:
    own = Callback(
        BACK.url,
        method="PUT",
        headers=(("X-A", "1"),),
        content_type="text/plain",
        retries=20,
        retry_delay="5",
        timeout_ms=6,
        delay_ms=7,
    )

    content = not_none(failure_callback(begun_of(Message(failure_callback=own))))

    assert from_options(content.options) == Message(
        method="PUT",
        headers=(("X-A", "1"),),
        content_type="text/plain",
        retries=20,
        retry_delay="5",
        timeout_ms=6,
        delay_ms=7,
    )


def test_a_callback_has_no_callback() -> None:
    message = Message(callback=BACK, failure_callback=BACK)
    content = callback_content(begun_of(message), RESPONSE, redaction_key=KEY)
    begun = replace(BEGUN, content=not_none(content))

    assert callback_content(begun, RESPONSE, redaction_key=KEY) is None
    assert failure_callback(begun) is None


@pytest.mark.parametrize(
    "redaction", [Redaction(True, True), Redaction(True, headers=("x-secret",))]
)
def test_s25_a_messages_redaction_applies_to_its_callbacks(
    redaction: Redaction,
) -> None:
    message = Message(headers=(("X-Secret", "canary"),), redaction=redaction)
    begun = begun_of(replace(message, failure_callback=BACK), body=b"canary")

    content = not_none(failure_callback(begun))

    body = body_of(content)
    assert body["sourceHeader"]["X-Secret"] == [placeholder(b"canary", key=KEY)]
    assert (
        base64.b64decode(body["sourceBody"]) == placeholder(b"canary", key=KEY).encode()
    )
    assert b"canary" not in content.body
    assert encoded(b"canary").encode() not in content.body
    assert from_options(content.options).redaction == redaction
