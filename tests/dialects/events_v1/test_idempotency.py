"""`Idempotency-Key`: a creation that is sent again is the same creation."""

import pytest
from concurrent.futures import ThreadPoolExecutor
from typing import Any

KEYED = {"Idempotency-Key": "order-7"}


def post(api: Any, body: Any, **headers: str) -> Any:
    return api.call("POST", "/v1/events", body, headers=KEYED | headers)


def test_the_same_request_is_answered_alike_and_stored_once(api: Any) -> None:
    body = api.body(context={"a": [1.5, None]}, interval="*/5 * * * * *")
    first = post(api, body)
    again = post(api, body)

    assert first[0] == 201
    assert again == first
    assert api.listed() == ([first[1]["data"]["eventId"]], 1)


def test_the_answer_is_the_first_whatever_has_become_of_the_event(api: Any) -> None:
    body = api.body()
    first = post(api, body)
    path = f"/v1/events/{first[1]['data']['eventId']}"
    api.good("PATCH", path, {"interval": "0 0 2 1 *", "context": {}, "tags": []})
    api.good("POST", f"{path}/pause")
    assert post(api, body) == first
    api.good("DELETE", path)

    assert post(api, body) == first
    assert api.listed() == ([], 0)


def test_the_answer_is_the_first_although_its_end_has_passed(
    api: Any, wait_until: Any
) -> None:
    body = api.body(endDate=api.in_ms(1_000))
    first = post(api, body)
    wait_until(lambda: api.in_ms(0) > body["endDate"])

    assert first[0] == 201
    assert post(api, body) == first


def test_another_request_under_the_same_key_is_refused(api: Any) -> None:
    post(api, api.body())

    refused = api.refused("POST", "/v1/events", api.body(tags=["b"]), headers=KEYED)

    assert refused == (422, "Idempotency-Key was used for another request")
    assert api.listed()[1] == 1


def test_two_at_the_same_instant_are_one_and_told_the_same(api: Any) -> None:
    body = api.body()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(api, body), range(16)))

    assert answers == [answers[0]] * 16
    assert (answers[0][0], api.listed()[1]) == (201, 1)


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_of_no_or_too_great_length_is_refused(api: Any, key: str) -> None:
    headers = {"Idempotency-Key": key}
    refused = api.refused("POST", "/v1/events", api.body(), headers=headers)

    assert refused == (400, ["Idempotency-Key must have 1 to 255 characters"])


def test_a_refused_request_leaves_no_deduplication_key(api: Any) -> None:
    assert post(api, api.body(endDate="2020-01-01"))[0] == 400
    assert post(api, api.body(tags=7))[0] == 400

    assert post(api, api.body())[0] == 201
