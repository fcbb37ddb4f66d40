"""Publishing: what is accepted, and what the answers say."""

from typing import Any

HOOK = "https://example.com/hook"


def test_a_published_message_is_stored(api: Any) -> None:
    answer = api.publish(delay="1h")

    assert answer == {"messageId": answer["messageId"], "url": HOOK}
    shown = api.message(answer["messageId"])
    assert shown["url"] == HOOK
    assert shown["body"] == "hello"
    assert shown["notBefore"] == shown["createdAt"] + 3_600_000


def test_cancel(api: Any) -> None:
    name = api.publish(delay="1h")["messageId"]

    assert api.call("DELETE", f"/v2/messages/{name}") == (200, {"cancelled": 1})
    assert api.call("DELETE", f"/v2/messages/{name}")[0] == 404
    assert api.call("GET", f"/v2/messages/{name}")[0] == 404


def test_logs(api: Any) -> None:
    name = api.publish(retries="0")["messageId"]
    api.attempt(name, "dead", status=500, response="no")

    states = [entry["state"] for entry in api.logs("?order=earliestFirst")["logs"]]
    assert states == ["CREATED", "ACTIVE", "ERROR", "FAILED"]
