"""What tells a publisher how an attempt ended."""

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
ANSWER = Reply(200, headers=(("x-a", "1"), ("X-A", "2"), ("ETag", "3")), body=b"\xffok")


def told(message: Message, answer: Reply = ANSWER, *, failures: int = 0) -> Content:
    begun = begun_of(replace(message, callback=BACK), failures=failures)
    return existing(callback_content(begun, answer, redaction_key=KEY))


def told_of_failure(begun: Begun, answer: Reply = ANSWER) -> Content | None:
    return failure_callback_content(
        begun, answer, dlq_id="1725323658779-0", redaction_key=KEY
    )


def existing(content: Content | None) -> Content:
    assert content is not None
    return content


def body_of(content: Content) -> dict[str, Any]:
    body = json.loads(content.body)
    assert isinstance(body, dict)
    return body


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def test_body_holds_the_answer_and_its_message() -> None:
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

    assert body_of(told(message, failures=2)) == {
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


def test_what_is_absent_has_no_key() -> None:
    absent = {"callerIP", "topicName", "endpointName", "scheduleId", "dlqId"}

    assert not absent & body_of(told(Message())).keys()


def test_attempt_without_an_answer_has_status_0() -> None:
    body = body_of(told(Message(), Reply(None, "timeout")))

    assert (body["status"], body["header"], body["body"]) == (0, {}, "")


def test_only_the_first_mebibyte_of_a_response_is_told() -> None:
    long = replace(ANSWER, body=b"a" * RESPONSE_MAX_BYTES + b"b")

    told_of = base64.b64decode(body_of(told(Message(), long))["body"])

    assert told_of == b"a" * RESPONSE_MAX_BYTES


def test_failure_names_its_dead_letter() -> None:
    begun = begun_of(Message(failure_callback=BACK), failures=3)

    content = existing(told_of_failure(begun))

    body = body_of(content)
    assert (body["dlqId"], body["retried"]) == ("1725323658779-0", 3)
    assert content.url == BACK.url


def test_nobody_is_told_unless_asked_for() -> None:
    only_failure = begun_of(Message(failure_callback=BACK))
    only_attempts = begun_of(Message(callback=BACK))

    assert callback_content(only_failure, ANSWER, redaction_key=KEY) is None
    assert told_of_failure(only_attempts) is None


def test_callback_is_a_post_of_json_with_the_retries_of_its_message() -> None:
    content = told(Message(method="GET", retries=7, retry_delay="9", labels=("l",)))

    assert content.url == BACK.url
    assert from_options(content.options) == Message(
        content_type="application/json", retries=7, retry_delay="9"
    )


def test_callback_may_be_sent_its_own_way() -> None:
    own = Callback(
        BACK.url,
        method="PUT",
        headers=(("X-A", "1"),),
        content_type="text/plain",
        retries=0,
        retry_delay="5",
        timeout_ms=6,
        delay_ms=7,
    )

    content = existing(told_of_failure(begun_of(Message(failure_callback=own))))

    assert from_options(content.options) == Message(
        method="PUT",
        headers=(("X-A", "1"),),
        content_type="text/plain",
        retries=0,
        retry_delay="5",
        timeout_ms=6,
        delay_ms=7,
    )


def test_a_callback_has_no_callback() -> None:
    message = Message(callback=BACK, failure_callback=BACK)
    content = callback_content(begun_of(message), ANSWER, redaction_key=KEY)
    begun = replace(BEGUN, content=existing(content))

    assert callback_content(begun, ANSWER, redaction_key=KEY) is None
    assert told_of_failure(begun) is None


@pytest.mark.parametrize(
    "redaction", [Redaction(True, True), Redaction(True, headers=("x-secret",))]
)
def test_s25_what_a_message_hides_its_callbacks_hide(redaction: Redaction) -> None:
    message = Message(headers=(("X-Secret", "canary"),), redaction=redaction)
    begun = begun_of(replace(message, failure_callback=BACK), body=b"canary")

    content = existing(told_of_failure(begun))

    body = body_of(content)
    assert body["sourceHeader"]["X-Secret"] == [placeholder(b"canary", key=KEY)]
    assert (
        base64.b64decode(body["sourceBody"]) == placeholder(b"canary", key=KEY).encode()
    )
    assert b"canary" not in content.body
    assert encoded(b"canary").encode() not in content.body
    assert from_options(content.options).redaction == redaction
