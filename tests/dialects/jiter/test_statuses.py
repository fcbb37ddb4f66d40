"""Tests of the status and the history of an event, from creation to its end."""

import base64
import hashlib
import hmac
import json
import pytest
from scheduler_api.core.delivery.causes import SENTENCES
from scheduler_api.core.ids import to_id
from scheduler_api.core.store import keys
from scheduler_api.core.timestamps import from_iso, to_iso
from typing import Any

DAY_MS = 86_400_000


def _get(api: Any, event: str) -> dict[str, Any]:
    status, body = api.call("GET", f"/api/events/{event}")
    assert status == 200, body
    return dict(body)


def test_an_overdue_event_is_pending(api: Any) -> None:
    event = api.create_past(ago_ms=DAY_MS)

    assert api.status(event) == "Pending"


def test_an_offered_event_is_pending(api: Any) -> None:
    event = api.create_past(ago_ms=1000)
    now_ms = api.cell.now_ms()

    api.engine.offer(now_ms=now_ms)

    assert api.status(event) == "Pending"


def test_a_begun_event_is_queued(api: Any) -> None:
    event = api.create_past(ago_ms=1000)

    api.engine.begin(to_id(int(event)), now_ms=api.cell.now_ms())

    assert api.status(event) == "Queued"


def test_an_event_between_attempts_is_queued(api: Any) -> None:
    event = api.create_past(ago_ms=1000)

    api.attempt(event, "retry", status=500)

    found = _get(api, event)
    assert found["status"] == "Queued"
    assert "sentAt" not in found and "failedAt" not in found


def test_a_delivered_event_is_sent_and_has_sent_at(api: Any) -> None:
    event = api.create_past(ago_ms=1000)

    api.attempt(event, "delivered", status=200)

    found = _get(api, event)
    assert found["status"] == "Sent"
    assert found["updatedAt"] == found["sentAt"] == found["history"][0]["updatedAt"]
    assert "failedAt" not in found


def test_a_dead_event_is_failed_to_send_and_has_failed_at(api: Any) -> None:
    event = api.create_past(ago_ms=1000)

    api.attempt(event, "dead", status=500)

    found = _get(api, event)
    assert found["status"] == "Failed To Send"
    assert found["updatedAt"] == found["failedAt"]
    assert "sentAt" not in found


def test_a_quarantined_event_is_failed_to_queue_and_has_failed_at(api: Any) -> None:
    event, since_ms = api.create_past(ago_ms=1000), api.cell.now_ms()
    api.cell.client.zadd(
        keys.quarantine(api.cell.prefix), {to_id(int(event)): since_ms}
    )

    found = _get(api, event)

    assert found["status"] == "Failed To Queue"
    assert found["failedAt"] == found["updatedAt"] == to_iso(since_ms)


def test_a_retry_keeps_the_scheduled_time(api: Any) -> None:
    event = api.create_past(ago_ms=5000)
    before = _get(api, event)["scheduledTime"]

    api.attempt(event, "retry", status=500)

    assert _get(api, event)["scheduledTime"] == before


def test_the_history_has_one_record_per_attempt_oldest_first(api: Any) -> None:
    event = api.create_past(ago_ms=60_000)
    api.attempt(event, "retry", ago_ms=50_000, status=500, response="no")
    api.attempt(event, "retry", ago_ms=40_000, error="timeout")
    api.attempt(event, "delivered", ago_ms=30_000, status=204)

    history = _get(api, event)["history"]

    assert [record["id"] for record in history] == ["1001", "1002", "1003"]
    assert {record["event"] for record in history} == {event}
    assert [record.get("status") for record in history] == ["500", None, "204"]
    late = "the attempt took longer than its time limit"
    assert [record["responseData"] for record in history] == ["no", late, ""]
    assert [record.get("error") for record in history] == [
        "the destination answered 500 (Internal Server Error)",
        late,
        None,
    ]
    codes = [record.get("errorCode") for record in history]
    assert codes == ["http-500", "timeout", None]
    ended_ms = [from_iso(record["updatedAt"]) for record in history]
    began_ms = [from_iso(record["createdAt"]) for record in history]
    assert ended_ms == sorted(ended_ms)
    assert began_ms == [at_ms - 10 for at_ms in ended_ms]


def test_a_response_that_was_refused_has_its_status_and_the_reason(api: Any) -> None:
    event = api.create_past(ago_ms=1000)
    api.attempt(event, "dead", status=200, error="headers-too-large")

    [record] = _get(api, event)["history"]

    assert (record["status"], record["errorCode"]) == ("200", "headers-too-large")
    assert record["responseData"] == record["error"] == SENTENCES["headers-too-large"]


def test_the_history_has_the_exact_request(api: Any) -> None:
    event = api.create_past(ago_ms=1000, payload='é "\u2028"')
    signed = {
        "X-Jiter-Request-Timestamp": "1700000000000",
        "X-Jiter-Signature": "abc=",
        "Jiter-Signature": "def=",
    }
    api.attempt(event, "delivered", status=200, signed=signed)

    found = _get(api, event)

    text = found["history"][0]["requestData"]
    assert json.loads(text) == {
        "headers": {
            "Jiter-Signature": "def=",
            "X-Jiter-Signature": "abc=",
            "X-Jiter-Request-Timestamp": 1_700_000_000_000,
            "Content-Type": "application/json",
        },
        "body": {
            "payload": 'é "\u2028"',
            "scheduledTime": found["scheduledTime"],
        },
    }
    assert '"body":{"payload":"é \\"\u2028\\"","scheduledTime":' in text


def test_the_signature_in_the_history_matches_the_body_in_it(api: Any) -> None:
    event = api.create_past(ago_ms=1000, payload="naïve")
    body = _get(api, event)
    raw = json.dumps(
        {"payload": "naïve", "scheduledTime": body["scheduledTime"]},
        ensure_ascii=False,
        separators=(",", ":"),
    )
    digest = hmac.digest(b"secret", f"5:{raw}".encode(), hashlib.sha256)
    signature = base64.b64encode(digest).decode()
    signed = {"X-Jiter-Request-Timestamp": "5", "X-Jiter-Signature": signature}
    api.attempt(event, "delivered", status=200, signed=signed)

    text = _get(api, event)["history"][0]["requestData"]

    assert text.endswith(f'"body":{raw}}}')
    assert signature in text


def test_an_interrupted_attempt_is_in_the_history(api: Any) -> None:
    event, now_ms = api.create_past(ago_ms=100_000), api.cell.now_ms()
    for at_ms in (now_ms - 90_000, now_ms - 89_000):
        api.engine.offer(now_ms=at_ms, room=0)
    api.engine.begin(to_id(int(event)), now_ms=now_ms - 60_000)
    for ago_ms in range(59_000, 0, -5_000):
        api.engine.offer(now_ms=now_ms - ago_ms, room=0)

    found = _get(api, event)

    assert found["status"] == "Queued"
    (record,) = found["history"]
    assert "status" not in record
    assert "interrupted" in record["responseData"]
    assert json.loads(record["requestData"])["body"]["payload"] == "hello"


def test_r12_the_warning_of_a_possible_duplicate_is_in_the_history(api: Any) -> None:
    event = api.create_past(ago_ms=1000)
    signed = {"Scheduler-Possible-Duplicate": "true", "X-Jiter-Signature": "abc="}
    api.attempt(event, "delivered", status=200, signed=signed)

    sent = json.loads(_get(api, event)["history"][0]["requestData"])

    assert sent["headers"]["Scheduler-Possible-Duplicate"] == "true"


@pytest.mark.parametrize("outcome", ["delivered", "dead"])
def test_an_event_that_ended_before_the_search_window_is_not_found(
    api: Any, outcome: str
) -> None:
    old, new = (api.create_past(ago_ms=9 * DAY_MS) for _ in range(2))

    api.attempt(old, outcome, ago_ms=7 * DAY_MS + 1000, status=200)
    api.attempt(new, outcome, ago_ms=7 * DAY_MS - 60_000, status=200)

    assert api.call("GET", f"/api/events/{old}")[0] == 404
    assert api.call("GET", f"/api/events/{new}")[0] == 200


def test_an_old_unfinished_event_is_found(api: Any) -> None:
    waiting, retried = (api.create_past(ago_ms=30 * DAY_MS) for _ in range(2))

    api.attempt(retried, "retry", ago_ms=20 * DAY_MS, status=500)

    assert api.status(waiting) == "Pending"
    assert api.status(retried) == "Queued"


def test_a_cancelled_event_is_found(
    api: Any,
) -> None:
    event = api.create()

    api.call("PUT", f"/api/events/{event['id']}", {"status": "Cancelled"})

    assert api.status(event["id"]) == "Cancelled"
