"""Tests of the deduplication of schedules and messages."""

import pytest
from concurrent.futures import ThreadPoolExecutor
from typing import Any

HOOK = "https://example.com/hook"
CONTENT_BASED = {"content_based_deduplication": "true"}


def schedule(api: Any, data: bytes = b"x", **headers: str) -> Any:
    """Create a schedule.

    Args:
        headers: values by name. The name `retry_delay` means the header
            `Upstash-Retry-Delay`.
    """
    fields = ({"cron": "0 0 1 1 *"} | headers).items()
    headers = {f"Upstash-{name.replace('_', '-')}": value for name, value in fields}
    path = f"/v2/schedules/{HOOK}"
    status, answer = api.call("POST", path, data=data, headers=headers)
    assert status == 200, answer
    return answer


def schedules(api: Any) -> Any:
    return api.call("GET", "/v2/schedules")[1]


def delete(api: Any, schedule_id: str) -> None:
    with api.app.test_client() as client:
        headers = {"Authorization": f"Bearer {api.token}"}
        path = f"/v2/schedules/{schedule_id}"
        assert client.delete(path, headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{"deduplication_id": "d"}, CONTENT_BASED])
def test_creating_a_schedule_again_returns_the_existing_one(
    api: Any, headers: Any
) -> None:
    first = schedule(api, **headers)
    again = schedule(api, **headers, retries="1")

    assert again == first
    [existing] = schedules(api)
    assert (existing["scheduleId"], existing["retries"]) == (first["scheduleId"], 3)


def test_a_duplicate_returns_the_name_of_the_existing_schedule(api: Any) -> None:
    schedule(api, b"old", schedule_id="mine", deduplication_id="d")
    again = schedule(api, b"new", schedule_id="mine", deduplication_id="d")
    other = schedule(api, b"new", schedule_id="other", deduplication_id="d")

    assert again == other == {"scheduleId": "mine"}
    assert [existing["body"] for existing in schedules(api)] == ["old"]


@pytest.mark.parametrize(
    "headers",
    [
        {"cron": "0 0 2 1 *"},
        {"cron": "CRON_TZ=Asia/Tokyo 0 0 1 1 *"},
        {"schedule_id": "other"},
        {"forward_a": "1"},
        {"forward_content_type": "text/x"},
    ],
)
def test_content_based_deduplication_compares_the_whole_schedule(
    api: Any, headers: dict[str, str]
) -> None:
    first = schedule(api, **CONTENT_BASED)

    assert schedule(api, **CONTENT_BASED, **headers) != first


def test_a_message_never_duplicates_a_schedule(api: Any) -> None:
    first = schedule(api, deduplication_id="d")

    assert "deduplicated" not in api.publish(deduplication_id="d")
    assert schedule(api, deduplication_id="d") == first


@pytest.mark.parametrize("named", [{}, {"schedule_id": "mine"}])
def test_a_deleted_schedule_may_be_created_again(
    api: Any, named: dict[str, str]
) -> None:
    first = schedule(api, **named, deduplication_id="d")
    delete(api, first["scheduleId"])

    again = schedule(api, **named, deduplication_id="d")

    assert [existing["scheduleId"] for existing in schedules(api)] == [
        again["scheduleId"]
    ]


def test_many_creations_at_once_make_one_schedule(api: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: schedule(api, deduplication_id="d"), range(20))
        )

    assert len({answer["scheduleId"] for answer in answers}) == 1
    assert len(schedules(api)) == 1


def test_s28_of_many_messages_at_once_with_one_id_one_is_stored(api: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda _: api.publish(deduplication_id="d"), range(100))]

    assert len({answer["messageId"] for answer in answers}) == 1
    assert sum("deduplicated" not in answer for answer in answers) == 1


@pytest.mark.parametrize("how", ["cancelled", "cancelled in bulk", "dead"])
def test_a_message_that_failed_or_was_cancelled_may_be_published_again(
    api: Any, how: str
) -> None:
    name = api.publish(deduplication_id="d", **CONTENT_BASED)["messageId"]
    if how == "dead":
        api.attempt(name, "dead", status=500)
    else:
        path = f"/v2/messages{'' if 'bulk' in how else f'/{name}'}"
        assert api.call("DELETE", path)[1] == {"cancelled": 1}

    assert "deduplicated" not in api.publish(deduplication_id="d")


def test_a_delivered_message_still_counts_for_deduplication(api: Any) -> None:
    name = api.publish(deduplication_id="d")["messageId"]
    api.attempt(name, "delivered", status=200)

    assert api.publish(deduplication_id="d")["messageId"] == name
