"""Tests of options of events: how they are set, returned, edited and refused."""

import pytest
from scheduler_api.core.timestamps import from_iso
from tests.dialects.events_v1.conftest import Api
from typing import Any

DEFAULTS = {
    "timeZone": "UTC",
    "gap": "after",
    "fold": "first",
    "missedRuns": "latest",
    "overlap": "run",
}
OPTIONS = {
    "timeZone": "America/New_York",
    "gap": "skip",
    "fold": "both",
    "missedRuns": "all",
    "mostMissed": 7,
    "startDate": "2998-01-01T00:00:00.000Z",
    "maxRuns": 3,
    "jitter": "90s",
    "overlap": "queue",
}


def test_an_event_without_options_has_the_defaults(api: Api):
    assert api.create()["options"] == DEFAULTS
    assert api.create(options={})["options"] == DEFAULTS


def test_returned_options_can_be_sent_again(api: Api):
    event = api.create(options=OPTIONS, endDate="2999-01-01T00:00:00Z")

    assert event["options"] == OPTIONS
    copy = api.create(options=event["options"], endDate=event["endDate"])
    assert copy["options"] == OPTIONS
    assert api.get(event["eventId"]) == event


def test_an_event_fires_in_its_time_zone_after_its_start_date(api: Api):
    event = api.create(
        interval="0 0 12 * * *",
        endDate="2999-01-01T00:00:00Z",
        options={"timeZone": "Asia/Tokyo", "startDate": "2998-06-01T00:00:00Z"},
    )

    assert event["nextRun"] == "2998-06-01T03:00:00.000Z"


def test_a_patch_changes_only_its_options(api: Api):
    event = api.create(options={"maxRuns": 3, "timeZone": "Asia/Tokyo"})
    path = f"/v1/events/{event['eventId']}"

    edited = api.data("PATCH", path, {"options": {"maxRuns": 5, "overlap": "skip"}})
    assert edited["options"] == event["options"] | {"maxRuns": 5, "overlap": "skip"}
    assert api.data("PATCH", path, {"tags": []})["options"] == edited["options"]
    reset = api.data("PATCH", path, {"options": dict.fromkeys(edited["options"])})
    assert reset["options"] == DEFAULTS


def test_an_event_is_finished_after_its_last_run(api: Api):
    event = api.create(interval="* * * * *", options={"maxRuns": 1})

    api.fire(event["eventId"], now_ms=from_iso(event["nextRun"]))

    assert api.get(event["eventId"])["status"] == "FINISHED"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "options must be an object"),
        ({"endDate": None}, "options.endDate is unknown: it stands beside options"),
        ({"timeZone": "Mars/Base"}, "options.timeZone is an unknown time zone"),
        ({"overlap": "{0}"}, "options.overlap should be one of run, skip, queue"),
        ({"{x}": 1}, "options.{x} is unknown"),
        ({"mostMissed": 5}, "options.mostMissed goes with missedRuns all"),
        ({"startDate": "2999-01-01"}, "options.startDate should not be after endDate"),
    ],
)
def test_a_wrong_option_is_reported_with_other_faults(
    api: Api, options: Any, message: str
):
    event = api.create()
    wrong = {"options": options, "tags": "x"}

    for method, path, body in [
        ("POST", "/v1/events", api.body(**wrong)),
        ("PATCH", f"/v1/event/{event['eventId']}", wrong),
    ]:
        status, [tags_message, options_message] = api.error(method, path, body)
        assert (status, tags_message) == (400, "tags must be an array")
        assert options_message.startswith(message)
    assert api.list_events()[1] == 1
