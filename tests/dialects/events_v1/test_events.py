"""Events as clients create, read, change and delete them, and how they end."""

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
BOTH = ("event", "events")
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


def test_a_created_event_is_shown_as_it_was_sent(api: Api):
    body = api.body(interval="* * * 1 * *", endDate="2999-09-02T05:11:59.708Z")

    event = api.create(**body)

    assert set(event) == KEYS
    assert {name: event[name] for name in body} == body
    assert event["status"] == "INACTIVE"
    assert str(UUID(event["eventId"])) == event["eventId"]
    assert from_iso(event["createdDate"]) <= api.cell.now_ms()
    assert api.get(event["eventId"]) == event


@pytest.mark.parametrize("word", BOTH)
def test_an_event_has_two_spellings_of_each_path(api: Api, word: str):
    event = api.create()
    path = f"/v1/{word}/{event['eventId']}"

    assert api.good("GET", path) == event
    assert api.good("PATCH", path, {"tags": ["new"]})["tags"] == ["new"]
    assert api.good("POST", f"{path}/pause")["status"] == "PAUSED"
    assert api.good("POST", f"{path}/resume")["status"] == "INACTIVE"
    assert api.good("DELETE", path)["tags"] == ["new"]
    assert api.refused("GET", path) == (404, "Event not found")


def test_what_is_optional_may_be_left_out_or_null(api: Api):
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
def test_a_context_comes_back_as_it_was(api: Api, context: dict[str, Any]):
    assert api.create(context=context)["context"] == context


def test_a_number_that_no_double_holds_is_refused(api: Api):
    raw = json.dumps(api.body()).replace("12345", "1e999")

    refused = api.refused("POST", "/v1/events", data=raw)

    assert refused == (400, ["the request body must be a JSON object"])


def test_an_end_without_a_zone_is_utc_and_an_offset_is_converted(api: Api):
    plain = api.create(endDate="2999-09-02T05:11:59.708")
    offset = api.create(endDate="2999-09-02T07:11:59.708+02:00")

    assert plain["endDate"] == offset["endDate"] == "2999-09-02T05:11:59.708Z"


def test_a_patch_changes_what_it_names_and_no_more(api: Api):
    event = api.create()
    path = f"/v1/events/{event['eventId']}"
    changes: list[dict[str, Any]] = [
        {"endDate": api.in_ms(2 * HOUR_MS)},
        {"interval": "0 0 1 7 *"},
        {"callbackUrl": "http://localhost:3000/x?y=1"},
        {"context": {"other": [1]}},
        {"tags": []},
        {"context": None},
        {},
    ]

    for change in changes:
        edited = api.good("PATCH", path, change)
        assert {**event, **change, "nextRun": edited["nextRun"]} == edited
        event = edited
        assert api.get(event["eventId"]) == event


def test_what_is_not_to_be_changed_is_ignored(api: Api):
    event = api.create()
    change = {"eventOwner": "other@example.com", "status": "FINISHED", "eventId": "x"}

    edited = api.good("PATCH", f"/v1/events/{event['eventId']}", change)

    assert edited == event


def test_a_new_interval_is_in_force_at_once(api: Api):
    event = api.create(interval="0 0 1 1 *", endDate="2999-01-01T00:00:00Z")

    edited = api.good(
        "PATCH", f"/v1/event/{event['eventId']}", {"interval": "* * * * * *"}
    )

    assert 0 < next_fire_ms(edited) - api.cell.now_ms() + SECOND_MS < 2 * SECOND_MS


def test_no_event_has_another_id(api: Api):
    mine = api.create()["eventId"]
    number = UUID(mine).int & (1 << 62) - 1
    others = [str(UUID(int=number)), f"{{{mine}}}", mine.replace("-", ""), f"{mine}0"]

    for event_id in ("x", "1", str(number), "7" * 40, *others):
        for method, more in [("GET", ""), ("DELETE", ""), ("POST", "/pause")]:
            path = f"/v1/events/{event_id}{more}"
            assert api.refused(method, path) == (404, "Event not found"), event_id
    assert api.get(mine.upper())["eventId"] == mine


def test_a_patch_or_delete_without_an_id_is_refused(api: Api):
    for method in ("PATCH", "DELETE"):
        assert api.refused(method, "/v1/events", {})[0] == 405


def test_s27_another_application_sees_and_changes_nothing(make_api):
    mine, foreign = make_api(), make_api()
    event = mine.create()
    path = f"/v1/events/{event['eventId']}"

    for method, more in [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/pause"),
    ]:
        refused = foreign.refused(method, path + more, {"tags": []})
        assert refused == (404, "Event not found")
    assert foreign.listed() == ([], 0)
    assert foreign.listed(query='{"tags":["prod"]}') == ([], 0)
    assert mine.get(event["eventId"]) == event


def test_without_a_key_nothing_is_answered(api: Api):
    for key in ("", "wrong"):
        for method, path in [("GET", "/v1/events"), ("POST", "/v1/events")]:
            refused = api.refused(method, path, {}, headers={"X-API-Key": key})
            assert refused == (401, "Please provide a valid API key")


def test_an_unknown_path_and_method_are_told_in_the_same_shape(api: Api):
    assert api.refused("GET", "/v1/other") == (404, "Not Found")
    assert api.refused("PUT", "/v1/events", {})[0] == 405


def test_pause_and_resume_take_the_empty_form_that_axios_sends(api: Api):
    path = f"/v1/event/{api.create()['eventId']}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    for word, expected in [("pause", "PAUSED"), ("resume", "INACTIVE")]:
        shown = api.good("POST", f"{path}/{word}", data=b"", headers=headers)
        assert shown["status"] == expected


def test_a_pause_of_what_is_paused_changes_nothing_and_so_for_resume(api: Api):
    event = api.create()
    path = f"/v1/events/{event['eventId']}"

    assert api.good("POST", f"{path}/resume") == event
    paused = api.good("POST", f"{path}/pause")
    assert api.good("POST", f"{path}/pause") == paused
    assert (paused["status"], paused["nextRun"]) == ("PAUSED", None)


def test_an_event_is_active_from_its_first_callback_on(api: Api):
    event = api.create(interval="* * * * * *")
    path, at_ms = f"/v1/events/{event['eventId']}", next_fire_ms(event)

    assert api.fire(event["eventId"], now_ms=at_ms)

    assert status(api, event["eventId"]) == "ACTIVE"
    assert api.good("POST", f"{path}/pause")["status"] == "PAUSED"
    assert api.good("POST", f"{path}/resume")["status"] == "ACTIVE"


def test_a_callback_that_fails_has_been_called_all_the_same(api: Api):
    event = api.create(interval="* * * * * *")

    api.fire(event["eventId"], now_ms=next_fire_ms(event), outcome="retry")

    assert status(api, event["eventId"]) == "ACTIVE"


def test_what_was_only_offered_has_not_been_called(api: Api):
    event = api.create(interval="* * * * * *")
    path, at_ms = f"/v1/events/{event['eventId']}", next_fire_ms(event)
    assert claims.claim(api.at(at_ms), room=10, timeouts=TIMEOUTS).ids

    assert status(api, event["eventId"]) == "INACTIVE"
    api.good("POST", f"{path}/pause")
    assert not api.fire(event["eventId"], now_ms=at_ms + 1)
    assert api.good("POST", f"{path}/resume")["status"] == "INACTIVE"


@pytest.mark.parametrize("paused", [False, True])
def test_an_event_is_finished_by_itself_once_its_end_has_passed(
    api: Api, paused: bool, wait_until
):
    event = api.create(endDate=api.in_ms(1_000))
    path = f"/v1/events/{event['eventId']}"
    if paused:
        api.good("POST", f"{path}/pause")

    wait_until(lambda: status(api, event["eventId"]) == "FINISHED")

    assert api.get(event["eventId"])["nextRun"] is None
    for word in ("pause", "resume"):
        refused = api.refused("POST", f"{path}/{word}")
        assert refused == (400, ["a finished event cannot be paused or resumed"])
    assert status(api, event["eventId"]) == "FINISHED"


def test_a_finished_event_goes_on_with_a_later_end(api: Api, wait_until):
    event = api.create(endDate=api.in_ms(1_000), interval="* * * * * *")
    path = f"/v1/events/{event['eventId']}"
    wait_until(lambda: status(api, event["eventId"]) == "FINISHED")
    claims.claim(api.at(api.cell.now_ms()), room=10, timeouts=TIMEOUTS)

    assert api.good("PATCH", path, {"tags": ["x"]})["status"] == "FINISHED"
    revived = api.good("PATCH", path, {"endDate": api.in_ms(HOUR_MS)})

    assert revived["status"] == "INACTIVE"
    assert api.fire(event["eventId"], now_ms=next_fire_ms(revived))


def test_no_callback_begins_after_the_end_and_one_at_the_end_may(api: Api):
    start_ms = api.cell.now_ms() // SECOND_MS * SECOND_MS
    end_ms = start_ms + 2 * SECOND_MS
    event = api.create(endDate=to_iso(end_ms), interval="* * * * * *")

    fired = [api.fire(event["eventId"], now_ms=end_ms + late) for late in (0, 1, 1_000)]

    assert fired[0]
    assert fired[1:] == [False, False]


def test_a_deleted_event_is_answered_as_it_was_and_gone(api: Api):
    event = api.create()
    path = f"/v1/events/{event['eventId']}"

    assert api.good("DELETE", path) == event
    assert api.refused("DELETE", path) == (404, "Event not found")
    assert api.listed() == ([], 0)


def test_a_body_that_is_too_large_is_refused(make_api):
    api = make_api(body_limit_bytes=100)

    refused = api.refused("POST", "/v1/events", api.body(context={"x": "y" * 100}))

    assert refused == (413, "The request body is too large")


def test_a_paused_event_stays_paused_through_changes(api: Api):
    event = api.create(interval="* * * * * *")
    path, at_ms = f"/v1/events/{event['eventId']}", next_fire_ms(event)
    api.good("POST", f"{path}/pause")

    changes = {"interval": "*/2 * * * * *", "endDate": api.in_ms(2 * HOUR_MS)}
    changed = api.good("PATCH", path, changes | {"context": {"x": 1}})

    assert (changed["status"], changed["nextRun"]) == ("PAUSED", None)
    assert not api.fire(event["eventId"], now_ms=at_ms + 5 * SECOND_MS)


def test_two_changes_at_once_are_both_in_force(api: Api):
    event = api.create()
    path = f"/v1/events/{event['eventId']}"
    changes = [
        {"tags": ["new"]},
        {"context": {"n": 1}},
        {"callbackUrl": "https://example.com/other"},
        {"interval": "0 0 1 7 *"},
    ]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda change: api.good("PATCH", path, change), changes))

    shown = api.get(event["eventId"])
    for change in changes:
        assert shown | change == shown
