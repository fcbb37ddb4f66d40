"""Tests of logs: entries, filters and pages."""

import base64
import pytest
from collections.abc import Callable
from scheduler_api.core.delivery.causes import SENTENCES
from scheduler_api.core.model import Content, Draft, Outcome
from scheduler_api.core.store import codec
from scheduler_api.core.store.leases import Settlement
from scheduler_api.dialects.qstash.endpoints import logs
from tests.dialects.engine import TIMEOUTS
from typing import Any

Make = Callable[..., Any]
HOOK = "https://example.com/hook"
FAILED_AT_ONCE = ["CREATED", "ACTIVE", "ERROR", "FAILED"]


def states(api: Any, query: str = "") -> list[str]:
    page = api.logs(f"?order=earliestFirst&{query}")
    return [entry["state"] for entry in page["logs"]]


@pytest.fixture
def failed(api: Any) -> str:
    """Publish a message whose only attempt fails; return its id."""
    name = str(api.publish(retries="0", timeout="7s")["messageId"])
    api.attempt(name, "dead", status=500, response="no")
    return name


def test_a_message_that_fails_at_once_has_four_entries(api: Any, failed: str) -> None:
    assert states(api) == FAILED_AT_ONCE


def test_the_newest_entry_comes_first_by_default(api: Any, failed: str) -> None:
    newest = [entry["state"] for entry in api.logs()["logs"]]

    assert newest == FAILED_AT_ONCE[::-1]
    assert [e["state"] for e in api.logs("?order=latestFirst")["logs"]] == newest


def test_an_entry_has_the_fields_that_the_sdks_read(api: Any) -> None:
    name = api.publish(
        retry_delay="5000",
        callback="https://example.com/cb",
        callback_forward_x="1",
        forward_a="b",
        label="l,m",
        timeout="7s",
        flow_control_key="k",
        flow_control_value="parallelism=2",
    )["messageId"]
    (entry,) = api.logs()["logs"]

    assert entry == {
        "time": api.message(name)["createdAt"],
        "messageId": name,
        "state": "CREATED",
        "url": HOOK,
        "method": "POST",
        "header": {"A": ["b"]},
        "body": base64.b64encode(b"hello").decode(),
        "timeout": 7000,
        "maxRetries": 3,
        "retryDelayExpr": "5000",
        "retryDelayExpression": "5000",
        "callerIP": "127.0.0.1",
        "label": "l",
        "labels": ["l", "m"],
        "flowControlKey": "k",
        "parallelism": 2,
        "period": 1,
        "callback": "https://example.com/cb",
        "callbackHeaders": {"X": ["1"]},
    }


def test_a_failed_attempt_has_its_response(api: Any) -> None:
    name = api.publish()["messageId"]
    api.attempt(name, "retry", status=503, response="späte")
    created, active, error, retry = api.logs("?order=earliestFirst")["logs"]

    assert [created["state"], active["state"]] == ["CREATED", "ACTIVE"]
    assert not {"responseStatus", "error", "nextDeliveryTime"} & {*created, *active}
    assert (error["state"], retry["state"]) == ("ERROR", "RETRY")
    assert error["responseStatus"] == 503
    assert base64.b64decode(error["responseBody"]).decode() == "späte"
    assert error["nextDeliveryTime"] == error["time"] + 3_000
    assert retry["nextDeliveryTime"] == error["nextDeliveryTime"]
    assert error["error"] == "the destination answered 503 (Service Unavailable)"
    assert error["errorCode"] == "http-503"


def test_response_headers_have_both_names(api: Any) -> None:
    name = api.publish()["messageId"]
    headers = ["retry-after", "1", "x-a", "b", "X-A", "\u00fc"]
    api.attempt(name, "retry", status=503, headers=headers)
    created, active, *others = api.logs("?order=earliestFirst")["logs"]

    assert not {"responseHeader", "responseHeaders"} & {*created, *active}
    assert [entry["state"] for entry in others] == ["ERROR", "RETRY"]
    for entry in others:
        assert entry["responseHeaders"] == {
            "Retry-After": ["1"],
            "X-A": ["b", "\u00fc"],
        }
        assert entry["responseHeader"] == entry["responseHeaders"]


@pytest.mark.parametrize(
    ("fields", "hidden"), [("header[x-secret]", 1), ("header", 2), ("body", 0)]
)
def test_a_messages_redaction_applies_to_response_headers(
    api: Any, fields: str, hidden: int
) -> None:
    name = api.publish(redact_fields=fields)["messageId"]
    headers = ["X-Secret", "canary", "X-Other", "canary"]
    api.attempt(name, "dead", status=500, headers=headers)
    response_headers = api.logs()["logs"][0]["responseHeaders"]

    assert [*response_headers] == ["X-Secret", "X-Other"]
    values = [value for [value] in response_headers.values()]
    assert sum(value.startswith("REDACTED:") for value in values) == hidden
    assert values.count("canary") == 2 - hidden


def test_an_attempt_without_a_response_has_an_error(api: Any) -> None:
    name = api.publish()["messageId"]
    api.attempt(name, "dead", error="timeout")

    for entry in api.logs()["logs"][:2]:
        assert entry["error"] == "the attempt took longer than its time limit"
        assert entry["errorCode"] == "timeout"
        assert "responseStatus" not in entry


def test_r12_an_attempt_after_a_lost_one_is_a_possible_duplicate(api: Any) -> None:
    first, second = (api.publish()["messageId"] for _ in range(2))
    api.attempt(first, "delivered", status=200)
    signed = {"Scheduler-Possible-Duplicate": "true"}
    api.attempt(second, "delivered", status=200, signed=signed)

    after_a_lost_one, plain = api.logs("?state=DELIVERED")["logs"]
    assert after_a_lost_one["possibleDuplicate"] is True
    assert "possibleDuplicate" not in plain


def test_the_error_of_a_lost_attempt_says_that_it_may_have_arrived(api: Any) -> None:
    name = api.publish()["messageId"]
    api.lose(name)

    [lost] = api.logs("?state=ERROR")["logs"]
    assert "may have arrived" in lost["error"]
    assert lost["errorCode"] == "interrupted"


def test_the_late_success_of_a_lost_attempt_is_still_an_error(api: Any) -> None:
    name = api.publish()["messageId"]
    lost = api.begin(name)
    begun_ms = api.cell.now_ms()
    for after_ms in range(5_000, 2 * TIMEOUTS.lease_ms, 5_000):
        api.engine.offer(now_ms=begun_ms + after_ms, room=0)
    api.engine.begin(lost.id, now_ms=begun_ms + 60_000)
    entry = codec.encode_attempt({"started_ms": begun_ms, "status": 200})
    [late] = api.engine.worker(begun_ms + 61_000).settle(
        Settlement(lost.id, lost.token, lost.attempt, Outcome.DELIVERED, entry)
    )

    [error] = api.logs("?state=ERROR")["logs"]
    assert (late.code, error["responseStatus"]) == ("late", 200)
    assert (error["error"], error["errorCode"]) == (SENTENCES["late"], "late")


def test_a_delivered_message_has_no_error(api: Any) -> None:
    api.attempt(api.publish()["messageId"], "delivered", status=200, response="ok")

    entry = api.logs()["logs"][0]
    assert (entry["state"], entry["responseStatus"]) == ("DELIVERED", 200)
    assert "error" not in entry


def test_a_cancelled_message_has_a_cancel_request_first(api: Any) -> None:
    name = api.publish(delay="1h")["messageId"]
    api.call("DELETE", f"/v2/messages/{name}")

    assert states(api) == ["CREATED", "CANCEL_REQUESTED", "CANCELED"]


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("CREATED", ["CREATED"]),
        ("ERROR", ["ERROR"]),
        ("FAILED", ["FAILED"]),
        ("IN_PROGRESS", ["ACTIVE", "ERROR"]),
        ("created&state=FAILED", ["CREATED", "FAILED"]),
        ("CREATED,FAILED", ["CREATED", "FAILED"]),
        ("DELIVERED", []),
        ("CANCELED", []),
        ("CANCELLED", []),
    ],
)
def test_entries_can_be_filtered_by_state(
    api: Any, failed: str, state: str, found: list[str]
) -> None:
    assert states(api, f"state={state}") == found


@pytest.mark.parametrize("spelling", ["CANCELED", "CANCELLED"])
def test_both_spellings_of_cancelled_are_accepted(api: Any, spelling: str) -> None:
    name = api.publish(delay="1h")["messageId"]
    api.call("DELETE", f"/v2/messages/{name}")

    assert states(api, f"state={spelling}") == ["CANCELED"]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("url", f"{HOOK}?a=1%2C2", HOOK),
        ("host", "example.com", "example.org"),
        ("host", "EXAMPLE.com", "com"),
        ("path", "/hook", "/"),
        ("queueName", "line", "lines"),
        ("callerIp", "127.0.0.1", "::1"),
        ("callerIP", "127.0.0.1", "::1"),
        ("label", "b", "c"),
        ("flowControlKey", "k", "l"),
        ("topicName", None, "group"),
        ("scheduleId", None, "scd_1"),
    ],
)
def test_entries_can_be_filtered_by_their_message(
    api: Any, name: str, right: str | None, wrong: str
) -> None:
    headers = {
        "Upstash-Label": "a,b",
        "Upstash-Flow-Control-Key": "k",
        "Upstash-Flow-Control-Value": "rate=1",
    }
    api.call("POST", f"/v2/enqueue/line/{HOOK}?a=1%2C2", headers=headers)

    for value, found in ((right, 1), (wrong, 0)):
        if value is not None:
            status, page = api.call("GET", "/v2/logs", query_string={name: value})
            assert (status, len(page["logs"])) == (200, found)


def test_entries_can_be_filtered_by_message_id(api: Any, failed: str) -> None:
    other = api.publish()["messageId"]

    assert states(api, f"messageId={failed}") == FAILED_AT_ONCE
    assert states(api, f"messageId={other}") == ["CREATED"]
    assert len(states(api, f"messageIds={failed}&messageIds={other}")) == 5
    assert states(api, f"messageIds={failed}&label=none") == FAILED_AT_ONCE
    assert states(api, f"messageIds={failed}&state=FAILED") == ["FAILED"]
    for unknown in ("msg_zzz", "1", ""):
        assert states(api, f"messageId={unknown}") == []


def test_dates_are_inclusive(api: Any, failed: str) -> None:
    times = [entry["time"] for entry in api.logs("?order=earliestFirst")["logs"]]
    first, last = times[0], times[-1]

    assert len(states(api, f"fromDate={first}&toDate={last}")) == 4
    assert states(api, f"toDate={first - 1}") == []
    assert states(api, f"fromDate={last + 1}") == []
    assert len(states(api, f"fromDate={first}&messageId={failed}")) == 4


@pytest.mark.parametrize("order", ["earliestFirst", "latestFirst"])
@pytest.mark.parametrize("more", ["", "&label=a", "&state=CREATED"])
@pytest.mark.parametrize("count", [1, 3, 7, 20])
def test_pages_list_every_entry_once(
    api: Any, order: str, more: str, count: int
) -> None:
    names = [api.publish(label="a")["messageId"] for _ in range(7)]
    api.publish(label="b")
    seen, query = [], f"?order={order}&count={count}{more}"
    page = api.logs(query)
    while "cursor" in page:
        assert len(page["logs"]) == count
        seen += page["logs"]
        page = api.logs(f"{query}&cursor={page['cursor']}")
    seen = [entry["messageId"] for entry in seen + page["logs"]]

    found = [name for name in seen if name in names]
    assert found == (names if order == "earliestFirst" else names[::-1])
    assert len(seen) == (7 if "label" in more else 8)


def test_the_last_page_has_no_cursor(api: Any, failed: str) -> None:
    assert "cursor" not in api.logs("?count=4")
    assert "cursor" in api.logs("?count=3")


def test_a_page_of_logs_has_100_entries_and_one_of_events_1000_by_default(
    api: Any,
) -> None:
    draft = Draft(Content(HOOK, b""), 1_000, delay_ms=3_600_000, journal=True)
    api.store.create_many(api.owner, [draft] * 1_203)

    assert len(api.logs()["logs"]) == 100
    assert len(api.call("GET", "/v2/events")[1]["events"]) == 1_000
    assert len(api.call("GET", "/v2/events?count=7")[1]["events"]) == 7
    page = api.logs("?count=1000")
    assert len(page["logs"]) == 1_000
    rest = api.logs(f"?count=1000&cursor={page['cursor']}")
    assert (len(rest["logs"]), "cursor" in rest) == (203, False)


def test_a_cursor_may_be_a_time_in_milliseconds(api: Any, failed: str) -> None:
    latest_ms = max(entry["time"] for entry in api.logs()["logs"])

    assert len(api.logs(f"?cursor={latest_ms + 1}")["logs"]) == 4
    assert api.logs("?cursor=1")["logs"] == []
    assert len(api.logs("?cursor=1&order=earliestFirst")["logs"]) == 4


def test_a_page_of_large_entries_ends_at_16_mib(api: Any) -> None:
    item = {"destination": HOOK, "body": "a" * logs.BODY_MAX_BYTES}
    _, expected = api.call("POST", "/v2/batch", json=[item] * 400)
    with api.app.test_client() as client:
        headers = {"Authorization": f"Bearer {api.token}"}
        size = len(client.get("/v2/logs?count=1000", headers=headers).data)
    first = api.logs("?count=1000&order=earliestFirst")
    rest = api.logs(f"?count=1000&order=earliestFirst&cursor={first['cursor']}")

    assert 16_000_000 < size < 16_777_216
    assert [entry["messageId"] for entry in first["logs"] + rest["logs"]] == [
        message["messageId"] for message in expected
    ]
    assert "cursor" not in rest


def test_a_page_that_ends_early_has_a_cursor(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_MESSAGES_READ", 10)
    monkeypatch.setattr(logs, "BATCH", 10)
    labelled = api.publish(label="a")["messageId"]
    for _ in range(25):
        api.publish()
    page, pages = api.logs("?label=a"), 1
    while "cursor" in page and not page["logs"]:
        page, pages = api.logs(f"?label=a&cursor={page['cursor']}"), pages + 1

    assert [entry["messageId"] for entry in page["logs"]] == [labelled]
    assert pages == 3


def test_large_and_empty_bodies_are_left_out(api: Any) -> None:
    api.publish(data=b"")
    assert "body" not in api.logs()["logs"][0]

    api.publish(data=b"x" * 16_384)
    api.publish(data=b"x" * 16_385)
    newest, older, _ = api.logs()["logs"]

    assert "body" in older
    assert "body" not in newest


@pytest.mark.parametrize(
    "query",
    [
        "labeel=a",
        "count=0",
        "count=1001",
        "count=x",
        "count=-1",
        "count=1&count=2",
        "order=random",
        "state=DONE",
        "cursor=x",
        "cursor=1-1-1",
        "cursor=0-0",
        "cursor=0",
        "cursor=99999999999999999999-1",
        "fromDate=now",
        "toDate=99999999999999999",
        "responseStatus=500",
    ],
)
@pytest.mark.parametrize("path", ["/v2/logs", "/v2/events"])
def test_bad_parameters_are_refused(api: Any, path: str, query: str) -> None:
    status, answer = api.call("GET", f"{path}?{query}")

    assert (status, list(answer)) == (400, ["error"])
    assert answer["error"].startswith(query.partition("=")[0])


def test_both_paths_have_the_same_answer(api: Any, failed: str) -> None:
    assert api.call("GET", "/v2/logs/") == api.call("GET", "/v2/events")


def test_tenants_do_not_see_each_others_logs(make_api: Make) -> None:
    mine, other = make_api(), make_api()
    name = mine.publish()["messageId"]

    assert other.logs()["logs"] == []
    assert other.logs(f"?messageId={name}")["logs"] == []
    assert len(mine.logs()["logs"]) == 1


def test_forgotten_messages_have_no_entries(api: Any, failed: str) -> None:
    api.store.forget([failed.removeprefix("msg_")], before_ms=api.cell.now_ms() + 1_000)

    assert api.logs() == {"events": [], "logs": []}
