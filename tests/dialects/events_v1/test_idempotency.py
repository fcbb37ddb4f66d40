"""Tests of `Idempotency-Key`: a repeated request creates only one event."""

import pytest
from concurrent.futures import ThreadPoolExecutor
from typing import Any

KEY_HEADER = {"Idempotency-Key": "order-7"}


def post(api: Any, body: Any, **headers: str) -> Any:
    return api.call("POST", "/v1/events", body, headers=KEY_HEADER | headers)


def test_a_repeated_request_gets_the_same_response_and_stores_nothing(api: Any) -> None:
    body = api.body(context={"a": [1.5, None]}, interval="*/5 * * * * *")
    first = post(api, body)
    again = post(api, body)

    assert first[0] == 201
    assert again == first
    assert api.list_events() == ([first[1]["data"]["eventId"]], 1)


def test_the_response_stays_the_same_after_edits_and_deletion(api: Any) -> None:
    body = api.body()
    first = post(api, body)
    path = f"/v1/events/{first[1]['data']['eventId']}"
    api.data("PATCH", path, {"interval": "0 0 2 1 *", "context": {}, "tags": []})
    api.data("POST", f"{path}/pause")
    assert post(api, body) == first
    api.data("DELETE", path)

    assert post(api, body) == first
    assert api.list_events() == ([], 0)


def test_the_response_stays_the_same_after_the_end_date(
    api: Any, wait_until: Any
) -> None:
    body = api.body(endDate=api.date_in(1_000))
    first = post(api, body)
    wait_until(lambda: api.date_in(0) > body["endDate"])

    assert first[0] == 201
    assert post(api, body) == first


def test_another_request_with_the_same_key_is_refused(api: Any) -> None:
    post(api, api.body())

    error = api.error("POST", "/v1/events", api.body(tags=["b"]), headers=KEY_HEADER)

    assert error == (422, "Idempotency-Key was used for another request")
    assert api.list_events()[1] == 1


def test_concurrent_equal_requests_create_one_event(api: Any) -> None:
    body = api.body()
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: post(api, body), range(16)))

    assert responses == [responses[0]] * 16
    assert (responses[0][0], api.list_events()[1]) == (201, 1)


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_an_empty_or_too_long_key_is_refused(api: Any, key: str) -> None:
    headers = {"Idempotency-Key": key}
    error = api.error("POST", "/v1/events", api.body(), headers=headers)

    assert error == (400, ["Idempotency-Key must have 1 to 255 characters"])


def test_a_refused_request_sets_no_deduplication_key(api: Any) -> None:
    assert post(api, api.body(endDate="2020-01-01"))[0] == 400
    assert post(api, api.body(tags=7))[0] == 400

    assert post(api, api.body())[0] == 201
