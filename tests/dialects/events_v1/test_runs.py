"""Runs by hand, and what happened at each fire time."""

from scheduler_api.core.timestamps import from_iso, to_iso
from tests.dialects.events_v1.conftest import Api
from typing import Any

MINUTE_MS = 60_000


def runs(api: Api, event_id: str, **query: Any) -> list[dict[str, Any]]:
    path = f"/v1/events/{event_id}/runs"
    return list(api.good("GET", path, query_string=query))


def run(api: Api, event_id: str, **more: Any) -> Any:
    status, answer = api.call("POST", f"/v1/event/{event_id}/run", **more)
    assert status == 201, answer
    return answer["data"]


def test_a_run_by_hand_is_a_callback_now_and_moves_nothing_on(api: Api):
    event = api.create()
    event_id = event["eventId"]

    made = run(api, event_id)

    assert made["eventId"] == event_id
    assert made["callbackId"].startswith(f"{event_id}_")
    assert api.fire(event_id, now_ms=api.cell.now_ms())
    [told] = runs(api, event_id)
    assert told["outcome"] == "run by hand"
    assert (told["state"], told["callbackId"]) == ("delivered", made["callbackId"])
    assert api.get(event_id) == event | {"status": "ACTIVE"}


def test_a_run_under_a_key_is_made_once(api: Api):
    event_id = api.create()["eventId"]
    headers = {"Idempotency-Key": "one"}

    first = run(api, event_id, headers=headers)

    assert run(api, event_id, headers=headers) == first
    assert len(runs(api, event_id)) == 1


def test_a_finished_event_is_not_run(api: Api, wait_until):
    event = api.create(endDate=api.in_ms(1_000))
    path = f"/v1/events/{event['eventId']}"
    wait_until(lambda: api.good("GET", path)["status"] == "FINISHED")

    refused = api.refused("POST", f"{path}/run")

    assert refused == (400, ["a finished event cannot be run"])


def test_each_fire_time_is_told_newest_first(api: Api):
    event = api.create(interval="* * * * *", eventOwner="a@example.com")
    event_id, at_ms = event["eventId"], from_iso(event["nextRun"])
    api.fire(event_id, now_ms=at_ms)
    api.fire(event_id, now_ms=at_ms + MINUTE_MS, outcome="dead")

    second, first = runs(api, event_id)

    assert first == {
        "at": to_iso(at_ms),
        "outcome": "fired",
        "callbackId": f"{event_id}_{at_ms // 1000}",
        "state": "delivered",
        "attempts": 1,
    }
    assert (second["state"], second["reason"]) == ("dead", "exhausted")
    assert runs(api, event_id, count=1) == [second]


def test_a_fire_time_that_was_skipped_is_told_with_its_reason(api: Api):
    event = api.create(
        interval="* * * * *",
        endDate="2999-01-01T00:00:00Z",
        options={"missedRuns": "skip"},
    )
    at_ms = from_iso(event["nextRun"])

    api.fire(event["eventId"], now_ms=at_ms + 3 * MINUTE_MS)

    told = {each["at"]: each for each in runs(api, event["eventId"])}
    assert told[to_iso(at_ms)] == {
        "at": to_iso(at_ms),
        "outcome": "skipped",
        "reason": "missed",
    }


def test_a_wrong_count_and_another_event_are_refused(api: Api):
    event_id = api.create()["eventId"]

    for count in ("0", "1001", "x"):
        path = f"/v1/events/{event_id}/runs?count={count}"
        message = "count should be a whole number from 1 to 1000"
        assert api.refused("GET", path) == (400, [message])
    for method, word in [("GET", "runs"), ("POST", "run")]:
        refused = api.refused(method, f"/v1/events/x/{word}")
        assert refused == (404, "Event not found")
