"""Flow-control keys over HTTP: their limits, pauses, pins and counts."""

import pytest
import time
from collections.abc import Callable
from scheduler_api.core.store import claims
from tests.dialects.by_hand import TIMEOUTS
from typing import Any
from urllib.parse import quote

Make = Callable[..., Any]
ODD = "a/b c?ü%2F,/pin"


def publish(api: Any, limits: str, key: str = "k") -> str:
    headers = {"flow_control_key": key, "flow_control_value": limits}
    return str(api.publish(**headers)["messageId"])


def path(key: str, verb: str = "") -> str:
    return f"/v2/flowControl/{quote(key, safe='/')}{verb and '/' + verb}"


def get(api: Any, key: str = "k") -> Any:
    status, flow = api.call("GET", path(key))
    assert status == 200, flow
    return flow


def turn(api: Any, verb: str, key: str = "k") -> None:
    assert api.call("POST", path(key, verb)) == (200, None)


def offered(api: Any) -> list[str]:
    """Messages that a worker is offered now."""
    return [
        f"msg_{each}"
        for each in claims.claim(api.cell, room=100, timeouts=TIMEOUTS).ids
    ]


def test_key_is_there_with_its_first_message(api: Any) -> None:
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


def test_counts_are_those_of_messages_running_and_waiting(api: Any) -> None:
    names = [publish(api, "parallelism=2, rate=10") for _ in range(3)]
    running = offered(api)
    api.hand.worker().begin(*(name.removeprefix("msg_") for name in running))

    flow = get(api)
    assert running == names[:2]
    assert (flow["parallelismCount"], flow["waitListSize"]) == (2, 1)
    assert flow["rateCount"] == 2
    everywhere = api.call("GET", "/v2/globalParallelism")
    assert everywhere == (200, {"parallelismMax": 0, "parallelismCount": 2})


def test_limit_of_a_tenant_is_told_with_what_runs_under_it(make_api: Make) -> None:
    api = make_api(tenant_parallelism=2)
    for _ in range(3):
        api.publish()

    assert len(offered(api)) == 2
    everywhere = api.call("GET", "/v2/globalParallelism")
    assert everywhere == (200, {"parallelismMax": 2, "parallelismCount": 2})


def test_latest_message_sets_the_limits_unless_they_are_pinned(api: Any) -> None:
    publish(api, "parallelism=2, rate=10, period=5")
    publish(api, "parallelism=3")
    flow = get(api)
    assert (flow["parallelismMax"], flow["rateMax"]) == (3, 0)
    turn(api, "pin?parallelism=5&rate=7&period=9")
    publish(api, "parallelism=1, rate=1")

    flow = get(api)
    assert (flow["parallelismMax"], flow["rateMax"], flow["ratePeriod"]) == (5, 7, 9)
    assert flow["isPinnedParallelism"] and flow["isPinnedRate"]
    turn(api, "unpin?parallelism=true")
    publish(api, "parallelism=4, rate=1")
    flow = get(api)
    assert (flow["parallelismMax"], flow["rateMax"], flow["ratePeriod"]) == (4, 7, 9)
    assert (flow["isPinnedParallelism"], flow["isPinnedRate"]) == (False, True)
    turn(api, "unpin?rate=true")
    assert (get(api)["rateMax"], get(api)["isPinnedRate"]) == (7, False)


def test_paused_key_holds_everything_back(api: Any) -> None:
    turn(api, "pause")
    name = publish(api, "parallelism=1")
    assert offered(api) == []
    assert (get(api)["isPaused"], get(api)["waitListSize"]) == (True, 1)

    turn(api, "resume")
    assert not get(api)["isPaused"]
    api.attempt(name, "delivered", status=200)


def test_reset_rate_lets_more_go_at_once(api: Any) -> None:
    names = [publish(api, "rate=1, period=1d") for _ in range(2)]
    api.attempt(names[0], "delivered", status=200)
    assert offered(api) == []
    turn(api, "resetRate")

    assert get(api)["rateCount"] == 0
    api.attempt(names[1], "delivered", status=200)


def test_key_is_any_text(api: Any) -> None:
    publish(api, "rate=1", key=ODD)
    turn(api, "pin?rate=9", key=ODD)

    assert (get(api, ODD)["flowControlKey"], get(api, ODD)["rateMax"]) == (ODD, 9)
    keys = [flow["flowControlKey"] for flow in api.call("GET", "/v2/flowControl")[1]]
    assert keys == [ODD]


def test_keys_are_listed_and_searched(api: Any) -> None:
    for key in ("one", "two", "t,w"):
        publish(api, "rate=1", key=key)

    for query, wanted in (
        ("", {"one", "two", "t,w"}),
        ("?search=o", {"one", "two"}),
        ("?search=t,w", {"t,w"}),
        ("?search=x", set()),
    ):
        _, flows = api.call("GET", f"/v2/flowControl{query}")
        assert {flow["flowControlKey"] for flow in flows} == wanted
        assert len(flows) == len(wanted)


@pytest.mark.parametrize(
    ("rest", "begins"),
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
def test_bad_turns_are_named_and_change_nothing(
    api: Any, rest: str, begins: str
) -> None:
    status, told = api.call("POST", f"/v2/flowControl/{rest}")

    assert (status, told["error"].startswith(begins)) == (400, True), told
    assert api.call("GET", "/v2/flowControl") == (200, [])


def test_unknown_is_not_found(api: Any) -> None:
    assert api.call("GET", "/v2/flowControl/k") == (
        404,
        {"error": "flow control key k not found"},
    )
    assert api.call("POST", "/v2/flowControl/k/stop")[0] == 405
    assert api.call("POST", "/v2/flowControl/k%2Fpause")[0] == 400


def test_tenants_know_nothing_of_each_others_keys(api: Any, make_api: Make) -> None:
    publish(api, "parallelism=3")
    other = make_api()

    assert other.call("GET", "/v2/flowControl") == (200, [])
    assert other.call("GET", "/v2/flowControl/k")[0] == 404
    turn(other, "pause")
    turn(other, "pin?parallelism=1")
    assert (get(api)["parallelismMax"], get(api)["isPaused"]) == (3, False)
    everywhere = other.call("GET", "/v2/globalParallelism")
    assert everywhere == (200, {"parallelismMax": 0, "parallelismCount": 0})
