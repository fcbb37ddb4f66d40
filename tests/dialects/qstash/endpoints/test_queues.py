"""Tests of queues, through the HTTP API: creation, pause, lag and deletion."""

import pytest
from collections.abc import Callable
from scheduler_api.core.store import claims
from tests.dialects.engine import TIMEOUTS
from typing import Any

Make = Callable[..., Any]
HOOK = "https://example.com/hook"


def put(api: Any, name: str = "line", **more: Any) -> Any:
    return api.call("POST", "/v2/queues", json={"queueName": name, **more})


def get(api: Any, name: str = "line") -> Any:
    status, queue = api.call("GET", f"/v2/queues/{name}")
    assert status == 200, queue
    return queue


def enqueue(api: Any, name: str = "line", **headers: str) -> str:
    path = f"/v2/enqueue/{name}/{HOOK}"
    status, answer = api.call("POST", path, headers=headers)
    assert status == 201, answer
    return str(answer["messageId"])


def offered(api: Any) -> list[str]:
    """Claim the due events; return the ids of their messages."""
    return [
        f"msg_{each}"
        for each in claims.claim(api.cell, room=100, timeouts=TIMEOUTS).ids
    ]


def test_a_queue_has_the_values_that_it_was_created_with(api: Any) -> None:
    assert put(api, parallelism=3, paused=False) == (200, None)
    queue = get(api)

    assert queue.pop("createdAt") == queue.pop("updatedAt") > 1_700_000_000_000
    assert queue == {"name": "line", "parallelism": 3, "paused": False, "lag": 0}
    assert api.call("GET", "/v2/queues/") == api.call("GET", "/v2/queues")
    assert [each["name"] for each in api.call("GET", "/v2/queues")[1]] == ["line"]


def test_an_upsert_without_values_resumes_and_sets_parallelism_1(api: Any) -> None:
    put(api, parallelism=3, paused=True)
    created_ms = get(api)["createdAt"]
    put(api, parallelism=None, paused=None)

    queue = get(api)
    assert (queue["parallelism"], queue["paused"]) == (1, False)
    assert queue["createdAt"] == created_ms <= queue["updatedAt"]


def test_enqueueing_creates_a_queue_but_does_not_change_one(api: Any) -> None:
    enqueue(api, "new")
    put(api, parallelism=7)
    enqueue(api)

    assert (get(api, "new")["parallelism"], get(api)["parallelism"]) == (1, 7)


def test_lag_is_the_number_of_unfinished_messages(api: Any) -> None:
    first, second, third = (enqueue(api) for _ in range(3))
    assert get(api)["lag"] == 3
    api.attempt(first, "delivered", status=200)
    assert get(api)["lag"] == 2
    api.attempt(second, "dead", status=500)
    api.call("DELETE", f"/v2/messages/{third}")

    assert get(api)["lag"] == 0


def test_a_paused_queue_accepts_messages_and_resumes_with_the_oldest(api: Any) -> None:
    first, second = enqueue(api), enqueue(api)
    for _ in range(2):
        assert api.call("POST", "/v2/queues/line/pause") == (200, None)
    third = enqueue(api)
    assert (get(api)["paused"], get(api)["lag"], offered(api)) == (True, 3, [])

    for _ in range(2):
        assert api.call("POST", "/v2/queues/line/resume") == (200, None)
    for name in (first, second, third):
        assert not get(api)["paused"]
        api.attempt(name, "delivered", status=200)


def test_deleting_a_queue_cancels_its_waiting_messages(api: Any) -> None:
    names = [enqueue(api) for _ in range(3)]
    for _ in range(2):
        assert api.call("DELETE", "/v2/queues/line") == (200, None)

    assert api.call("GET", "/v2/queues/line") == (
        404,
        {"error": "queue line not found"},
    )
    assert api.call("GET", "/v2/queues") == (200, [])
    for name in names:
        assert api.call("GET", f"/v2/messages/{name}")[0] == 404
    states = [entry["state"] for entry in api.logs("?queueName=line")["logs"]]
    assert states.count("CANCELED") == 3


@pytest.mark.parametrize(
    ("body", "error_start"),
    [
        (None, "body should be an object"),
        ([], "body should be an object"),
        ({}, "queueName should be a text"),
        ({"queueName": "a b"}, "queueName should be 1 to 256 letters"),
        ({"queueName": "q", "parallelism": 0}, "parallelism should be a whole number"),
        ({"queueName": "q", "parallelism": True}, "parallelism should be a whole"),
        ({"queueName": "q", "parallelism": 1.5}, "parallelism should be a whole"),
        ({"queueName": "q", "parallelism": 10**10}, "parallelism should be a whole"),
        ({"queueName": "q", "paused": 1}, "paused should be true or false"),
    ],
)
def test_invalid_queues_are_refused(api: Any, body: Any, error_start: str) -> None:
    status, answer = api.call("POST", "/v2/queues", json=body)

    assert (status, answer["error"].startswith(error_start)) == (400, True), answer
    assert api.call("GET", "/v2/queues") == (200, [])


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")],
)
def test_bad_names_are_refused_and_unknown_ones_not_found(
    api: Any, method: str, path: str
) -> None:
    assert api.call(method, f"/v2/queues/a%20b{path}")[0] == 400
    status = api.call(method, f"/v2/queues/unknown{path}")[0]
    assert status == (200 if method == "DELETE" else 404)


def test_tenants_do_not_see_each_others_queues(api: Any, make_api: Make) -> None:
    name = enqueue(api)
    other = make_api()

    assert other.call("GET", "/v2/queues") == (200, [])
    assert other.call("GET", "/v2/queues/line")[0] == 404
    assert other.call("POST", "/v2/queues/line/pause")[0] == 404
    assert other.call("DELETE", "/v2/queues/line") == (200, None)
    put(other, parallelism=5)
    put(other, paused=True)
    assert (get(api)["parallelism"], get(api)["paused"], get(api)["lag"]) == (
        1,
        False,
        1,
    )
    api.attempt(name, "delivered", status=200)
