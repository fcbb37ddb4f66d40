"""Tests of the list of an event's attempts, and of the list of failed attempts."""

from scheduler_api.core.store import claims
from scheduler_api.core.timestamps import from_iso, to_iso
from tests.dialects.events_v1.conftest import Api
from typing import Any

MINUTE_MS = 60_000


def minutely(api: Api, **changes: Any) -> tuple[str, int]:
    """Create an event that fires every minute; return its id and first fire time."""
    event = api.create(interval="* * * * *", **changes)
    return event["eventId"], from_iso(event["nextRun"])


def failures(api: Api, **query: Any) -> list[str]:
    attempts = api.data("GET", "/v1/failures", query_string=query)
    return [attempt["eventId"] for attempt in attempts]


def test_attempts_are_listed_newest_first(api: Api):
    event_id, at_ms = minutely(api)
    api.fire(event_id, now_ms=at_ms, outcome="retry", response="no", error=None)
    api.fire(event_id, now_ms=at_ms + 3_001)
    api.fire(event_id, now_ms=at_ms + MINUTE_MS, outcome="dead", error="timeout")

    attempts = api.data("GET", f"/v1/event/{event_id}/attempts")

    assert [attempt["attemptId"] for attempt in attempts] == [
        f"{at_ms // 1000 + 60}-1",
        f"{at_ms // 1000}-2",
        f"{at_ms // 1000}-1",
    ]
    assert [attempt["status"] for attempt in attempts] == [
        "FAILED",
        "DELIVERED",
        "FAILED",
    ]
    assert attempts[2] == {
        "attemptId": f"{at_ms // 1000}-1",
        "callbackId": f"{event_id}_{at_ms // 1000}",
        "eventId": event_id,
        "fireDate": to_iso(at_ms),
        "number": 1,
        "status": "FAILED",
        "startedDate": to_iso(at_ms),
        "endedDate": to_iso(at_ms + 1),
        "nextDate": to_iso(at_ms + 3_001),
        "responseStatus": 500,
        "responseBody": "no",
        "error": "the destination answered 500 (Internal Server Error)",
        "errorCode": "http-500",
        "possibleDuplicate": False,
        "replayOf": None,
    }
    assert attempts[0]["errorCode"] == "timeout"
    assert (attempts[1]["error"], attempts[1]["errorCode"]) == (None, None)
    path = f"/v1/events/{event_id}/attempts"
    assert (
        api.data("GET", path, query_string={"limit": 1, "offset": 1}) == attempts[1:2]
    )
    refused = api.error("GET", path, query_string={"limit": "x"})
    assert refused == (400, ["limit must be a natural number"])


def test_an_interrupted_attempt_is_listed(api: Api):
    event_id, at_ms = minutely(api)
    [callback] = claims.claim(api.cell_at(at_ms), room=10, timeouts=api.timeouts).ids
    assert api.worker(at_ms).begin(callback)
    for later_ms in range(at_ms, at_ms + 16_000, 1_000):
        claims.claim(api.cell_at(later_ms), room=0, timeouts=api.timeouts)

    [attempt] = api.data("GET", f"/v1/events/{event_id}/attempts")

    assert (attempt["status"], attempt["responseStatus"]) == ("INTERRUPTED", None)
    assert "interrupted" in attempt["error"]


def test_failures_are_found_by_the_owner_of_the_event(api: Api):
    one, two, three = (
        api.create(interval=f"{minute} * * * *", eventOwner=f"{name}@example.com")
        for minute, name in [(10, "user"), (20, "two"), (30, "three")]
    )
    fire_ms = {e["eventId"]: from_iso(e["nextRun"]) for e in (one, two, three)}
    one, two, three = (e["eventId"] for e in (one, two, three))
    for event_id in sorted(fire_ms, key=lambda event_id: fire_ms[event_id]):
        outcome = "delivered" if event_id == two else "dead"
        api.fire(event_id, now_ms=fire_ms[event_id], outcome=outcome)
    last, first = (three, one) if fire_ms[three] > fire_ms[one] else (one, three)

    assert failures(api) == [last, first]
    assert failures(api, limit=1, offset=1) == [first]
    assert failures(api, eventOwner="Three@example.com") == [three]
    assert failures(api, eventOwner="two@example.com") == []
    both = {"eventOwner": ["two@example.com", "user@example.com"]}
    assert failures(api, **both) == [one]


def test_another_application_cannot_read_attempts(make_api):
    own, other = make_api(), make_api()
    event_id, at_ms = minutely(own)
    own.fire(event_id, now_ms=at_ms, outcome="dead")

    refused = other.error("GET", f"/v1/events/{event_id}/attempts")
    assert refused == (404, "Event not found")
    assert failures(other) == []
    assert failures(own) == [event_id]


def test_a_failure_is_final_if_the_event_fires_before_the_retry(api: Api):
    event = api.create(interval="* * * * * *")
    event_id, at_ms = event["eventId"], from_iso(event["nextRun"])

    api.fire(event_id, now_ms=at_ms, outcome="retry")

    [attempt] = api.data("GET", f"/v1/events/{event_id}/attempts")
    assert (attempt["status"], attempt["nextDate"]) == ("FAILED", None)
    assert failures(api) == [event_id]


def test_an_attempt_is_not_retried_after_the_end_of_the_event(api: Api):
    event = api.create(interval="* * * * *")
    event_id, at_ms = event["eventId"], from_iso(event["nextRun"])
    path = f"/v1/events/{event_id}"
    api.data("PATCH", path, {"endDate": to_iso(at_ms + 2_000)})

    api.fire(event_id, now_ms=at_ms, outcome="retry")

    [attempt] = api.data("GET", f"{path}/attempts")
    assert attempt["nextDate"] is None
    assert not api.fire(event_id, now_ms=at_ms + 3_001)
