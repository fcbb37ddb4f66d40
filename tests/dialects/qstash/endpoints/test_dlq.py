"""Tests of dead letters: lists, filters, deletion and retries."""

import pytest
from collections.abc import Callable
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import State
from scheduler_api.core.store import audit, keys
from scheduler_api.core.store.reads import read_event
from scheduler_api.core.store.records import EVENT
from scheduler_api.dialects.qstash.endpoints import dlq
from typing import Any
from urllib.parse import quote

Make = Callable[..., Any]
HOOK = "https://example.com/hook"


def dead_letter(api: Any, to: str = HOOK, status: int = 500, **headers: str) -> str:
    """Publish a message and let it fail for good; return the message's id."""
    name = api.publish(to, **headers)["messageId"]
    response_headers = ["Retry-After", "9", "X-Reason", "busy"]
    api.attempt(name, "dead", status=status, response="nö", headers=response_headers)
    return str(name)


def listed(api: Any, query: str = "") -> Any:
    status, page = api.call("GET", f"/v2/dlq{query}")
    assert status == 200, page
    return page


def names(page: Any) -> list[str]:
    return [letter["messageId"] for letter in page["messages"]]


def letter_ids(api: Any) -> list[str]:
    return [letter["dlqId"] for letter in listed(api)["messages"]]


@pytest.fixture(autouse=True)
def consistent(api: Any) -> Any:
    yield
    assert walk.check(api.cell) == []


def test_a_dead_letter_has_the_message_and_its_last_response(api: Any) -> None:
    name = dead_letter(api, status=503, label="a,b", forward_x_y="1", retries="0")
    message = api.message(name)
    [letter] = listed(api)["messages"]

    assert letter["dlqId"] == f"{message['notBefore']}-{name.removeprefix('msg_')}"
    assert {key: letter[key] for key in message} == message
    assert letter["responseStatus"] == 503
    assert letter["errorCode"] == "http-503"
    assert letter["responseBody"] == "nö"
    assert letter["responseHeader"] == {"Retry-After": ["9"], "X-Reason": ["busy"]}
    assert api.call("GET", f"/v2/dlq/{letter['dlqId']}") == (200, letter)


def test_the_response_status_is_0_without_a_response(api: Any) -> None:
    name = api.publish()["messageId"]
    api.attempt(name, "dead", error="timeout")
    [letter] = listed(api)["messages"]

    assert letter["responseStatus"] == 0
    assert letter["errorCode"] == "timeout"
    assert not {"responseBody", "responseBodyBase64", "responseHeader"} & {*letter}


def test_only_failed_messages_are_listed(api: Any) -> None:
    for outcome in ("delivered", "retry"):
        api.attempt(api.publish()["messageId"], outcome, status=500)
    api.call("DELETE", f"/v2/messages/{api.publish()['messageId']}")
    api.publish()

    assert listed(api) == {"messages": []}


def test_redacted_values_stay_hidden_and_a_retry_sends_the_originals(api: Any) -> None:
    dead_letter(api, redact_fields="body,header[X-Key]", forward_x_key="canary")
    [letter] = listed(api)["messages"]
    assert letter["body"].startswith("REDACTED:")
    assert "canary" not in str(letter)

    status, answer = api.call("POST", f"/v2/dlq/retry/{letter['dlqId']}")
    event = read_event(api.cell, api.owner, answer["messageId"].removeprefix("msg_"))
    assert (status, event.content.body) == (201, b"hello")
    assert "canary" in str(event.content.options)


@pytest.mark.parametrize("order", ["earliestFirst", "latestFirst"])
def test_pages_list_every_dead_letter_once_in_order(api: Any, order: str) -> None:
    expected = [dead_letter(api) for _ in range(7)]
    index = keys.finished(api.cell.prefix, str(api.owner), State.DEAD)
    # Let three messages end at the same time, so that only their ids define the order.
    for name in expected[2:5]:
        member = name.removeprefix("msg_")
        ended = api.cell.client.zscore(index, expected[2].removeprefix("msg_"))
        api.cell.client.zadd(index, {member: ended})
        record = keys.event(api.cell.prefix, member)
        api.cell.client.hset(record, EVENT.code("finished_ms"), int(ended))
    found: list[str] = []
    query = f"?count=2&order={order}"
    page = listed(api, query)
    while "cursor" in page:
        assert len(page["messages"]) == 2
        found += names(page)
        page = listed(api, f"{query}&cursor={page['cursor']}")

    found += names(page)
    assert found == (expected if order == "earliestFirst" else expected[::-1])


def test_a_cursor_works_after_its_dead_letter_was_deleted(api: Any) -> None:
    expected = [dead_letter(api) for _ in range(4)]
    page = listed(api, "?count=2")
    api.call("DELETE", f"/v2/dlq/{page['messages'][1]['dlqId']}")

    assert names(listed(api, f"?cursor={page['cursor']}")) == expected[2:]


def test_dead_letters_of_the_same_millisecond_are_all_listed(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler_api.core.recovery.dead_letters.AT_ONCE", 2)
    expected = [dead_letter(api) for _ in range(5)]
    index = keys.finished(api.cell.prefix, str(api.owner), State.DEAD)
    for name in expected:
        member = name.removeprefix("msg_")
        api.cell.client.zadd(index, {member: 5})
        api.cell.client.hset(
            keys.event(api.cell.prefix, member), EVENT.code("finished_ms"), 5
        )

    for order in ("earliestFirst", "latestFirst"):
        assert sorted(names(listed(api, f"?order={order}"))) == sorted(expected)
        page = listed(api, f"?order={order}&count=2")
        rest = listed(api, f"?order={order}&cursor={page['cursor']}")
        assert sorted(names(page) + names(rest)) == sorted(expected)


@pytest.fixture
def large(api: Any) -> list[str]:
    """Three dead letters of 6 MiB: JSON escapes each of their bytes as `\\u0000`."""
    expected = [api.publish(data=bytes(1_048_576))["messageId"] for _ in range(3)]
    for name in expected:
        api.attempt(name, "dead", status=500)
    return expected


@pytest.mark.parametrize("filter_", ["", "dlqIds", "messageId"])
def test_a_page_of_large_bodies_ends_at_16_mib(
    api: Any, large: list[str], filter_: str
) -> None:
    listed_ids = large
    if filter_ == "dlqIds":
        pages = [listed(api, f"?messageId={name}") for name in large]
        listed_ids = [page["messages"][0]["dlqId"] for page in pages]
    query = f"?{filter_}={','.join(listed_ids)}&" if filter_ else "?"
    first = listed(api, query)
    rest = listed(api, f"{query}cursor={first['cursor']}")

    assert (names(first), names(rest)) == (large[:2], large[2:])
    assert "cursor" not in rest


def test_a_bulk_call_by_ids_is_not_limited_to_a_page(
    api: Any, large: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dlq, "BATCH", 1)
    monkeypatch.setattr(dlq, "MAX_MESSAGES_READ", 1)
    body = {"messageId": large}

    assert api.call("DELETE", "/v2/dlq", json=body) == (200, {"deleted": 3})


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("url", HOOK, "https://example.com/"),
        ("queueName", "line", "other"),
        ("callerIp", "127.0.0.1", "::1"),
        ("callerIP", "127.0.0.1", "::1"),
        ("label", "b", "c"),
        ("flowControlKey", "k", "l"),
        ("topicName", None, "g"),
        ("scheduleId", None, "scd_1"),
        ("responseStatus", "503", "500"),
        ("fromDate", "1", "9999999999999"),
        ("toDate", "9999999999999", "1"),
    ],
)
def test_dead_letters_can_be_filtered(
    api: Any, name: str, right: str | None, wrong: str
) -> None:
    headers = {
        "Upstash-Label": "a,b",
        "Upstash-Flow-Control-Key": "k",
        "Upstash-Flow-Control-Value": "rate=1",
    }
    _, answer = api.call("POST", f"/v2/enqueue/line/{HOOK}", headers=headers)
    api.attempt(answer["messageId"], "dead", status=503)

    for value, found in ((right, 1), (wrong, 0)):
        if value is not None:
            page = listed(api, f"?{name}={quote(value)}")
            assert len(page["messages"]) == found
    both = f"?{name}={quote(wrong)}&{name}={quote(right or wrong)}"
    if not name.endswith("Date"):
        assert len(listed(api, both)["messages"]) == (right is not None)


def test_message_ids_and_dead_letter_ids_are_filters(api: Any) -> None:
    first, second = dead_letter(api), dead_letter(api)
    one, two = letter_ids(api)

    assert names(listed(api, f"?messageId={first}&label=none")) == [first]
    assert names(listed(api, f"?dlqIds={two}&dlqIds=1-x,{one}")) == [second, first]
    assert names(listed(api, f"?messageId={api.publish()['messageId']}")) == []


@pytest.mark.parametrize(
    ("query", "error_start"),
    [
        ("?labeel=x", "labeel is not a known parameter"),
        ("?host=example.com", "host is not a known parameter"),
        ("?path=/", "path is not a known parameter"),
        ("?count=0", "count should be a number from 1 to 100"),
        ("?count=101", "count should be a number from 1 to 100"),
        ("?cursor=x", "cursor should be one from an earlier response"),
        ("?order=x", "order should be one of"),
        ("?responseStatus=x", "responseStatus should be a status"),
        ("?fromDate=x", "fromDate should be a whole number"),
    ],
)
def test_bad_parameters_are_refused_and_change_nothing(
    api: Any, query: str, error_start: str
) -> None:
    dead_letter(api)

    for method, path in (
        ("GET", "/v2/dlq"),
        ("DELETE", "/v2/dlq"),
        ("POST", "/v2/dlq/retry"),
    ):
        status, answer = api.call(method, path + query)
        assert (status, answer["error"].startswith(error_start)) == (400, True), answer
    assert len(listed(api)["messages"]) == 1


def test_a_deleted_dead_letter_is_gone_but_its_message_is_kept(api: Any) -> None:
    name = dead_letter(api)
    [letter] = letter_ids(api)

    assert api.call("DELETE", f"/v2/dlq/{letter}") == (200, None)
    for method, path in (
        ("GET", f"/v2/dlq/{letter}"),
        ("DELETE", f"/v2/dlq/{letter}"),
        ("POST", f"/v2/dlq/retry/{letter}"),
    ):
        assert api.call(method, path)[0] == 404
    assert listed(api) == {"messages": []}
    assert api.message(name)["messageId"] == name
    assert api.logs()["logs"][0]["state"] == "FAILED"


@pytest.mark.parametrize("how", ["query", "body"])
def test_many_dead_letters_can_be_deleted_by_id(api: Any, how: str) -> None:
    for _ in range(3):
        dead_letter(api)
    one, two, three = letter_ids(api)
    ids = [one, one, three, "1-unknown", "x"]
    sent: dict[str, Any] = {"json": {"dlqIds": ids}}
    if how == "query":
        sent = {"query_string": {"dlqIds": ids}}

    assert api.call("DELETE", "/v2/dlq", **sent) == (200, {"deleted": 2})
    assert letter_ids(api) == [two]


def test_an_empty_list_of_ids_selects_nothing(api: Any) -> None:
    dead_letter(api)

    assert api.call("DELETE", "/v2/dlq", json={"dlqIds": []}) == (200, {"deleted": 0})
    assert api.call("DELETE", "/v2/dlq?dlqIds=") == (200, {"deleted": 0})
    assert api.call("POST", "/v2/dlq/retry?dlqIds=") == (201, {"responses": []})
    assert api.call("DELETE", "/v2/dlq", json={"dlqIds": None})[0] == 400
    assert len(letter_ids(api)) == 1


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/v2/dlq/"), ("POST", "/v2/dlq/retry/")]
)
def test_a_missing_id_does_not_select_all(api: Any, method: str, path: str) -> None:
    dead_letter(api)

    assert api.call(method, path)[0] == 400
    assert len(letter_ids(api)) == 1


def test_bulk_deletion_is_paged(api: Any) -> None:
    for label in "aabaa":
        dead_letter(api, label=label)
    _, page = api.call("DELETE", "/v2/dlq?label=a&count=3")
    assert page.pop("cursor")
    assert page == {"deleted": 3}

    assert api.call("DELETE", "/v2/dlq?label=a&count=3") == (200, {"deleted": 1})
    assert [x["label"] for x in listed(api)["messages"]] == ["b"]
    assert api.call("DELETE", "/v2/dlq?count=100") == (200, {"deleted": 1})


def test_a_retry_creates_a_new_message_with_the_same_settings(api: Any) -> None:
    headers = {
        "retries": "5",
        "callback": HOOK,
        "label": "l",
        "delay": "0s",
        "method": "PUT",
        "forward_x": "1",
        "timeout": "7s",
        "deduplication_id": "once",
    }
    name = dead_letter(api, **headers)
    old = api.message(name)
    [letter] = letter_ids(api)
    status, answer = api.call("POST", f"/v2/dlq/retry/{letter}")

    assert (status, answer["url"]) == (201, HOOK)
    assert answer["messageId"] != name
    new = api.message(answer["messageId"])
    assert {*new} == {*old}
    for field in {*old} - {"messageId", "createdAt", "notBefore"}:
        assert new[field] == old[field]
    assert new["notBefore"] >= old["notBefore"]
    assert letter_ids(api) == []
    api.attempt(answer["messageId"], "dead", status=500)
    assert len(letter_ids(api)) == 1


def test_headers_of_a_retry_override_those_of_the_message(api: Any) -> None:
    dead_letter(api, retries="5", forward_a="1", forward_b="1", label="l")
    [letter] = letter_ids(api)
    headers = {
        "Upstash-Retries": "0",
        "Upstash-Forward-A": "2",
        "Content-Type": "application/x-retry",
        "Upstash-Header-Forward": "true",
        "X-Other": "1",
    }
    path = f"/v2/dlq/retry/{letter}?upstash-label=m"
    _, answer = api.call("POST", path, headers=headers)
    message = api.message(answer["messageId"])

    assert (message["maxRetries"], message["labels"]) == (0, ["m"])
    assert message["header"] == {"A": ["2"], "B": ["1"]}


def test_a_retry_with_bad_headers_keeps_the_dead_letter(api: Any) -> None:
    dead_letter(api)
    [letter] = letter_ids(api)

    for path in (f"/v2/dlq/retry/{letter}", "/v2/dlq/retry"):
        status, answer = api.call("POST", path, headers={"Upstash-Retries": "x"})
        assert (status, answer["error"][:15]) == (400, "Upstash-Retries")
    assert letter_ids(api) == [letter]


@pytest.mark.parametrize("bad", ["?upstash-retries=x", "?Upstash-Delay=1w"])
def test_a_bulk_retry_with_a_bad_setting_is_refused_and_not_recorded(
    api: Any, bad: str
) -> None:
    assert api.call("POST", f"/v2/dlq/retry{bad}")[0] == 400
    assert audit.newest(api.cell, api.owner.tenant, count=9) == []


def test_a_bulk_retry_takes_a_delay_that_only_a_late_retry_has(api: Any) -> None:
    dead_letter(api, retries="9")
    delay = {"Upstash-Retry-Delay": "1000 / max(0, retried - 8)"}

    _, page = api.call("POST", "/v2/dlq/retry", headers=delay)

    assert len(page["responses"]) == 1


def test_many_dead_letters_can_be_retried(api: Any) -> None:
    for label in "abaab":
        dead_letter(api, f"{HOOK}/{label}", label=label)
    status, page = api.call("POST", "/v2/dlq/retry?label=a&count=2")

    assert status == 201
    assert [each["url"] for each in page["responses"]] == [f"{HOOK}/a"] * 2
    assert page["cursor"]
    ids = letter_ids(api)
    assert len(ids) == 3
    query = "&".join(f"dlqIds={each}" for each in (*ids, "1-unknown"))
    _, page = api.call("POST", f"/v2/dlq/retry?{query}")
    assert [each["url"][-1] for each in page["responses"]] == ["b", "a", "b"]
    assert "cursor" not in page
    assert letter_ids(api) == []


def test_a_retry_in_a_full_store_keeps_the_dead_letters(api: Any) -> None:
    dead_letter(api)
    [letter] = letter_ids(api)
    api.cell.client.set(keys.full(api.cell.prefix), "1", ex=5)

    for path in (f"/v2/dlq/retry/{letter}", "/v2/dlq/retry"):
        assert api.call("POST", path)[0] == 503
    assert letter_ids(api) == [letter]


def test_a_retry_that_is_a_duplicate_keeps_the_dead_letter(api: Any) -> None:
    dead_letter(api)
    [letter] = letter_ids(api)
    first = api.publish(deduplication_id="once")["messageId"]
    headers = {"Upstash-Deduplication-Id": "once"}

    status, answer = api.call("POST", f"/v2/dlq/retry/{letter}", headers=headers)
    assert (status, answer["messageId"], answer["deduplicated"]) == (202, first, True)
    assert letter_ids(api) == [letter]


def test_the_id_is_derived_from_fire_time_and_event(api: Any) -> None:
    """The id is known in advance, because failure callbacks contain the id."""
    name = dead_letter(api)
    [letter] = letter_ids(api)
    wanted_ms = api.message(name)["notBefore"]

    assert letter == f"{wanted_ms}-{name.removeprefix('msg_')}"
    assert api.call("GET", f"/v2/dlq/{wanted_ms + 1}-{letter[14:]}")[0] == 404


def test_tenants_do_not_see_each_others_dead_letters(api: Any, make_api: Make) -> None:
    dead_letter(api)
    [letter] = letter_ids(api)
    other = make_api()

    for method, path in (
        ("GET", f"/v2/dlq/{letter}"),
        ("DELETE", f"/v2/dlq/{letter}"),
        ("POST", f"/v2/dlq/retry/{letter}"),
    ):
        assert other.call(method, path)[0] == 404
    assert listed(other) == {"messages": []}
    for query in ("", f"?dlqIds={letter}"):
        assert other.call("DELETE", f"/v2/dlq{query}") == (200, {"deleted": 0})
        answer = other.call("POST", f"/v2/dlq/retry{query}")
        assert answer == (201, {"responses": []})
    assert letter_ids(api) == [letter]
