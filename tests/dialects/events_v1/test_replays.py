"""Tests of replays, which send a finished callback again with the same content."""

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
    """Create an event and make one attempt; return the ids of event and attempt."""
    event = api.create(**{"interval": "* * * * *"} | changes)
    event_id, at_ms = event["eventId"], from_iso(event["nextRun"])
    assert api.fire(event_id, now_ms=at_ms, outcome=outcome)
    return event_id, f"{at_ms // 1000}-1"


def path(event_id: str, attempt_id: str) -> str:
    return f"/v1/events/{event_id}/attempts/{attempt_id}/replay"


def replay(api: Api, event_id: str, attempt_id: str, **headers: str) -> Any:
    status, response = api.call("POST", path(event_id, attempt_id), headers=headers)
    assert status == 201, response
    return response["data"]


def attempts(api: Api, event_id: str) -> Any:
    return api.data("GET", f"/v1/events/{event_id}/attempts")


@pytest.mark.parametrize("outcome", ["delivered", "dead"])
def test_a_replay_has_the_content_of_the_original_callback(api: Api, outcome: str):
    event_id, attempt_id = fired(api, outcome, context={"n": 1})
    first = attempts(api, event_id)
    one = f"/v1/events/{event_id}"
    api.data("PATCH", one, {"context": {"n": 2}, "interval": "0 0 1 1 *"})

    replayed = replay(api, event_id, attempt_id)

    origin = f"{event_id}_{attempt_id.partition('-')[0]}"
    assert (replayed["eventId"], replayed["replayOf"]) == (event_id, origin)
    [callback] = claims.claim(
        api.cell_at(api.cell.now_ms()), room=10, timeouts=api.timeouts
    ).ids
    assert read_event(api.cell, api.owner, callback).content.body == b'{"n":1}'
    assert replayed["callbackId"] == f"{event_id}_{callback.partition('.')[2]}"
    assert attempts(api, event_id) == first


def test_a_replay_names_its_origin_and_can_be_replayed(api: Api):
    event_id, attempt_id = fired(api)
    origin = replay(api, event_id, attempt_id)["replayOf"]
    api.data("PATCH", f"/v1/events/{event_id}", {"interval": "0 0 1 1 *"})
    assert api.fire(event_id, now_ms=api.cell.now_ms())

    found = {attempt["callbackId"]: attempt for attempt in attempts(api, event_id)}
    assert len(found) == 2
    [again] = found.keys() - {origin}
    assert (found[again]["replayOf"], found[origin]["replayOf"]) == (origin, None)
    assert found[again]["status"] == "DELIVERED"
    runs = api.data("GET", f"/v1/events/{event_id}/runs")
    origins = {run["callbackId"]: run.get("replayOf") for run in runs}
    assert origins == {again: origin, origin: None}
    second = replay(api, event_id, found[again]["attemptId"])
    assert second["replayOf"] == again


def test_a_callback_of_a_paused_event_can_be_replayed(api: Api):
    event_id, attempt_id = fired(api)
    api.data("POST", f"/v1/events/{event_id}/pause")
    replay(api, event_id, attempt_id)

    assert api.fire(event_id, now_ms=api.cell.now_ms())
    assert api.get(event_id)["status"] == "PAUSED"


def test_an_unfinished_callback_cannot_be_replayed(api: Api):
    event_id, attempt_id = fired(api, "retry")

    assert api.error("POST", path(event_id, attempt_id)) == UNFINISHED


def test_a_callback_of_a_finished_event_cannot_be_replayed(api: Api, wait_until: Any):
    end = api.date_in(2 * MINUTE_MS)
    event_id, attempt_id = fired(api, endDate=end)
    claims.claim(api.cell_at(from_iso(end) + 1), room=10, timeouts=api.timeouts)

    error = api.error("POST", path(event_id, attempt_id))
    assert error == (400, ["a finished event cannot be replayed"])


@pytest.mark.parametrize("attempt_id", ["1-1", "x", "1", "{}-2", "{}r1-1", "{}-01"])
def test_an_unknown_attempt_is_not_found(api: Api, attempt_id: str):
    event_id, known = fired(api)
    wrong_id = attempt_id.format(known.partition("-")[0])

    assert api.error("POST", path(event_id, wrong_id)) == NO_ATTEMPT


def test_another_application_cannot_replay_a_callback(make_api):
    own, other = make_api(), make_api()
    event_id, attempt_id = fired(own)

    error = other.error("POST", path(event_id, attempt_id))
    assert error == (404, "Event not found")
    replay(own, event_id, attempt_id)


def test_a_repeated_replay_with_a_key_is_one_replay(api: Api):
    event_id, attempt_id = fired(api)
    key = {"Idempotency-Key": "again"}

    replays = [replay(api, event_id, attempt_id, **key) for _ in range(2)]

    assert replays[0] == replays[1]
    claim = claims.claim(api.cell_at(api.cell.now_ms()), room=10, timeouts=api.timeouts)
    assert len(claim.ids) == 1
    another = fired(api)
    assert api.error("POST", path(*another), headers=key)[0] == 422


def test_a_full_store_refuses_a_replay(api: Api):
    event_id, attempt_id = fired(api)
    api.cell.client.set(keys.full(api.cell.prefix), 1, ex=60)

    assert api.error("POST", path(event_id, attempt_id))[0] == 503
