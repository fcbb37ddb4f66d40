"""Tests of the limits on sizes, on requests per minute and on events per month."""

import io
import json
import pytest
from collections.abc import Callable
from scheduler_api.core.timestamps import to_iso
from typing import Any

MINUTE_MS = 60_000
DAY_MS = 86_400_000
JULY = "2398-07-31T23:59:59.999Z"
AUGUST = "2398-08-01T00:00:00.000Z"

Make = Callable[..., Any]


def test_the_payload_limit_counts_the_bytes_of_the_text(make_api: Make) -> None:
    api = make_api(payload_limit_bytes=1024)
    refused = (400, {"message": "'payload' cannot exceed 1024 bytes"})

    def post(payload: str) -> Any:
        return api.call("POST", "/api/events", api.body(payload=payload))

    assert post("é" * 512)[0] == post("\x01" * 1024)[0] == post('"' * 1024)[0] == 200
    assert post("é" * 512 + "x") == post("\x01" * 1025) == refused


def test_the_payload_limit_applies_to_edits_and_cron_jobs(make_api: Make) -> None:
    api = make_api(payload_limit_bytes=5)
    event, job = api.create(), api.create_cron()
    refused = (400, {"message": "'payload' cannot exceed 5 bytes"})
    long = {"payload": "123456"}

    assert api.call("PUT", f"/api/events/{event['id']}", long) == refused
    assert api.call("PUT", f"/api/cronjobs/{job['id']}", long) == refused
    assert api.call("POST", "/api/cronjobs", api.cron_body(**long)) == refused


@pytest.mark.parametrize("character", ["x", "\x01", "é", "😀"])
def test_a_payload_of_exactly_the_body_limit_is_accepted(
    make_api: Make, character: str
) -> None:
    api = make_api(body_limit_bytes=100_000)
    width = len(character.encode())

    api.create(payload=character * (100_000 // width))
    status, response = api.call(
        "POST", "/api/events", api.body(payload=character * (100_000 // width + 1))
    )

    assert (status, response) == (413, {"message": "The request body is too large"})


def test_the_body_limit_applies_to_every_body(make_api: Make) -> None:
    api = make_api(body_limit_bytes=5)
    event, job = api.create(), api.create_cron()
    long = {"payload": "123456"}

    assert api.call("PUT", f"/api/events/{event['id']}", long)[0] == 413
    assert api.call("PUT", f"/api/cronjobs/{job['id']}", long)[0] == 413
    assert api.call("POST", "/api/cronjobs", api.cron_body(**long))[0] == 413
    assert api.call("GET", "/api/events") == (200, [event])


def test_a_request_that_is_too_long_is_refused_without_reading_it(
    make_api: Make,
) -> None:
    api = make_api(body_limit_bytes=1000)

    response = api.call("POST", "/api/events", data=b"x" * 200_000)

    assert response == (413, {"message": "The request body is too large"})


def test_a_request_of_unknown_length_is_read_up_to_the_limit(make_api: Make) -> None:
    api = make_api(body_limit_bytes=1000)
    small, large = (json.dumps(api.body(payload="x" * n)) for n in (9, 200_000))

    def post(raw: str) -> Any:
        environ = {"wsgi.input_terminated": True}
        stream = io.BytesIO(raw.encode())
        return api.call(
            "POST", "/api/events", input_stream=stream, environ_base=environ
        )

    assert post(small)[0] == 200
    assert post(large) == (413, {"message": "The request body is too large"})


def test_requests_per_minute_are_not_limited_by_default(api: Any) -> None:
    codes = {api.call("GET", "/api/events")[0] for _ in range(150)}

    assert codes == {200}


def test_requests_over_the_limit_get_429_with_retry_after(make_api: Make) -> None:
    api = make_api(requests_per_minute=2)

    responses = [api.call("GET", "/api/events") for _ in range(7)]

    refused = [response for response in responses if response[0] == 429]
    assert responses[:2] == [(200, []), (200, [])]
    # 2 requests pass in each minute. The next minute may begin during the test, so up
    # to 4 of the 7 requests pass.
    assert len(refused) >= 3
    assert refused[-1][1] == {
        "message": "Too many requests, please try again in a minute"
    }
    assert api.headers["Retry-After"] == "60"


def test_requests_are_counted_per_tenant(make_api: Make) -> None:
    one, other = (make_api(requests_per_minute=3) for _ in range(2))
    while one.call("GET", "/api/events")[0] == 200:
        pass

    assert other.call("GET", "/api/events")[0] == 200
    counts = one.cell.client.keys("*req:*")
    assert all(0 < one.cell.client.ttl(key) <= 120 for key in counts)


def test_events_per_month_are_counted_by_their_scheduled_time(make_api: Make) -> None:
    api = make_api(events_per_month=2)

    def post(at: str) -> Any:
        return api.call("POST", "/api/events", api.body(scheduledTime=at))

    message = "You cannot schedule more than 2 events per month"
    assert [post(JULY)[0], post(JULY)[0]] == [200, 200]
    assert post(JULY) == post(JULY) == (400, {"message": message})
    assert [post(AUGUST)[0], post(AUGUST)[0], post(AUGUST)[0]] == [200, 200, 400]


def test_refused_events_are_not_counted(make_api: Make) -> None:
    api = make_api(events_per_month=1)
    past = to_iso(api.cell.now_ms() - 1)
    soon = to_iso(api.cell.now_ms() + MINUTE_MS)

    for _ in range(3):
        api.call("POST", "/api/events", api.body(scheduledTime=past))
        api.call("POST", "/api/events", api.body(scheduledTime=soon, payload=5))

    assert api.call("POST", "/api/events", api.body(scheduledTime=soon))[0] == 200


def test_a_rescheduled_event_counts_for_its_new_month(make_api: Make) -> None:
    api = make_api(events_per_month=1)
    moved, other = api.create(scheduledTime=JULY), api.create(scheduledTime=AUGUST)

    def put(event: dict[str, Any], at: str) -> int:
        body = {"scheduledTime": at}
        return int(api.call("PUT", f"/api/events/{event['id']}", body)[0])

    assert put(moved, AUGUST) == 400
    assert put(moved, "2398-07-01T00:00:00Z") == 200
    assert put(other, "2398-09-01T00:00:00Z") == 200
    assert put(moved, AUGUST) == 200
    assert api.create(scheduledTime=JULY)


def test_the_count_of_a_month_expires_after_the_month(make_api: Make) -> None:
    api = make_api(events_per_month=5)
    at_ms = api.cell.now_ms() + DAY_MS
    api.create(scheduledTime=to_iso(at_ms))
    api.create(scheduledTime=to_iso(at_ms - 1000))

    (key,) = api.cell.client.keys("*month:*")

    left_ms = api.cell.client.pttl(key)
    assert 32 * DAY_MS < left_ms <= 33 * DAY_MS


def test_nothing_is_counted_without_limits(api: Any) -> None:
    api.create()

    assert not api.cell.client.keys("*req:*") + api.cell.client.keys("*month:*")


def test_a_small_payload_may_have_many_escapes(make_api: Make) -> None:
    api = make_api(body_limit_bytes=1000)
    raw = json.dumps(api.body(payload="@")).replace("@", "\\u0061" * 1000)

    status, event = api.call("POST", "/api/events", data=raw)

    assert (status, event["payload"]) == (200, "a" * 1000)
