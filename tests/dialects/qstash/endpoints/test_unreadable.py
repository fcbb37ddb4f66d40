"""Tests of lists and bulk calls if a message is unreadable."""

import pytest
from scheduler_api.core.model import Content
from scheduler_api.core.store import codec, keys
from typing import Any

HOOK = "https://example.com/hook"


def publish_two(api: Any) -> tuple[str, str]:
    """Publish two messages without retries; make the first one unreadable."""
    first, second = (api.publish(retries="0")["messageId"] for _ in range(2))
    return first, second


def damage(api: Any, message_id: str) -> None:
    stored = codec.encode_content(Content(HOOK, b"", {"h": ["a name without a value"]}))
    event_id = message_id.removeprefix("msg_")
    api.cell.client.set(keys.body(api.cell.prefix, event_id, ""), stored)


def test_an_unreadable_message_hides_no_other_one(
    api: Any, caplog: pytest.LogCaptureFixture
):
    bad, good = publish_two(api)
    for each in (bad, good):
        api.attempt(each, "dead", status=500)
    damage(api, bad)

    listed = {entry["messageId"] for entry in api.logs()["logs"]}
    _, letters = api.call("GET", "/v2/dlq")

    assert listed == {good}
    assert [letter["messageId"] for letter in letters["messages"]] == [good]
    assert f"record.unreadable event={bad} owner={api.owner}" in caplog.text


def test_an_unreadable_message_is_not_cancelled_by_a_filter(api: Any):
    bad, good = publish_two(api)
    damage(api, bad)

    status, cancelled = api.call("DELETE", f"/v2/messages?url={HOOK}")

    assert (status, cancelled) == (200, {"cancelled": 1})
    assert api.call("GET", f"/v2/messages/{good}")[0] == 404


@pytest.mark.parametrize("family", ["event", "body", "log"])
def test_a_key_of_the_wrong_type_hides_no_other_message(api: Any, family: str):
    bad, good = publish_two(api)
    for each in (bad, good):
        api.attempt(each, "dead", status=500)
    make_wrong_type(api, bad, family)

    _, events = api.call("GET", "/v2/events")
    status, letters = api.call("GET", "/v2/dlq")

    assert good in {entry["messageId"] for entry in events["events"]}
    assert status == 200
    assert good in {letter["messageId"] for letter in letters["messages"]}


@pytest.mark.parametrize("family", ["event", "body"])
def test_a_message_with_a_key_of_the_wrong_type_is_not_found(api: Any, family: str):
    bad, good = publish_two(api)
    make_wrong_type(api, bad, family)

    assert api.call("GET", f"/v2/messages/{bad}")[0] == 404
    assert api.call("GET", f"/v2/messages/{good}")[0] == 200
    cancelled = api.call("DELETE", f"/v2/messages?url={HOOK}")
    assert cancelled == (200, {"cancelled": 1})


def make_wrong_type(api: Any, message_id: str, family: str) -> None:
    prefix, event_id = api.cell.prefix, message_id.removeprefix("msg_")
    key = {
        "event": keys.event(prefix, event_id),
        "body": keys.body(prefix, event_id, ""),
        "log": keys.log(prefix, event_id),
    }[family]
    api.cell.client.delete(key)
    api.cell.client.zadd(key, {"x": 1})
