"""Tests of editing and cancelling events."""

import pytest
import random
import time
from concurrent.futures import ThreadPoolExecutor
from scheduler_api.core.ids import to_id
from scheduler_api.core.store import keys
from scheduler_api.core.timestamps import from_iso, to_iso
from typing import Any

MINUTE_MS = 60_000
NOT_PENDING = (400, {"message": "Only events that are pending can be edited"})
BAD_STATUS = (400, {"message": "'status' can only be set to 'Cancelled'"})
PAST = (400, {"message": "Please make sure your scheduled time is in the future."})


def _put(api: Any, event: str, **body: Any) -> Any:
    return api.call("PUT", f"/api/events/{event}", body)


def test_each_field_can_be_edited_separately(api: Any) -> None:
    event = api.create()
    later = to_iso(api.cell.now_ms() + 5 * MINUTE_MS)
    changes = [
        {"payload": "other"},
        {"destination": "http://other.example/x"},
        {"scheduledTime": later},
    ]

    expected = event
    for change in changes:
        status, edited = _put(api, event["id"], **change)
        expected = expected | change | {"updatedAt": edited["updatedAt"]}

        assert (status, edited) == (200, expected)


def test_an_edit_changes_updated_at_and_no_other_time(api: Any) -> None:
    event = api.create()
    time.sleep(0.002)

    _, edited = _put(api, event["id"], payload="x")

    assert from_iso(edited["updatedAt"]) > from_iso(event["updatedAt"])
    assert edited["createdAt"] == event["createdAt"]


def test_all_fields_can_be_edited_together(api: Any) -> None:
    event = api.create()

    status, edited = _put(
        api,
        event["id"],
        payload="new",
        destination="http://new.example/",
        status="Cancelled",
    )

    assert status == 200
    assert edited["payload"] == "new"
    assert edited["destination"] == "http://new.example/"
    assert edited["status"] == "Cancelled"


def test_the_edited_payload_is_sent(api: Any) -> None:
    event = api.create()
    _put(api, event["id"], payload="y" * 10_000)
    _put(api, event["id"], payload="z")

    begun = api.engine.begin(to_id(1), now_ms=from_iso(event["scheduledTime"]))

    assert begun.content.body == b"z"
    assert len(api.cell.client.keys(f"{api.cell.prefix}b:*")) == 1


def test_a_rescheduled_event_is_due_at_its_new_time(api: Any) -> None:
    event = api.create()
    later_ms = api.cell.now_ms() + 5 * MINUTE_MS

    _put(api, event["id"], scheduledTime=to_iso(later_ms))

    due = api.cell.client.zrange(keys.due(api.cell.prefix), 0, -1, withscores=True)
    assert due == [(b"1", later_ms)]


@pytest.mark.parametrize(
    "time", ["5138-11-16T09:46:40.000Z", "9957-09-09T11:16:15.001Z"]
)
def test_an_edit_may_set_a_year_above_5138_together_with_other_fields(
    api: Any, time: str
) -> None:
    # Lua writes such times, of 15 digits, as floats.
    event = api.create()
    changes = {
        "payload": "y",
        "destination": "http://h.example/",
        "scheduledTime": time,
    }

    status, edited = _put(api, event["id"], **changes)
    cancelled = _put(api, event["id"], **changes, status="Cancelled")[1]

    assert (status, edited) == (200, edited | changes)
    assert cancelled == cancelled | changes | {"status": "Cancelled"}
    assert api.call("GET", f"/api/events/{event['id']}")[1]["scheduledTime"] == time


def test_an_empty_edit_changes_nothing(api: Any) -> None:
    event = api.create()

    assert _put(api, event["id"]) == (200, event)
    assert _put(api, event["id"], unknown=1) == (200, event)


@pytest.mark.parametrize(
    "status", ["Pending", "cancelled", "Sent", "", None, 5, [], {}]
)
def test_only_the_status_cancelled_can_be_set(api: Any, status: Any) -> None:
    event = api.create()

    assert _put(api, event["id"], status=status, payload="x") == BAD_STATUS
    assert api.call("GET", "/api/events")[1] == [event]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"payload": 5}, "'payload' must be a string"),
        ({"payload": None}, "'payload' must be a string"),
        ({"destination": "x"}, "Please enter a valid destination"),
        ({"destination": None}, "Please enter a valid destination"),
        ({"scheduledTime": "x"}, "Please enter a valid time"),
        ({"scheduledTime": None}, "Please enter a valid time"),
        ({"scheduledTime": "2001-01-01T00:00:00Z"}, PAST[1]["message"]),
    ],
)
def test_a_refused_edit_changes_nothing(
    api: Any, change: dict[str, Any], message: str
) -> None:
    event = api.create()
    valid = {"payload": "new", "destination": "http://new.example/"}

    response = _put(api, event["id"], **(valid | {"status": "Cancelled"} | change))

    assert response == (400, {"message": message})
    assert api.call("GET", "/api/events")[1] == [event]


def test_a_body_that_is_not_an_object_is_refused(api: Any) -> None:
    event = api.create()

    response = api.call("PUT", f"/api/events/{event['id']}", data=b"[]")

    assert response == (400, {"message": "Invalid request body"})


def test_a_cancelled_event_is_not_due(api: Any) -> None:
    event = api.create()

    status, response = _put(api, event["id"], status="Cancelled")

    assert (status, response["status"]) == (200, "Cancelled")
    assert api.cell.client.zcard(keys.due(api.cell.prefix)) == 0


def test_an_offered_event_can_be_cancelled(api: Any) -> None:
    event, now_ms = api.create_past(ago_ms=1000), api.cell.now_ms()
    api.engine.offer(now_ms=now_ms)

    status, response = _put(api, event, status="Cancelled")

    assert (status, response["status"]) == (200, "Cancelled")
    event_id = to_id(int(event))
    refused = api.engine.worker(now_ms).try_begin(event_id)
    assert refused == ([], {event_id: "gone"})


@pytest.mark.parametrize("change", [{}, {"payload": "x"}, {"status": "Cancelled"}])
def test_only_pending_events_can_be_edited(api: Any, change: dict[str, Any]) -> None:
    begun, retried, sent, dead, quarantined = (
        api.create_past(ago_ms=1000) for _ in range(5)
    )
    cancelled = api.create()["id"]
    _put(api, cancelled, status="Cancelled")
    api.attempt(retried, "retry", status=500)
    api.attempt(sent, "delivered", status=200)
    api.attempt(dead, "dead", status=500)
    api.engine.begin(to_id(int(begun)), now_ms=api.cell.now_ms())
    api.cell.client.zadd(keys.quarantine(api.cell.prefix), {to_id(int(quarantined)): 5})

    for event in (begun, retried, sent, dead, quarantined, cancelled):
        assert _put(api, event, **change) == NOT_PENDING


def test_either_a_cancellation_or_a_begin_wins_200_times(api: Any) -> None:
    events = [api.create_past(ago_ms=1000) for _ in range(200)]
    now_ms = api.cell.now_ms()
    worker = api.engine.worker(now_ms)
    api.engine.offer(now_ms=now_ms)
    rng, wins = random.Random(5), {"cancel": 0, "begin": 0}

    with ThreadPoolExecutor(1) as pool:
        for event in events:
            cancelling = pool.submit(_put, api, event, status="Cancelled")
            time.sleep(rng.random() * 0.004)
            begun, refused = worker.try_begin(to_id(int(event)))
            code, response = cancelling.result()

            assert (code == 200) is not bool(begun), (code, response, refused)
            wins["begin" if begun else "cancel"] += 1

    assert all(wins.values()), wins


def test_concurrent_edits_succeed_or_get_503(api: Any) -> None:
    event = api.create()

    with ThreadPoolExecutor(4) as pool:
        edits = [
            pool.submit(_put, api, event["id"], payload=f"p{n}") for n in range(12)
        ]
        codes = {edit.result()[0] for edit in edits}

    assert codes <= {200, 503}
    assert 200 in codes
    assert api.call("GET", "/api/events")[1][0]["payload"].startswith("p")
