"""Tests of creating and reading events."""

import json
import pytest
import redis
from collections.abc import Callable
from scheduler_api.core.ids import to_id
from scheduler_api.core.store import keys
from scheduler_api.core.store.records import EVENT
from scheduler_api.core.timestamps import from_iso, to_iso
from tests.core.function_calls import count_function_calls
from typing import Any

MINUTE_MS = 60_000
DAY_MS = 86_400_000

UNUSUAL_TEXTS = [
    "",
    "é ü 漢字 😀",
    "\u2028\u2029\x7f",
    '"quotes" and \\ backslashes / slashes',
    '{"n": 1.0, "n": 2, "big": 123456789012345678901234567890}',
    "\x00\x01\x1f\b\t\n\f\r",
    "lone \ud83d and \ude00 surrogates",
    "e\u0301 not normalised, \ufeff kept",
    "  not trimmed \n",
]


def test_a_created_event_has_exactly_the_documented_fields(api: Any) -> None:
    at = to_iso(api.cell.now_ms() + MINUTE_MS)

    status, event = api.call("POST", "/api/events", api.body(scheduledTime=at))

    assert status == 200
    assert event == {
        "id": "1",
        "org": api.owner.tenant,
        "payload": "hello",
        "destination": "https://example.com/hook",
        "scheduledTime": at,
        "status": "Pending",
        "createdAt": event["createdAt"],
        "updatedAt": event["createdAt"],
    }
    assert abs(from_iso(event["createdAt"]) - api.cell.now_ms()) < MINUTE_MS


def test_a_created_event_is_due_at_its_time(api: Any) -> None:
    event = api.create()

    due = api.cell.client.zrange(keys.due(api.cell.prefix), 0, -1, withscores=True)

    assert due == [(b"1", from_iso(event["scheduledTime"]))]


def test_the_deadline_of_an_attempt_comes_from_the_setting(
    make_api: Callable[..., Any],
) -> None:
    api = make_api(timeout_ms=1234)
    api.create()

    record = EVENT.named(api.cell.client.hgetall(keys.event(api.cell.prefix, "1")))
    assert record["deadline_ms"] == b"1234"


def test_ids_are_ascending_decimal_numbers(api: Any) -> None:
    ids = [api.create()["id"] for _ in range(40)]

    assert ids == [str(number) for number in range(1, 41)]


@pytest.mark.parametrize("payload", UNUSUAL_TEXTS)
def test_a_payload_is_returned_unchanged(api: Any, payload: str) -> None:
    event = api.create(payload=payload)

    _, again = api.call("GET", f"/api/events/{event['id']}")

    assert event["payload"] == again["payload"] == payload


@pytest.mark.parametrize(
    ("sent", "returned"),
    [
        ("2399-05-01T10:00:00.123Z", "2399-05-01T10:00:00.123Z"),
        ("2399-05-01T10:00:00Z", "2399-05-01T10:00:00.000Z"),
        ("2399-05-01T12:00:00+02:00", "2399-05-01T10:00:00.000Z"),
        ("2399-05-01T10:00:00", "2399-05-01T10:00:00.000Z"),
        ("2399-05-01", "2399-05-01T00:00:00.000Z"),
    ],
)
def test_a_time_is_returned_in_utc_with_milliseconds(
    api: Any, sent: str, returned: str
) -> None:
    assert api.create(scheduledTime=sent)["scheduledTime"] == returned


@pytest.mark.parametrize(
    "time",
    [
        ...,
        None,
        "",
        "tomorrow",
        5,
        1.5,
        True,
        [],
        {},
        "2399-13-01T00:00:00Z",
        "9999-12-31T23:59:59-12:00",
        "+10000-01-01T00:00:00Z",
        "\ud83d",
        "2399-05-01T10:00:00Z\x00",
        "9" * 5000,
    ],
)
def test_a_wrong_time_is_refused(api: Any, time: Any) -> None:
    response = api.call("POST", "/api/events", api.body(scheduledTime=time))

    assert response == (400, {"message": "Please enter a valid time"})


@pytest.mark.parametrize("payload", [..., None, 5, True, ["a"], {"a": 1}])
def test_a_payload_that_is_not_a_text_is_refused(api: Any, payload: Any) -> None:
    response = api.call("POST", "/api/events", api.body(payload=payload))

    assert response == (400, {"message": "'payload' must be a string"})


@pytest.mark.parametrize(
    "destination",
    [
        ...,
        None,
        5,
        "",
        "example.com",
        "/hook",
        "ftp://example.com",
        "http://",
        "http:///path",
        "http://user:pw@example.com/",
        "http://127.0.0.1\\@example.com/",
        "http://exa mple.com/",
        "http://example.com/\r\nX: y",
        "http://example.com/\x00",
        "http://example.com/\ud83d",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://" + "a" * 9000,
    ],
)
def test_a_wrong_destination_is_refused(api: Any, destination: Any) -> None:
    response = api.call("POST", "/api/events", api.body(destination=destination))

    assert response == (400, {"message": "Please enter a valid destination"})


@pytest.mark.parametrize("ago_ms", [0, 1, DAY_MS, 1_000_000_000_000])
def test_a_past_time_is_refused(api: Any, ago_ms: int) -> None:
    past = to_iso(api.cell.now_ms() - ago_ms)

    response = api.call("POST", "/api/events", api.body(scheduledTime=past))

    message = "Please make sure your scheduled time is in the future."
    assert response == (400, {"message": message})


def test_faults_are_reported_in_the_order_time_payload_destination(api: Any) -> None:
    past = to_iso(api.cell.now_ms() - 1000)
    wrong = {"payload": 5, "destination": "x"}

    def message(body: dict[str, Any]) -> str:
        status, response = api.call("POST", "/api/events", body)
        assert status == 400
        return str(response["message"])

    assert message({"scheduledTime": "x"} | wrong) == "Please enter a valid time"
    assert "in the future" in message({"scheduledTime": past} | wrong)
    assert message(api.body(**wrong)) == "'payload' must be a string"
    assert message(api.body(destination="x")) == "Please enter a valid destination"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"5",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff\xfe",
        b'{"payload":"\xed\xa0\xbd"}',
        b'{"payload": NaN}',
        b"\xef\xbb\xbf{}",
        b"payload=a&destination=b",
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(api: Any, raw: bytes) -> None:
    for method, path in (("POST", "/api/events"), ("POST", "/api/cronjobs")):
        response = api.call(method, path, data=raw, content_type="application/json")

        assert response == (400, {"message": "Invalid request body"})


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "nonsense",
        "",
    ],
)
def test_the_content_type_is_ignored(api: Any, content_type: str) -> None:
    status, _ = api.call(
        "POST", "/api/events", data=json.dumps(api.body()), content_type=content_type
    )

    assert status == 200


def test_unknown_fields_duplicates_and_huge_numbers_are_ignored(api: Any) -> None:
    body = json.dumps(api.body(id="7", status="Sent", more={"a": [1, 2]}))
    raw = '{"n":' + "9" * 20_000 + ',"payload":"first",' + body[1:]

    status, event = api.call("POST", "/api/events", data=raw)

    assert (status, event["id"], event["status"]) == (200, "1", "Pending")
    assert event["payload"] == "hello"


def test_a_refused_event_stores_nothing(api: Any) -> None:
    before = set(api.cell.client.keys("*"))

    api.call("POST", "/api/events", api.body(payload=5))
    api.call("POST", "/api/events", api.body(scheduledTime="2001-01-01T00:00:00Z"))
    api.call("POST", "/api/events", data=b"{")

    added = set(api.cell.client.keys("*")) - before
    assert added <= {keys.sequence(api.cell.prefix).encode()}


@pytest.mark.parametrize("path", ["/api/events", "/api/events/"])
def test_a_trailing_slash_is_the_same_route(api: Any, path: str) -> None:
    status, event = api.call("POST", path, api.body())
    one, _ = api.call("GET", f"{path.rstrip('/')}/{event['id']}/")
    several, _ = api.call("GET", path)

    assert (status, one, several) == (200, 200, 200)


@pytest.mark.parametrize(
    "text",
    [
        *("2", "0", "01", "-1", "+1", "1.0", "1e3", "x", "%00", "%ED%A0%BD", "1%0a"),
        *("²", "٣", "9" * 30, "9" * 5000, "undefined", "1 ", "a.b"),
    ],
)
def test_an_unknown_id_is_not_found(api: Any, text: str) -> None:
    api.create()

    for method, body in (("GET", None), ("PUT", {"payload": "x"})):
        response = api.call(method, f"/api/events/{text}", body)

        assert response == (404, {"message": "Unable to find event"})


def test_get_with_a_content_type_and_no_body_works(api: Any) -> None:
    event = api.create()

    headers = {"Content-Type": "application/json"}
    status, again = api.call("GET", f"/api/events/{event['id']}", headers=headers)
    listed, _ = api.call("GET", "/api/events", data=b"{", headers=headers)

    assert (status, listed) == (200, 200)
    assert again == event | {"history": []}


def test_a_large_payload_is_returned_unchanged(api: Any) -> None:
    payload = "ü" * 500_000

    event = api.create(payload=payload)
    _, again = api.call("GET", f"/api/events/{event['id']}")

    assert again["payload"] == payload


def test_an_unreadable_record_is_an_internal_error(api: Any) -> None:
    event = api.create()
    key = keys.event(api.cell.prefix, to_id(int(event["id"])))
    api.cell.client.hset(key, EVENT.code("due_ms"), "soon")

    read = api.call("GET", f"/api/events/{event['id']}")
    edited = api.call("PUT", f"/api/events/{event['id']}", {"payload": "x"})

    assert read == (500, {"message": "An error ocurred finding the event"})
    assert edited == (500, {"message": "Unable to update the event"})


def test_a_broken_id_sequence_is_an_internal_error(api: Any) -> None:
    api.cell.client.set(keys.sequence(api.cell.prefix), "no number")

    response = api.call("POST", "/api/events", api.body())

    assert response == (500, {"message": "Unable to create the event"})


def test_a_full_store_refuses_new_events_with_retry_after(api: Any) -> None:
    api.cell.client.set(keys.full(api.cell.prefix), "1", ex=60)

    status, response = api.call("POST", "/api/events", api.body())

    assert (status, list(response)) == (503, ["message"])
    assert int(api.headers["Retry-After"]) > 0


def test_a_store_out_of_memory_is_unavailable(api: Any, store_url: str) -> None:
    client = redis.Redis.from_url(store_url)
    client.config_set("maxmemory", "1")
    try:
        status, _ = api.call("POST", "/api/events", api.body())
    finally:
        client.config_set("maxmemory", "0")

    assert status == 503
    assert int(api.headers["Retry-After"]) > 0


def test_creating_an_event_costs_one_round_trip(api: Any, store_url: str) -> None:
    api.create()
    client = redis.Redis.from_url(store_url)
    before, called = client.info("commandstats"), count_function_calls(client)
    for _ in range(10):
        api.create()
    after = client.info("commandstats")

    def calls(name: str) -> int:
        earlier = before.get(f"cmdstat_{name}", {"calls": 0})["calls"]
        return int(after.get(f"cmdstat_{name}", {"calls": 0})["calls"] - earlier)

    # Count only function calls, because `api.body` also sends a command: `TIME`.
    assert count_function_calls(client) - called == 10
    assert calls("hget") == calls("incrby") == 0


@pytest.mark.parametrize(
    "settings", [{"https_only": True}, {"destination_ports": (443,)}]
)
def test_s07_settings_can_restrict_schemes_and_ports(
    make_api: Callable[..., Any], settings: dict[str, Any]
) -> None:
    api = make_api(**settings)
    for destination, status in (("http://h/", 400), ("https://h/", 200)):
        event, job = (
            body(destination=destination) for body in (api.body, api.cron_body)
        )

        assert api.call("POST", "/api/events", event)[0] == status
        assert api.call("POST", "/api/cronjobs", job)[0] == status
