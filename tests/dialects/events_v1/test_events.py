"""Tests of creating, reading, editing, pausing, deleting and ending events."""

import json
import pytest
from concurrent.futures import ThreadPoolExecutor
from scheduler_api.core.store import claims
from scheduler_api.core.timestamps import from_iso, to_iso
from tests.dialects.engine import TIMEOUTS
from tests.dialects.events_v1.conftest import HOUR_MS, Api
from typing import Any
from uuid import UUID

SECOND_MS, MINUTE_MS = 1_000, 60_000
SPELLINGS = ("event", "events")
KEYS = {
    "eventId",
    "status",
    "createdDate",
    "eventOwner",
    "endDate",
    "interval",
    "callbackUrl",
    "context",
    "tags",
    "nextRun",
    "options",
}


def status(api: Api, event_id: str) -> str:
    return str(api.get(event_id)["status"])


def next_fire_ms(event: dict[str, Any]) -> int:
    return from_iso(event["nextRun"])


def test_a_created_event_has_the_fields_of_the_request(api: Api):
    body = api.body(interval="* * * 1 * *", endDate="2999-09-02T05:11:59.708Z")

    event = api.create(**body)

    assert set(event) == KEYS
    assert {name: event[name] for name in body} == body
    assert event["status"] == "INACTIVE"
    assert str(UUID(event["eventId"])) == event["eventId"]
    assert from_iso(event["createdDate"]) <= api.cell.now_ms()
    assert api.get(event["eventId"]) == event


@pytest.mark.parametrize("word", SPELLINGS)
def test_both_spellings_of_a_path_work(api: Api, word: str):
    event = api.create()
    path = f"/v1/{word}/{event['eventId']}"

    assert api.data("GET", path) == event
    assert api.data("PATCH", path, {"tags": ["new"]})["tags"] == ["new"]
    assert api.data("POST", f"{path}/pause")["status"] == "PAUSED"
    assert api.data("POST", f"{path}/resume")["status"] == "INACTIVE"
    assert api.data("DELETE", path)["tags"] == ["new"]
    assert api.error("GET", path) == (404, "Event not found")


def test_optional_fields_can_be_missing_or_null(api: Api):
    for context, tags in [(..., ...), (None, None)]:
        event = api.create(context=context, tags=tags)

        assert (event["context"], event["tags"]) == (None, [])


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"é": "\u2028😀", "": None, "a.b": [1, 2.5, -0.0, 1e-7, True, {"c": []}]},
        {"lone": "\ud83d"},
        {"big": 9007199254740993, "__proto__": {"x": 1}},
    ],
)
def test_a_context_is_returned_unchanged(api: Api, context: dict[str, Any]):
    assert api.create(context=context)["context"] == context


def test_a_number_beyond_the_range_of_a_double_is_refused(api: Api):
    raw = json.dumps(api.body()).replace("12345", "1e999")

    error = api.error("POST", "/v1/events", data=raw)

    assert error == (400, ["the request body must be a JSON object"])


def test_an_end_date_without_an_offset_is_utc(api: Api):
    plain = api.create(endDate="2999-09-02T05:11:59.708")
    offset = api.create(endDate="2999-09-02T07:11:59.708+02:00")

    assert plain["endDate"] == offset["endDate"] == "2999-09-02T05:11:59.708Z"


def test_a_patch_changes_only_its_fields(api: Api):
    event = api.create()
    path = f"/v1/events/{event['eventId']}"
    changes: list[dict[str, Any]] = [
        {"endDate": api.date_in(2 * HOUR_MS)},
        {"interval": "0 0 1 7 *"},
        {"callbackUrl": "http://localhost:3000/x?y=1"},
        {"context": {"other": [1]}},
        {"tags": []},
        {"context": None},
        {},
    ]

    for change in changes:
        edited = api.data("PATCH", path, change)
        assert {**event, **change, "nextRun": edited["nextRun"]} == edited
        event = edited
        assert api.get(event["eventId"]) == event


def test_a_patch_ignores_fields_that_cannot_be_edited(api: Api):
    event = api.create()
    change = {"eventOwner": "other@example.com", "status": "FINISHED", "eventId": "x"}

    edited = api.data("PATCH", f"/v1/events/{event['eventId']}", change)

    assert edited == event


def test_a_new_interval_applies_at_once(api: Api):
    event = api.create(interval="0 0 1 1 *", endDate="2999-01-01T00:00:00Z")

    edited = api.data(
        "PATCH", f"/v1/event/{event['eventId']}", {"interval": "* * * * * *"}
    )

    assert 0 < next_fire_ms(edited) - api.cell.now_ms() + SECOND_MS < 2 * SECOND_MS


def test_other_notations_of_an_id_are_not_found(api: Api):
    own = api.create()["eventId"]
    number = UUID(own).int & (1 << 62) - 1
    others = [str(UUID(int=number)), f"{{{own}}}", own.replace("-", ""), f"{own}0"]

    for event_id in ("x", "1", str(number), "7" * 40, *others):
        for method, suffix in [("GET", ""), ("DELETE", ""), ("POST", "/pause")]:
            path = f"/v1/events/{event_id}{suffix}"
            assert api.error(method, path) == (404, "Event not found"), event_id
    assert api.get(own.upper())["eventId"] == own


def test_a_patch_or_delete_without_an_id_is_refused(api: Api):
    for method in ("PATCH", "DELETE"):
        assert api.error(method, "/v1/events", {})[0] == 405


def test_s27_another_application_cannot_read_or_change_an_event(make_api):
    own, other = make_api(), make_api()
    event = own.create()
    path = f"/v1/events/{event['eventId']}"

    for method, suffix in [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/pause"),
    ]:
        error = other.error(method, path + suffix, {"tags": []})
        assert error == (404, "Event not found")
    assert other.list_events() == ([], 0)
    assert other.list_events(query='{"tags":["prod"]}') == ([], 0)
    assert own.get(event["eventId"]) == event


def test_a_request_without_a_valid_key_is_refused(api: Api):
    for key in ("", "wrong"):
        for method, path in [("GET", "/v1/events"), ("POST", "/v1/events")]:
            error = api.error(method, path, {}, headers={"X-API-Key": key})
            assert error == (401, "Please provide a valid API key")


def test_unknown_paths_and_methods_have_the_same_error_format(api: Api):
    assert api.error("GET", "/v1/other") == (404, "Not Found")
    assert api.error("PUT", "/v1/events", {})[0] == 405


def test_pause_and_resume_accept_an_empty_form_from_axios(api: Api):
    path = f"/v1/event/{api.create()['eventId']}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    for word, expected in [("pause", "PAUSED"), ("resume", "INACTIVE")]:
        event = api.data("POST", f"{path}/{word}", data=b"", headers=headers)
        assert event["status"] == expected


def test_repeating_a_pause_or_a_resume_changes_nothing(api: Api):
    event = api.create()
    path = f"/v1/events/{event['eventId']}"

    assert api.data("POST", f"{path}/resume") == event
    paused = api.data("POST", f"{path}/pause")
    assert api.data("POST", f"{path}/pause") == paused
    assert (paused["status"], paused["nextRun"]) == ("PAUSED", None)


def test_an_event_is_active_after_its_first_callback(api: Api):
    event = api.create(interval="* * * * * *")
    path, at_ms = f"/v1/events/{event['eventId']}", next_fire_ms(event)

    assert api.fire(event["eventId"], now_ms=at_ms)

    assert status(api, event["eventId"]) == "ACTIVE"
    assert api.data("POST", f"{path}/pause")["status"] == "PAUSED"
    assert api.data("POST", f"{path}/resume")["status"] == "ACTIVE"


def test_an_event_is_active_after_a_failed_callback(api: Api):
    event = api.create(interval="* * * * * *")

    api.fire(event["eventId"], now_ms=next_fire_ms(event), outcome="retry")

    assert status(api, event["eventId"]) == "ACTIVE"


def test_an_event_is_inactive_while_its_callback_is_only_offered(api: Api):
    event = api.create(interval="* * * * * *")
    path, at_ms = f"/v1/events/{event['eventId']}", next_fire_ms(event)
    assert claims.claim(api.cell_at(at_ms), room=10, timeouts=TIMEOUTS).ids

    assert status(api, event["eventId"]) == "INACTIVE"
    api.data("POST", f"{path}/pause")
    assert not api.fire(event["eventId"], now_ms=at_ms + 1)
    assert api.data("POST", f"{path}/resume")["status"] == "INACTIVE"


@pytest.mark.parametrize("paused", [False, True])
def test_an_event_is_finished_after_its_end_date(api: Api, paused: bool, wait_until):
    event = api.create(endDate=api.date_in(1_000))
    path = f"/v1/events/{event['eventId']}"
    if paused:
        api.data("POST", f"{path}/pause")

    wait_until(lambda: status(api, event["eventId"]) == "FINISHED")

    assert api.get(event["eventId"])["nextRun"] is None
    for word in ("pause", "resume"):
        error = api.error("POST", f"{path}/{word}")
        assert error == (400, ["a finished event cannot be paused or resumed"])
    assert status(api, event["eventId"]) == "FINISHED"


def test_a_later_end_date_revives_a_finished_event(api: Api, wait_until):
    event = api.create(endDate=api.date_in(1_000), interval="* * * * * *")
    path = f"/v1/events/{event['eventId']}"
    wait_until(lambda: status(api, event["eventId"]) == "FINISHED")
    claims.claim(api.cell_at(api.cell.now_ms()), room=10, timeouts=TIMEOUTS)

    assert api.data("PATCH", path, {"tags": ["x"]})["status"] == "FINISHED"
    revived = api.data("PATCH", path, {"endDate": api.date_in(HOUR_MS)})

    assert revived["status"] == "INACTIVE"
    assert api.fire(event["eventId"], now_ms=next_fire_ms(revived))


def test_a_callback_can_begin_at_the_end_date_but_not_later(api: Api):
    start_ms = api.cell.now_ms() // SECOND_MS * SECOND_MS
    end_ms = start_ms + 2 * SECOND_MS
    event = api.create(endDate=to_iso(end_ms), interval="* * * * * *")

    fired = [api.fire(event["eventId"], now_ms=end_ms + late) for late in (0, 1, 1_000)]

    assert fired[0]
    assert fired[1:] == [False, False]


def test_a_deleted_event_is_returned_and_not_found_afterwards(api: Api):
    event = api.create()
    path = f"/v1/events/{event['eventId']}"

    assert api.data("DELETE", path) == event
    assert api.error("DELETE", path) == (404, "Event not found")
    assert api.list_events() == ([], 0)


def test_a_body_that_is_too_large_is_refused(make_api):
    api = make_api(body_limit_bytes=100)

    error = api.error("POST", "/v1/events", api.body(context={"x": "y" * 100}))

    assert error == (413, "The request body is too large")


def test_an_edit_keeps_an_event_paused(api: Api):
    event = api.create(interval="* * * * * *")
    path, at_ms = f"/v1/events/{event['eventId']}", next_fire_ms(event)
    api.data("POST", f"{path}/pause")

    changes = {"interval": "*/2 * * * * *", "endDate": api.date_in(2 * HOUR_MS)}
    changed = api.data("PATCH", path, changes | {"context": {"x": 1}})

    assert (changed["status"], changed["nextRun"]) == ("PAUSED", None)
    assert not api.fire(event["eventId"], now_ms=at_ms + 5 * SECOND_MS)


def test_concurrent_edits_are_all_applied(api: Api):
    event = api.create()
    path = f"/v1/events/{event['eventId']}"
    changes = [
        {"tags": ["new"]},
        {"context": {"n": 1}},
        {"callbackUrl": "https://example.com/other"},
        {"interval": "0 0 1 7 *"},
    ]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda change: api.data("PATCH", path, change), changes))

    edited = api.get(event["eventId"])
    for change in changes:
        assert edited | change == edited
