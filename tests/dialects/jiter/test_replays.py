"""Tests of replays, which send a finished event again as a new event."""

import pytest
from collections.abc import Callable
from scheduler_api.core.ids import to_id
from scheduler_api.core.store import keys
from typing import Any

NOT_FINISHED = (400, {"message": "Only events that are finished can be replayed"})
NOT_FOUND = (404, {"message": "Unable to find event"})


def replay(api: Any, event: str, **headers: str) -> Any:
    return api.call("POST", f"/api/events/{event}/replay", headers=headers)


def get(api: Any, event: str) -> Any:
    return api.call("GET", f"/api/events/{event}")


@pytest.mark.parametrize("outcome", ["delivered", "dead"])
def test_a_replay_is_a_new_event_with_the_same_content(api: Any, outcome: str) -> None:
    origin = api.create_past(ago_ms=60_000, payload="naïve 漢")
    api.attempt(origin, outcome, status=500)
    before = get(api, origin)

    status, event = replay(api, origin)

    assert status == 200
    assert int(event["id"]) > int(origin)
    assert event == {
        "id": event["id"],
        "org": api.owner.tenant,
        "payload": "naïve 漢",
        "destination": "https://example.com/hook",
        "scheduledTime": event["createdAt"],
        "status": "Pending",
        "createdAt": event["createdAt"],
        "updatedAt": event["createdAt"],
        "replayOf": origin,
    }
    assert get(api, event["id"])[1] == event | {"history": []}
    assert get(api, origin) == before


def test_a_replay_is_due_at_once_and_can_be_replayed(api: Any) -> None:
    origin = api.create_past(ago_ms=60_000)
    api.attempt(origin, "dead")
    first = replay(api, origin)[1]["id"]
    api.attempt(first, "delivered", status=200)

    assert api.status(first) == "Sent"
    assert replay(api, first)[1]["replayOf"] == first


def test_cancelled_and_quarantined_events_can_be_replayed(
    api: Any,
) -> None:
    cancelled, quarantined = api.create()["id"], api.create_past(ago_ms=1_000)
    api.call("PUT", f"/api/events/{cancelled}", {"status": "Cancelled"})
    api.cell.client.zadd(keys.quarantine(api.cell.prefix), {to_id(int(quarantined)): 1})

    assert [replay(api, event)[0] for event in (cancelled, quarantined)] == [200, 200]


def test_an_unfinished_event_cannot_be_replayed(api: Any) -> None:
    waiting, retried = api.create()["id"], api.create_past(ago_ms=60_000)
    api.attempt(retried, "retry", status=500)

    assert replay(api, waiting) == replay(api, retried) == NOT_FINISHED
    assert len(api.call("GET", "/api/events")[1]) == 2


@pytest.mark.parametrize("event", ["999", "abc", "0", "1.5"])
def test_an_unknown_event_is_not_found(api: Any, event: str) -> None:
    assert replay(api, event) == NOT_FOUND


def test_an_event_of_another_tenant_is_not_found(make_api: Callable[..., Any]) -> None:
    own, other = make_api(), make_api()
    event = own.create_past(ago_ms=60_000)
    own.attempt(event, "dead")

    assert replay(other, event) == NOT_FOUND
    assert replay(own, event)[0] == 200


def test_a_pending_replay_can_be_edited_and_names_its_origin(api: Any) -> None:
    origin = api.create_past(ago_ms=60_000)
    api.attempt(origin, "dead")
    event = replay(api, origin)[1]["id"]

    status, edited = api.call("PUT", f"/api/events/{event}", {"payload": "other"})

    assert (status, edited["payload"], edited["replayOf"]) == (200, "other", origin)


def test_a_repeated_replay_with_a_key_is_one_replay(api: Any) -> None:
    first, second = api.create_past(ago_ms=60_000), api.create_past(ago_ms=60_000)
    for event in (first, second):
        api.attempt(event, "dead")
    key = {"Idempotency-Key": "again"}

    responses = [replay(api, first, **key) for _ in range(2)]

    assert responses[0] == responses[1]
    assert responses[0][0] == 200
    assert replay(api, second, **key)[0] == 422
    assert len(api.call("GET", "/api/events")[1]) == 3


def test_a_replay_counts_for_its_month(make_api: Callable[..., Any]) -> None:
    api = make_api(events_per_month=1)
    origin, waiting = api.create_past(ago_ms=60_000), api.create_past(ago_ms=60_000)
    api.attempt(origin, "dead")
    assert replay(api, waiting) == NOT_FINISHED

    assert replay(api, origin)[0] == 200
    assert replay(api, origin)[0] == 400


def test_a_full_store_refuses_a_replay(api: Any) -> None:
    origin = api.create_past(ago_ms=60_000)
    api.attempt(origin, "dead")
    api.cell.client.set(keys.full(api.cell.prefix), 1, ex=60)

    assert replay(api, origin)[0] == 503
