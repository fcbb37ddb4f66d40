"""Tests of reading a message, and of cancelling one or many messages."""

import base64
import pytest
import redis
from collections.abc import Callable
from io import BytesIO
from scheduler_api.core.model import Content, Draft
from tests.core.function_calls import count_function_calls, unreachable_after
from typing import Any

Make = Callable[..., Any]
HOOK = "https://example.com/hook"
OTHER = "https://example.com/other"


def test_a_message_has_the_fields_that_the_sdks_require(api: Any) -> None:
    answer = api.publish(label="a,b", retries="0", method="put")
    message = api.message(answer["messageId"])

    assert message == {
        "messageId": answer["messageId"],
        "url": HOOK,
        "method": "PUT",
        "body": "hello",
        "maxRetries": 0,
        "notBefore": message["createdAt"],
        "createdAt": message["createdAt"],
        "callerIP": "127.0.0.1",
        "label": "a",
        "labels": ["a", "b"],
    }


def test_a_message_has_all_its_settings(api: Any) -> None:
    name = api.publish(
        callback="https://example.com/cb",
        callback_forward_x="1",
        failure_callback="https://example.com/failed",
        forward_test_header="v",
        retry_delay="1000 * retried",
        flow_control_key="a/b c",
        flow_control_value="rate=2,period=1m",
    )["messageId"]
    message = api.message(name)

    assert message["header"] == {"Test-Header": ["v"]}
    assert message["callback"] == "https://example.com/cb"
    assert message["callbackHeader"] == {"X": ["1"]}
    assert message["failureCallback"] == "https://example.com/failed"
    assert "failureCallbackHeader" not in message
    assert message["retryDelayExpression"] == "1000 * retried"
    flow = [message[name] for name in ("flowControlKey", "rate", "period")]
    assert flow == ["a/b c", 2, 60]
    assert "parallelism" not in message


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {}),
        ("grüße".encode(), {"body": "grüße"}),
        (b"\xff\x00", {"bodyBase64": base64.b64encode(b"\xff\x00").decode()}),
    ],
)
def test_a_body_is_text_or_base64(
    api: Any, body: bytes, fields: dict[str, str]
) -> None:
    message = api.message(api.publish(data=body)["messageId"])

    assert {n: v for n, v in message.items() if n.startswith("body")} == fields


def test_a_message_can_be_read_in_flight_and_after_delivery(api: Any) -> None:
    name = api.publish()["messageId"]
    begun = api.begin(name)
    in_flight = api.message(name)
    api.settle(begun, "delivered", status=200)

    assert api.message(name) == in_flight


def test_a_message_can_be_cancelled_in_flight(api: Any) -> None:
    name = api.publish()["messageId"]
    begun = api.begin(name)
    cancelled = (200, {"cancelled": 1})

    assert api.call("DELETE", f"/v2/messages/{name}") == cancelled
    assert api.call("DELETE", f"/v2/messages/{name}") == cancelled
    api.settle(begun, "retry", status=500)
    assert api.call("GET", f"/v2/messages/{name}")[0] == 404
    assert api.call("DELETE", f"/v2/messages/{name}")[0] == 404


def test_a_finished_message_cannot_be_cancelled(api: Any) -> None:
    name = api.publish()["messageId"]
    api.attempt(name, "delivered", status=200)

    status, answer = api.call("DELETE", f"/v2/messages/{name}")
    assert (status, answer) == (404, {"error": f"message {name} not found"})


@pytest.mark.parametrize(
    "name",
    ["1", "msg_", "msg_zzz", "msg_1:2", "msg_..", "MSG_1", "msg_1.c1", "x" * 500],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_unknown_ids_are_not_found(api: Any, method: str, name: str) -> None:
    status, answer = api.call(method, f"/v2/messages/{name}")

    assert (status, list(answer)) == (404, ["error"])


def test_a_bulk_call_without_filters_cancels_all_messages(api: Any) -> None:
    names = [api.publish(delay="1h")["messageId"] for _ in range(3)]
    api.attempt(api.publish()["messageId"], "delivered", status=200)

    assert api.call("DELETE", "/v2/messages") == (200, {"cancelled": 3})
    assert api.call("DELETE", "/v2/messages?count=100") == (200, {"cancelled": 0})
    assert api.call("GET", f"/v2/messages/{names[0]}")[0] == 404


def test_a_bulk_call_cancels_more_than_one_batch(api: Any) -> None:
    drafts = [Draft(Content(HOOK, b""), 1_000, delay_ms=3_600_000)] * 1_203
    api.store.create_many(api.owner, drafts)

    assert api.call("DELETE", "/v2/messages?host=other") == (200, {"cancelled": 0})
    assert api.call("DELETE", "/v2/messages") == (200, {"cancelled": 1_203})


def test_a_missing_id_does_not_cancel_all_messages(api: Any) -> None:
    name = api.publish(delay="1h")["messageId"]

    status, answer = api.call("DELETE", "/v2/messages/")
    assert (status, answer) == (400, {"error": "messageIds or a filter is missing"})
    assert api.call("DELETE", f"/v2/messages/?messageIds={name}")[1]["cancelled"] == 1


@pytest.mark.parametrize(
    "more",
    [
        {"json": {"messageIds": []}},
        {"query_string": "messageIds="},
        {"json": {"messageIds": ["", "msg_zzz", "1"]}},
        {"json": {"label": []}},
        {"query_string": "label="},
    ],
)
def test_an_empty_list_cancels_nothing(api: Any, more: dict[str, Any]) -> None:
    api.publish(delay="1h", label="a")

    assert api.call("DELETE", "/v2/messages", **more) == (200, {"cancelled": 0})


@pytest.mark.parametrize("name", ["messageIds", "label"])
def test_null_in_a_body_does_not_cancel_all_messages(api: Any, name: str) -> None:
    kept = api.publish(delay="1h")["messageId"]

    status, answer = api.call("DELETE", "/v2/messages", json={name: None})
    fault = {"error": f"{name} should be a text or a list of texts"}
    assert (status, answer) == (400, fault)
    assert api.message(kept)["messageId"] == kept


def test_ids_may_be_in_the_query_or_the_body(api: Any) -> None:
    names = [api.publish(delay="1h")["messageId"] for _ in range(6)]
    one, two, three, four, five, _ = names
    calls: list[tuple[dict[str, Any], int]] = [
        ({"query_string": {"messageIds": [one, two, "msg_zzz"]}}, 2),
        ({"query_string": f"messageIds={one},{three}"}, 1),
        ({"json": {"messageIds": [four, four]}}, 1),
        ({"json": {"messageIds": [five], "label": "none"}}, 1),
    ]

    for more, cancelled in calls:
        answer = api.call("DELETE", "/v2/messages", **more)
        assert answer == (200, {"cancelled": cancelled})


FILTERS = [
    ("url", HOOK, OTHER),
    ("host", "example.com", "example.org"),
    ("host", "example.com:443", "example.com:80"),
    ("path", "/hook", "/hoo"),
    ("queueName", "line", "lin"),
    ("callerIp", "127.0.0.1", "127.0.0.2"),
    ("callerIP", "127.0.0.1", "127.0.0.2"),
    ("label", "b", "a"),
    ("flowControlKey", "k,1", "k"),
    ("fromDate", "0", "9999999999999"),
    ("toDate", "9999999999999", "1"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), FILTERS)
def test_a_filter_selects_only_matching_messages(
    api: Any, name: str, right: str, wrong: str
) -> None:
    headers = {
        "Upstash-Delay": "1h",
        "Upstash-Label": "x,b",
        "Upstash-Flow-Control-Key": "k,1",
        "Upstash-Flow-Control-Value": "rate=1",
    }
    api.call("POST", f"/v2/enqueue/line/{HOOK}", headers=headers)

    for value, cancelled in ((wrong, 0), (right, 1)):
        query = {name: value}
        answer = api.call("DELETE", "/v2/messages", query_string=query)
        assert answer == (200, {"cancelled": cancelled})


def test_values_are_alternatives_and_all_filters_must_match(api: Any) -> None:
    for label in ("a", "b", "c"):
        api.publish(delay="1h", label=label)
    api.publish(OTHER, delay="1h", label="a")

    call = ("DELETE", f"/v2/messages?label=a&label=b&url={HOOK}")
    assert api.call(*call) == (200, {"cancelled": 2})
    assert api.call("DELETE", "/v2/messages", json={"label": "a"})[1]["cancelled"] == 1


@pytest.mark.parametrize(
    "more",
    [
        {"query_string": "labeel=x&count=100"},
        {"query_string": "api=llm"},
        {"query_string": "fromDate=yesterday"},
        {"query_string": "fromDate=-1"},
        {"query_string": "toDate=1&toDate=2"},
        {"query_string": "count=x"},
        {"query_string": "state=ACTIVE"},
        {"json": {"labeel": "x"}},
        {"json": {"label": {"a": 1}}},
        {"json": {"label": True}},
        {"json": ["msg_1"]},
        {"json": "all"},
        {"data": b"{"},
        {"data": b"\xff"},
    ],
)
def test_bad_parameters_cancel_nothing(api: Any, more: dict[str, Any]) -> None:
    api.publish(delay="1h", label="a")

    status, answer = api.call("DELETE", "/v2/messages", **more)
    assert (status, list(answer)) == (400, ["error"])
    assert api.call("DELETE", "/v2/messages") == (200, {"cancelled": 1})


def test_a_message_that_was_cancelled_before_is_not_counted(api: Any) -> None:
    name = api.publish()["messageId"]
    api.begin(name)

    assert api.call("DELETE", "/v2/messages") == (200, {"cancelled": 1})
    assert api.call("DELETE", "/v2/messages") == (200, {"cancelled": 0})


def test_tenants_cannot_cancel_each_others_messages(make_api: Make) -> None:
    mine, other = make_api(), make_api()
    name = mine.publish(delay="1h")["messageId"]

    for query in ("", f"?messageIds={name}", f"?url={HOOK}"):
        assert other.call("DELETE", f"/v2/messages{query}")[1] == {"cancelled": 0}
    assert mine.message(name)["body"] == "hello"


def test_a_bulk_call_reads_no_bodies_and_works_in_batches(api: Any) -> None:
    options = {"l": ["a"]}
    drafts = [Draft(Content(HOOK, b"x" * 100_000, options), 1_000, delay_ms=10**7)]
    api.store.create_many(api.owner, drafts * 101)
    before = read_bytes_and_calls(api)
    answer = api.call("DELETE", "/v2/messages?label=a&host=example.com&fromDate=1")
    after = read_bytes_and_calls(api)

    assert answer == (200, {"cancelled": 101})
    assert after[0] - before[0] < 101 * 5_000
    assert after[1] - before[1] >= 3


def read_bytes_and_calls(api: Any) -> tuple[int, int]:
    """Return how many bytes the store has sent, and how many function calls it ran."""
    stats = api.cell.client.info("stats")
    return stats["total_net_output_bytes"], count_function_calls(api.cell.client)


def test_an_interrupted_bulk_call_can_be_repeated(api: Any) -> None:
    names = [api.publish(label="a", delay="1h")["messageId"] for _ in range(120)]
    kept = api.publish(label="b", delay="1h")["messageId"]

    # The first call reads the epoch of the store, the second cancels 50 messages.
    with unreachable_after(redis.Redis, calls=2):
        assert api.call("DELETE", "/v2/messages?label=a")[0] == 503
    status, answer = api.call("DELETE", "/v2/messages?label=a")

    assert (status, answer) == (200, {"cancelled": 70})
    assert all(api.call("GET", f"/v2/messages/{name}")[0] == 404 for name in names)
    assert api.message(kept)["label"] == "b"


def test_a_bulk_call_with_a_truncated_body_cancels_nothing(api: Any) -> None:
    message_id = api.publish(delay="1h")["messageId"]
    ids = b'{"messageIds": ["msg_'

    for arrived in (b"", ids):
        status, answer = api.call(
            "DELETE",
            "/v2/messages",
            input_stream=BytesIO(arrived),
            environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": "40"},
        )
        assert (status, list(answer)) == (400, ["error"])
    assert api.message(message_id)["messageId"] == message_id
