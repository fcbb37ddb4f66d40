"""What an event does beside firing: said, told, changed, and refused."""

import pytest
from scheduler_api.core.timestamps import from_iso
from tests.dialects.events_v1.conftest import Api
from typing import Any

PLAIN = {
    "timeZone": "UTC",
    "gap": "after",
    "fold": "first",
    "missedRuns": "latest",
    "overlap": "run",
}
CHOSEN = {
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
    assert api.create()["options"] == PLAIN
    assert api.create(options={})["options"] == PLAIN


def test_options_are_told_as_they_were_said_and_may_be_said_again(api: Api):
    event = api.create(options=CHOSEN, endDate="2999-01-01T00:00:00Z")

    assert event["options"] == CHOSEN
    again = api.create(options=event["options"], endDate=event["endDate"])
    assert again["options"] == CHOSEN
    assert api.get(event["eventId"]) == event


def test_an_event_fires_in_its_time_zone_and_from_its_start(api: Api):
    event = api.create(
        interval="0 0 12 * * *",
        endDate="2999-01-01T00:00:00Z",
        options={"timeZone": "Asia/Tokyo", "startDate": "2998-06-01T00:00:00Z"},
    )

    assert event["nextRun"] == "2998-06-01T03:00:00.000Z"


def test_a_patch_changes_the_options_that_it_names(api: Api):
    event = api.create(options={"maxRuns": 3, "timeZone": "Asia/Tokyo"})
    path = f"/v1/events/{event['eventId']}"

    edited = api.good("PATCH", path, {"options": {"maxRuns": 5, "overlap": "skip"}})
    assert edited["options"] == event["options"] | {"maxRuns": 5, "overlap": "skip"}
    assert api.good("PATCH", path, {"tags": []})["options"] == edited["options"]
    reset = api.good("PATCH", path, {"options": dict.fromkeys(edited["options"])})
    assert reset["options"] == PLAIN


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
def test_a_wrong_option_is_told_beside_other_faults(
    api: Api, options: Any, message: str
):
    event = api.create()
    wrong = {"options": options, "tags": "x"}

    for method, path, body in [
        ("POST", "/v1/events", api.body(**wrong)),
        ("PATCH", f"/v1/event/{event['eventId']}", wrong),
    ]:
        status, [tags, told] = api.refused(method, path, body)
        assert (status, tags) == (400, "tags must be an array")
        assert told.startswith(message)
    assert api.listed()[1] == 1
