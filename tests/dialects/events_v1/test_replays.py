"""Replays: what a callback sent is sent again, as it was."""

import pytest
from scheduler_api.core.store import claims, keys
from scheduler_api.core.store.reads import read_event
from scheduler_api.core.timestamps import from_iso
from tests.dialects.events_v1.conftest import Api
from typing import Any

MINUTE_MS = 60_000
UNFINISHED = (400, ["a callback can be replayed once it is finished"])
NO_ATTEMPT = (404, "Attempt not found")


def fired(api: Api, outcome: str = "dead", **changes: Any) -> tuple[str, str]:
    """An event whose first callback has had an attempt, and the id of that."""
    event = api.create(**{"interval": "* * * * *"} | changes)
    event_id, at_ms = event["eventId"], from_iso(event["nextRun"])
    assert api.fire(event_id, now_ms=at_ms, outcome=outcome)
    return event_id, f"{at_ms // 1000}-1"


def path(event_id: str, attempt_id: str) -> str:
    return f"/v1/events/{event_id}/attempts/{attempt_id}/replay"


def replay(api: Api, event_id: str, attempt_id: str, **headers: str) -> Any:
    status, answer = api.call("POST", path(event_id, attempt_id), headers=headers)
    assert status == 201, answer
    return answer["data"]


def attempts(api: Api, event_id: str) -> Any:
    return api.good("GET", f"/v1/events/{event_id}/attempts")


@pytest.mark.parametrize("outcome", ["delivered", "dead"])
def test_a_callback_is_sent_again_as_it_was(api: Api, outcome: str):
    event_id, attempt_id = fired(api, outcome, context={"n": 1})
    first = attempts(api, event_id)
    one = f"/v1/events/{event_id}"
    api.good("PATCH", one, {"context": {"n": 2}, "interval": "0 0 1 1 *"})

    shown = replay(api, event_id, attempt_id)

    origin = f"{event_id}_{attempt_id.partition('-')[0]}"
    assert (shown["eventId"], shown["replayOf"]) == (event_id, origin)
    [made] = claims.claim(api.at(api.cell.now_ms()), room=10, timeouts=api.timeouts).ids
    assert read_event(api.cell, api.owner, made).content.body == b'{"n":1}'
    assert shown["callbackId"] == f"{event_id}_{made.partition('.')[2]}"
    assert attempts(api, event_id) == first


def test_the_attempts_of_a_replay_name_their_origin_and_may_be_replayed(api: Api):
    event_id, attempt_id = fired(api)
    origin = replay(api, event_id, attempt_id)["replayOf"]
    api.good("PATCH", f"/v1/events/{event_id}", {"interval": "0 0 1 1 *"})
    assert api.fire(event_id, now_ms=api.cell.now_ms())

    told = {each["callbackId"]: each for each in attempts(api, event_id)}
    assert len(told) == 2
    [again] = told.keys() - {origin}
    assert (told[again]["replayOf"], told[origin]["replayOf"]) == (origin, None)
    assert told[again]["status"] == "DELIVERED"
    runs = api.good("GET", f"/v1/events/{event_id}/runs")
    named = {run["callbackId"]: run.get("replayOf") for run in runs}
    assert named == {again: origin, origin: None}
    second = replay(api, event_id, told[again]["attemptId"])
    assert second["replayOf"] == again


def test_a_paused_event_s_callback_may_be_replayed(api: Api):
    event_id, attempt_id = fired(api)
    api.good("POST", f"/v1/events/{event_id}/pause")
    replay(api, event_id, attempt_id)

    assert api.fire(event_id, now_ms=api.cell.now_ms())
    assert api.get(event_id)["status"] == "PAUSED"


def test_what_is_still_tried_is_not_replayed(api: Api):
    event_id, attempt_id = fired(api, "retry")

    assert api.refused("POST", path(event_id, attempt_id)) == UNFINISHED


def test_an_event_that_is_over_sends_nothing_again(api: Api, wait_until: Any):
    end = api.in_ms(2 * MINUTE_MS)
    event_id, attempt_id = fired(api, endDate=end)
    claims.claim(api.at(from_iso(end) + 1), room=10, timeouts=api.timeouts)

    refused = api.refused("POST", path(event_id, attempt_id))
    assert refused == (400, ["a finished event cannot be replayed"])


@pytest.mark.parametrize("attempt_id", ["1-1", "x", "1", "{}-2", "{}r1-1", "{}-01"])
def test_an_unknown_attempt_is_not_found(api: Api, attempt_id: str):
    event_id, known = fired(api)
    asked = path(event_id, attempt_id.format(known.partition("-")[0]))

    assert api.refused("POST", asked) == NO_ATTEMPT


def test_another_application_replays_nothing(make_api):
    mine, foreign = make_api(), make_api()
    event_id, attempt_id = fired(mine)

    refused = foreign.refused("POST", path(event_id, attempt_id))
    assert refused == (404, "Event not found")
    replay(mine, event_id, attempt_id)


def test_a_replay_under_a_key_is_one_however_often_it_is_asked_for(api: Api):
    event_id, attempt_id = fired(api)
    key = {"Idempotency-Key": "again"}

    shown = [replay(api, event_id, attempt_id, **key) for _ in range(2)]

    assert shown[0] == shown[1]
    claim = claims.claim(api.at(api.cell.now_ms()), room=10, timeouts=api.timeouts)
    assert len(claim.ids) == 1
    other = fired(api)
    assert api.refused("POST", path(*other), headers=key)[0] == 422


def test_a_full_store_takes_no_replay(api: Api):
    event_id, attempt_id = fired(api)
    api.cell.client.set(keys.full(api.cell.prefix), 1, ex=60)

    assert api.refused("POST", path(event_id, attempt_id))[0] == 503
