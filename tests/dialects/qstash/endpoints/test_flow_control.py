"""Tests of flow-control keys, through the HTTP API: limits, pauses, pins and counts."""

import pytest
import time
from collections.abc import Callable
from scheduler_api.core.store import claims
from tests.dialects.engine import TIMEOUTS
from typing import Any
from urllib.parse import quote

Make = Callable[..., Any]
ODD_KEY = "a/b c?ü%2F,/pin"


def publish(api: Any, limits: str, key: str = "k") -> str:
    headers = {"flow_control_key": key, "flow_control_value": limits}
    return str(api.publish(**headers)["messageId"])


def path(key: str, verb: str = "") -> str:
    return f"/v2/flowControl/{quote(key, safe='/')}{verb and '/' + verb}"


def get(api: Any, key: str = "k") -> Any:
    status, flow = api.call("GET", path(key))
    assert status == 200, flow
    return flow


def act(api: Any, verb: str, key: str = "k") -> None:
    assert api.call("POST", path(key, verb)) == (200, None)


def offered(api: Any) -> list[str]:
    """Claim the due events; return the ids of their messages."""
    return [
        f"msg_{each}"
        for each in claims.claim(api.cell, room=100, timeouts=TIMEOUTS).ids
    ]


def test_a_key_exists_with_its_first_message(api: Any) -> None:
    publish(api, "parallelism=3, rate=10, period=1m")

    flow = get(api)
    assert abs(flow.pop("ratePeriodStart") - time.time()) < 60
    assert flow == {
        "flowControlKey": "k",
        "waitListSize": 0,
        "parallelismMax": 3,
        "parallelismCount": 0,
        "rateMax": 10,
        "rateCount": 0,
        "ratePeriod": 60,
        "isPaused": False,
        "isPinnedParallelism": False,
        "isPinnedRate": False,
    }


def test_limits_that_are_not_set_are_0(api: Any) -> None:
    publish(api, "parallelism=2")

    flow = get(api)
    for name in ("rateMax", "rateCount", "ratePeriod", "ratePeriodStart"):
        assert flow[name] == 0


def test_running_and_waiting_messages_are_counted(api: Any) -> None:
    names = [publish(api, "parallelism=2, rate=10") for _ in range(3)]
    running = offered(api)
    api.engine.worker().begin(*(name.removeprefix("msg_") for name in running))

    flow = get(api)
    assert running == names[:2]
    assert (flow["parallelismCount"], flow["waitListSize"]) == (2, 1)
    assert flow["rateCount"] == 2
    parallelism = api.call("GET", "/v2/globalParallelism")
    assert parallelism == (200, {"parallelismMax": 0, "parallelismCount": 2})


def test_global_parallelism_has_the_tenants_limit_and_count(make_api: Make) -> None:
    api = make_api(tenant_parallelism=2)
    for _ in range(3):
        api.publish()

    assert len(offered(api)) == 2
    parallelism = api.call("GET", "/v2/globalParallelism")
    assert parallelism == (200, {"parallelismMax": 2, "parallelismCount": 2})


def test_the_latest_message_sets_the_limits_unless_they_are_pinned(api: Any) -> None:
    publish(api, "parallelism=2, rate=10, period=5")
    publish(api, "parallelism=3")
    flow = get(api)
    assert (flow["parallelismMax"], flow["rateMax"]) == (3, 0)
    act(api, "pin?parallelism=5&rate=7&period=9")
    publish(api, "parallelism=1, rate=1")

    flow = get(api)
    assert (flow["parallelismMax"], flow["rateMax"], flow["ratePeriod"]) == (5, 7, 9)
    assert flow["isPinnedParallelism"] and flow["isPinnedRate"]
    act(api, "unpin?parallelism=true")
    publish(api, "parallelism=4, rate=1")
    flow = get(api)
    assert (flow["parallelismMax"], flow["rateMax"], flow["ratePeriod"]) == (4, 7, 9)
    assert (flow["isPinnedParallelism"], flow["isPinnedRate"]) == (False, True)
    act(api, "unpin?rate=true")
    assert (get(api)["rateMax"], get(api)["isPinnedRate"]) == (7, False)


def test_a_paused_key_delivers_nothing(api: Any) -> None:
    act(api, "pause")
    name = publish(api, "parallelism=1")
    assert offered(api) == []
    assert (get(api)["isPaused"], get(api)["waitListSize"]) == (True, 1)

    act(api, "resume")
    assert not get(api)["isPaused"]
    api.attempt(name, "delivered", status=200)


def test_reset_rate_allows_more_deliveries_at_once(api: Any) -> None:
    names = [publish(api, "rate=1, period=1d") for _ in range(2)]
    api.attempt(names[0], "delivered", status=200)
    assert offered(api) == []
    act(api, "resetRate")

    assert get(api)["rateCount"] == 0
    api.attempt(names[1], "delivered", status=200)


def test_a_key_may_be_any_text(api: Any) -> None:
    publish(api, "rate=1", key=ODD_KEY)
    act(api, "pin?rate=9", key=ODD_KEY)

    assert (get(api, ODD_KEY)["flowControlKey"], get(api, ODD_KEY)["rateMax"]) == (
        ODD_KEY,
        9,
    )
    keys = [flow["flowControlKey"] for flow in api.call("GET", "/v2/flowControl")[1]]
    assert keys == [ODD_KEY]


def test_keys_are_listed_and_searched(api: Any) -> None:
    for key in ("one", "two", "t,w"):
        publish(api, "rate=1", key=key)

    for query, expected in (
        ("", {"one", "two", "t,w"}),
        ("?search=o", {"one", "two"}),
        ("?search=t,w", {"t,w"}),
        ("?search=x", set()),
    ):
        _, flows = api.call("GET", f"/v2/flowControl{query}")
        assert {flow["flowControlKey"] for flow in flows} == expected
        assert len(flows) == len(expected)


@pytest.mark.parametrize(
    ("path_and_query", "error_start"),
    [
        ("k/pin", "parallelism or rate should be given"),
        ("k/pin?parallelism=0", "parallelism should be a whole number from 1"),
        ("k/pin?rate=x", "rate should be a whole number"),
        ("k/pin?rate=-1", "rate should be a whole number"),
        ("k/pin?rate=1&period=0", "period should be a whole number from 1 to 604800"),
        ("k/pin?rate=1&period=604801", "period should be a whole number from 1 to 604"),
        ("k/pin?parallelism=1&period=1", "period should be given together with rate"),
        ("k/pin?limit=1", "limit is not a known parameter"),
        ("k/unpin?rate=yes", "rate should be true or false"),
        ("k/pause?rate=1", "rate is not a known parameter"),
        ("/pause?rate=1", "rate is not a known parameter"),
        ("/resume", "flowControlKey is missing"),
        ("%00/pause", "flowControlKey should have no control characters"),
        ("k" * 1025 + "/pause", "flowControlKey should have at most 1024"),
    ],
)
def test_invalid_actions_change_nothing(
    api: Any, path_and_query: str, error_start: str
) -> None:
    status, answer = api.call("POST", f"/v2/flowControl/{path_and_query}")

    assert (status, answer["error"].startswith(error_start)) == (400, True), answer
    assert api.call("GET", "/v2/flowControl") == (200, [])


def test_unknown_keys_and_actions_are_refused(api: Any) -> None:
    assert api.call("GET", "/v2/flowControl/k") == (
        404,
        {"error": "flow control key k not found"},
    )
    assert api.call("POST", "/v2/flowControl/k/stop")[0] == 405
    assert api.call("POST", "/v2/flowControl/k%2Fpause")[0] == 400


def test_tenants_do_not_see_each_others_keys(api: Any, make_api: Make) -> None:
    publish(api, "parallelism=3")
    other = make_api()

    assert other.call("GET", "/v2/flowControl") == (200, [])
    assert other.call("GET", "/v2/flowControl/k")[0] == 404
    act(other, "pause")
    act(other, "pin?parallelism=1")
    assert (get(api)["parallelismMax"], get(api)["isPaused"]) == (3, False)
    parallelism = other.call("GET", "/v2/globalParallelism")
    assert parallelism == (200, {"parallelismMax": 0, "parallelismCount": 0})
