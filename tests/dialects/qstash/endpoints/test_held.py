"""Tests of what a client sees of messages that wait for their destination."""

import pytest
from tests.dialects.breakers import open_origin, slow_route
from tests.dialects.qstash.conftest import upstash
from typing import Any

URL = "https://shop.example/users/7/hook?key=secret"
ORIGIN, ROUTE = "https://shop.example", "https://shop.example/users/*/hook"
HELD_BY = "Scheduler-Held-By"


def publish(api: Any, count: int = 1, **headers: str) -> list[str]:
    return [api.publish(URL, **headers)["messageId"] for _ in range(count)]


def enqueue(api: Any, **headers: str) -> None:
    status, _ = api.call("POST", f"/v2/enqueue/line/{URL}", headers=upstash(headers))
    assert status == 201


def offer_and_begin(api: Any) -> None:
    """Begin what may begin, as a worker does; the rest waits."""
    api.engine.worker().begin(*api.engine.offer().ids)


def last_entry(api: Any, message_id: str) -> Any:
    return api.logs(f"?messageId={message_id}")["logs"][0]


def test_a_message_held_by_an_origin_names_it(api: Any) -> None:
    open_origin(api.engine.worker(), api.owner.tenant, URL)
    [name] = publish(api)
    before = api.message(name)
    offer_and_begin(api)

    message = api.message(name)
    assert "heldBy" not in before
    assert message["heldBy"] == ORIGIN
    assert 0 <= api.cell.now_ms() - message["heldSince"] < 60_000
    assert message | before == message


def test_a_message_held_by_a_route_names_it_without_ids(api: Any) -> None:
    slow_route(api.engine.worker(), api.owner.tenant, URL)
    names = publish(api, 6)
    offer_and_begin(api)

    assert api.message(names[-1])["heldBy"] == ROUTE
    assert "heldBy" not in api.message(names[0])


def test_the_last_log_entry_of_a_held_message_names_the_destination(api: Any) -> None:
    open_origin(api.engine.worker(), api.owner.tenant, URL)
    [name] = publish(api)
    offer_and_begin(api)

    entry = last_entry(api, name)
    assert (entry["state"], entry["heldBy"]) == ("CREATED", ORIGIN)
    assert entry["heldSince"] == api.message(name)["heldSince"]


def test_only_the_entry_after_the_last_attempt_names_the_destination(api: Any) -> None:
    [name] = publish(api)
    api.attempt(name, "retry", delay_ms=1)
    open_origin(api.engine.worker(), api.owner.tenant, URL)
    now_ms = api.cell.now_ms() + 2_000
    api.engine.worker(now_ms).begin(*api.engine.offer(now_ms=now_ms).ids)

    entries = api.logs("?order=earliestFirst")["logs"]
    assert [entry["state"] for entry in entries if "heldBy" in entry] == ["RETRY"]


@pytest.mark.parametrize("action", ["queues/line", "flowControl/key"])
def test_a_resume_names_the_destination_that_still_holds_the_first_message(
    api: Any, action: str
) -> None:
    enqueue(api, flow_control_key="key", flow_control_value="parallelism=1")
    assert api.call("POST", f"/v2/{action}/pause") == (200, None)
    offer_and_begin(api)
    open_origin(api.engine.worker(), api.owner.tenant, URL)

    assert api.call("POST", f"/v2/{action}/resume") == (200, None)
    assert api.headers[HELD_BY] == ORIGIN


def test_a_resume_that_nothing_else_hinders_names_nothing(api: Any) -> None:
    publish(api, flow_control_key="key", flow_control_value="parallelism=1")
    api.call("POST", "/v2/flowControl/key/pause")
    offer_and_begin(api)

    assert api.call("POST", "/v2/flowControl/key/resume") == (200, None)
    assert HELD_BY not in api.headers


def test_a_resumed_queue_names_a_paused_flow_control_key(api: Any) -> None:
    enqueue(api, flow_control_key="k/ü", flow_control_value="parallelism=1")
    for path in ("queues/line", "flowControl/k%2F%C3%BC"):
        assert api.call("POST", f"/v2/{path}/pause") == (200, None)
    offer_and_begin(api)

    api.call("POST", "/v2/queues/line/resume")
    assert api.headers[HELD_BY] == "flow control key k/%C3%BC"


def test_a_resumed_schedule_names_the_destination_that_holds_its_messages(
    api: Any,
) -> None:
    _, created = api.call(
        "POST", f"/v2/schedules/{URL}", headers={"Upstash-Cron": "* * * * *"}
    )
    path = f"/v2/schedules/{created['scheduleId']}"
    api.call("PATCH", f"{path}/pause")
    open_origin(api.engine.worker(), api.owner.tenant, URL)

    assert api.call("PATCH", f"{path}/resume") == (200, None)
    assert api.headers[HELD_BY] == ORIGIN


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/v2/flowControl/nobody/resume", "flow control key nobody not found"),
        ("/v2/queues/nobody/resume", "queue nobody not found"),
    ],
)
def test_only_what_exists_can_be_resumed(api: Any, path: str, error: str) -> None:
    assert api.call("POST", path) == (404, {"error": error})
    assert api.call("POST", path) == (404, {"error": error})
