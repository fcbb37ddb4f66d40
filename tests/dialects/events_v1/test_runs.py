"""Tests of runs that a client starts on demand, and of the list of runs."""

from scheduler_api.core.timestamps import from_iso, to_iso
from tests.dialects.events_v1.conftest import Api
from typing import Any

MINUTE_MS = 60_000


def runs(api: Api, event_id: str, **query: Any) -> list[dict[str, Any]]:
    path = f"/v1/events/{event_id}/runs"
    return list(api.data("GET", path, query_string=query))


def run(api: Api, event_id: str, **options: Any) -> Any:
    status, response = api.call("POST", f"/v1/event/{event_id}/run", **options)
    assert status == 201, response
    return response["data"]


def test_a_run_is_a_callback_now_and_keeps_the_next_fire_time(api: Api):
    event = api.create()
    event_id = event["eventId"]

    callback = run(api, event_id)

    assert callback["eventId"] == event_id
    assert callback["callbackId"].startswith(f"{event_id}_")
    assert api.fire(event_id, now_ms=api.cell.now_ms())
    [listed] = runs(api, event_id)
    assert listed["outcome"] == "run by hand"
    assert (listed["state"], listed["callbackId"]) == (
        "delivered",
        callback["callbackId"],
    )
    assert api.get(event_id) == event | {"status": "ACTIVE"}


def test_a_repeated_run_with_a_key_is_one_run(api: Api):
    event_id = api.create()["eventId"]
    headers = {"Idempotency-Key": "one"}

    first = run(api, event_id, headers=headers)

    assert run(api, event_id, headers=headers) == first
    assert len(runs(api, event_id)) == 1


def test_a_finished_event_cannot_be_run(api: Api, wait_until):
    event = api.create(endDate=api.date_in(1_000))
    path = f"/v1/events/{event['eventId']}"
    wait_until(lambda: api.data("GET", path)["status"] == "FINISHED")

    error = api.error("POST", f"{path}/run")

    assert error == (400, ["a finished event cannot be run"])


def test_fire_times_are_listed_newest_first(api: Api):
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


def test_a_skipped_fire_time_is_listed_with_its_reason(api: Api):
    event = api.create(
        interval="* * * * *",
        endDate="2999-01-01T00:00:00Z",
        options={"missedRuns": "skip"},
    )
    at_ms = from_iso(event["nextRun"])

    api.fire(event["eventId"], now_ms=at_ms + 3 * MINUTE_MS)

    found = {run["at"]: run for run in runs(api, event["eventId"])}
    assert found[to_iso(at_ms)] == {
        "at": to_iso(at_ms),
        "outcome": "skipped",
        "reason": "missed",
    }


def test_a_wrong_count_or_id_is_refused(api: Api):
    event_id = api.create()["eventId"]

    for count in ("0", "1001", "x"):
        path = f"/v1/events/{event_id}/runs?count={count}"
        message = "count should be a whole number from 1 to 1000"
        assert api.error("GET", path) == (400, [message])
    for method, word in [("GET", "runs"), ("POST", "run")]:
        error = api.error(method, f"/v1/events/x/{word}")
        assert error == (404, "Event not found")
