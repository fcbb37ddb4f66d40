"""Tests that the fixed words of paths may be in any case, and nothing else."""

import pytest
from scheduler_api.dialects.qstash.endpoints import signing_keys
from typing import Any

HOOK = "https://example.com/v2/publish/Path"


def test_the_client_for_go_finds_its_schedule(api: Any) -> None:
    headers = {"Upstash-Cron": "0 0 1 1 *", "Upstash-Schedule-Id": "Nightly"}
    created = api.call("POST", f"/v2/Schedules/{HOOK}", headers=headers)

    assert created == (200, {"scheduleId": "Nightly"})
    assert api.call("GET", "/v2/Schedules/Nightly")[1]["destination"] == HOOK
    assert api.call("GET", "/v2/Schedules/nightly")[0] == 404
    assert api.call("PATCH", "/v2/schedules/Nightly/Pause")[0] == 200
    assert api.call("GET", "/V2/SCHEDULES/Nightly/")[1]["isPaused"]
    assert api.call("DELETE", "/v2/Schedules/Nightly")[0] == 200
    assert api.call("POST", "/v2/Dlq/Retry")[0] == 201


def test_a_destination_keeps_its_case(api: Any) -> None:
    for route in ("/v2/Publish/", "/V2/PUBLISH/", "/v2/Enqueue/Q/"):
        headers = {"Upstash-Delay": "1d"}
        status, answer = api.call("POST", route + HOOK, headers=headers)
        assert (status, answer["url"]) == (201, HOOK)


def test_names_keep_their_case(api: Any) -> None:
    endpoints = {"endpoints": [{"url": HOOK}]}
    assert api.call("POST", "/v2/Topics/Endpoints/ENDPOINTS", json=endpoints)[0] == 200
    assert api.call("GET", "/v2/topics/Endpoints")[1]["name"] == "Endpoints"
    assert api.call("GET", "/v2/topics/endpoints")[0] == 404

    assert api.call("POST", "/v2/Queues", json={"queueName": "Pause"})[0] == 200
    assert api.call("POST", "/v2/queues/Pause/PAUSE")[0] == 200
    assert api.call("GET", "/v2/QUEUES/Pause")[1]["paused"]

    assert api.call("POST", "/v2/flowcontrol/A/Pause/Pin?rate=2")[0] == 200
    assert api.call("GET", "/v2/FLOWCONTROL/A/Pause")[1]["rateMax"] == 2
    assert api.call("GET", "/v2/flowControl/A/pause")[0] == 404


def test_every_route_is_found(api: Any) -> None:
    for method, path in (
        ("GET", "/v2/Events"),
        ("GET", "/V2/Logs"),
        ("GET", "/v2/globalparallelism"),
        ("GET", "/v2/DLQ/"),
        ("DELETE", "/v2/Dlq"),
        ("GET", "/v2/KEYS"),
        ("DELETE", "/v2/Messages"),
    ):
        assert api.call(method, path)[0] == 200


def test_the_client_for_go_rotates_the_keys(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_keys, "SECRETS_CACHED_S", 0)
    before = api.call("GET", "/v2/keys")[1]

    after = api.call("POST", "/v2/Rotate")[1]

    assert after["current"] == before["next"]


def test_absent_operations_are_named_in_any_case(api: Any) -> None:
    error = {"error": "workflows: not supported by this server"}

    for path in ("/v2/Workflows/x", "/v2/Batch/Trigger", "/V2/Waiters"):
        assert api.call("POST", path) == (404, error)


def test_other_paths_keep_their_case(api: Any) -> None:
    with api.app.test_client() as client:
        for path in ("/V1/events", "/API/events", "/v2x/keys", "/V2"):
            assert client.get(path).status_code == 404
