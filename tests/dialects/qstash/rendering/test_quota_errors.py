"""Tests of errors at the limits of queues, flow-control keys and URL groups."""

import pytest
from collections.abc import Callable
from typing import Any

HOOK = "https://example.com/hook"
QUEUES = "at most 1 queues are allowed: delete one first"
GROUPS = "at most 1 url groups are allowed: delete one first"
KEYS = (
    "at most 1 flow control keys are allowed: unpin or resume one, or wait until one is"
    " forgotten"
)


@pytest.fixture
def small(make_api: Callable[..., Any]) -> Any:
    """A client of a tenant that has one queue, one flow-control key and one URL group.

    The settings allow no second one.
    """
    api = make_api(queues=1, flow_control_keys=1, url_groups=1)
    endpoints = {"endpoints": [{"url": HOOK}]}
    assert api.call("POST", f"/v2/enqueue/a/{HOOK}")[0] == 201
    assert api.call("POST", "/v2/flowControl/a/pause")[0] == 200
    assert api.call("POST", "/v2/topics/a/endpoints", json=endpoints)[0] == 200
    return api


@pytest.mark.parametrize(
    ("request_", "more", "error"),
    [
        (("POST", f"/v2/enqueue/b/{HOOK}"), {}, QUEUES),
        (("POST", "/v2/queues"), {"json": {"queueName": "b"}}, QUEUES),
        (
            ("POST", f"/v2/publish/{HOOK}"),
            {
                "headers": {
                    "Upstash-Flow-Control-Key": "b",
                    "Upstash-Flow-Control-Value": "rate=1",
                }
            },
            KEYS,
        ),
        (("POST", "/v2/flowControl/b/pause"), {}, KEYS),
        (("POST", "/v2/flowControl/b/pin?parallelism=1"), {}, KEYS),
        (
            ("POST", "/v2/topics/b/endpoints"),
            {"json": {"endpoints": [{"url": HOOK}]}},
            GROUPS,
        ),
    ],
)
def test_one_above_the_limit_is_refused_with_the_limit(
    small: Any, request_: tuple[str, str], more: dict[str, Any], error: str
) -> None:
    assert small.call(*request_, **more) == (412, {"error": error})


def test_existing_ones_keep_working_at_the_limit(small: Any) -> None:
    assert small.call("POST", f"/v2/enqueue/a/{HOOK}")[0] == 201
    assert small.call("POST", "/v2/flowControl/a/resume")[0] == 200
    assert small.call("POST", f"/v2/publish/{HOOK}")[0] == 201


def test_an_item_of_a_batch_above_the_limit_is_refused_in_its_place(small: Any) -> None:
    items = [{"destination": HOOK, "queue": queue} for queue in ("a", "b", "a")]
    status, (first, second, third) = small.call("POST", "/v2/batch", json=items)

    assert status == 200
    assert second == {"messageId": "", "error": QUEUES}
    assert first["messageId"] and third["messageId"]
