"""`Idempotency-Key`: a creation that is sent again is the same creation."""

import pytest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from scheduler_api.core.store import keys
from scheduler_api.core.timestamps import to_iso
from scheduler_api.web import idempotency
from typing import Any

KEYED = {"Idempotency-Key": "order-7"}
CREATIONS = {"events": "/api/events", "cron jobs": "/api/cronjobs"}


def post(api: Any, what: str, body: Any = None, **headers: str) -> Any:
    if body is None:
        body = api.body() if what == "events" else api.cron_body()
    return api.call("POST", CREATIONS[what], body, headers=KEYED | headers)


def stored(api: Any, what: str) -> list[Any]:
    return list(api.call("GET", CREATIONS[what])[1])


def deduplication_keys(api: Any) -> list[bytes]:
    return list(
        api.cell.client.scan_iter(keys.deduplication(api.cell.prefix, "*", "*"))
    )


@pytest.mark.parametrize("what", CREATIONS)
def test_the_same_request_is_answered_alike_and_stored_once(
    api: Any, what: str
) -> None:
    body = api.body() if what == "events" else api.cron_body()
    first = post(api, what, body)
    replayed = idempotency.REPLAYED in api.headers
    again = post(api, what, body)

    assert first[0] == 200
    assert again == first
    assert (replayed, api.headers[idempotency.REPLAYED]) == (False, "true")
    assert len(stored(api, what)) == 1


def test_the_answer_is_the_first_whatever_has_become_of_the_event(api: Any) -> None:
    body = api.body()
    first = post(api, "events", body)
    path = f"/api/events/{first[1]['id']}"
    edit = {"payload": "other", "status": "Cancelled"}
    assert api.call("PUT", path, edit)[0] == 200

    assert post(api, "events", body) == first


def test_the_answer_is_the_first_although_its_time_has_come(
    api: Any, wait_until: Callable[..., None]
) -> None:
    at_ms = api.cell.now_ms() + 1_000
    body = api.body(scheduledTime=to_iso(at_ms))
    first = post(api, "events", body)
    wait_until(lambda: api.cell.now_ms() > at_ms)

    assert first[0] == 200
    assert post(api, "events", body) == first
    assert api.call("POST", "/api/events", body)[0] == 400


def test_a_deleted_cron_job_is_answered_and_not_made_again(api: Any) -> None:
    first = post(api, "cron jobs")
    assert api.call("DELETE", f"/api/cronjobs/{first[1]['id']}")[0] == 200

    assert post(api, "cron jobs") == first
    assert stored(api, "cron jobs") == []


@pytest.mark.parametrize("what", CREATIONS)
def test_another_request_under_the_same_key_is_refused(api: Any, what: str) -> None:
    post(api, what)
    make = api.body if what == "events" else api.cron_body

    status, answer = post(api, what, make(payload="other"))

    assert status == 422
    assert answer == {"message": "Idempotency-Key was used for another request"}
    assert len(stored(api, what)) == 1


def test_a_run_by_hand_is_made_once_and_answered_again(api: Any) -> None:
    body = api.cron_body(expression="0 0 1 1 *", options={"overlap": "skip"})
    jobs = [api.call("POST", "/api/cronjobs", body)[1] for _ in range(2)]
    paths = [f"/api/cronjobs/{job['id']}/run" for job in jobs]

    first, again = (api.call("POST", paths[0], headers=KEYED) for _ in range(2))
    replayed = api.headers[idempotency.REPLAYED]
    reused = api.call("POST", paths[1], headers=KEYED)
    too_long = api.call("POST", paths[1], headers={"Idempotency-Key": "k" * 256})
    told = [api.call("GET", f"{path}s")[1]["runs"] for path in paths]

    assert (first[0], again, replayed) == (200, first, "true")
    assert reused == (422, {"message": "Idempotency-Key was used for another request"})
    assert too_long[0] == 400
    assert [len(runs) for runs in told] == [1, 0]


def test_another_endpoint_is_another_request(api: Any) -> None:
    body = api.body() | api.cron_body()

    assert post(api, "events", body)[0] == 200
    assert post(api, "cron jobs", body)[0] == 422
    assert stored(api, "cron jobs") == []


def test_another_key_is_another_creation(api: Any) -> None:
    body = api.body()
    post(api, "events", body)
    post(api, "events", body, **{"Idempotency-Key": "order-8"})
    api.call("POST", "/api/events", body)
    api.call("POST", "/api/events", body)

    assert len(stored(api, "events")) == 4


def test_keys_are_each_tenants_own(make_api: Callable[..., Any]) -> None:
    mine, other = make_api(), make_api()
    body = mine.body()

    assert post(mine, "events", body)[1] != post(other, "events", body)[1]
    assert len(stored(other, "events")) == 1


@pytest.mark.parametrize("what", CREATIONS)
def test_two_at_the_same_instant_are_one_and_told_the_same(
    make_api: Callable[..., Any], what: str
) -> None:
    api = make_api(cron_jobs=1)
    body = api.body() if what == "events" else api.cron_body()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(api, what, body), range(16)))

    assert answers == [answers[0]] * 16
    assert answers[0][0] == 200
    assert len(stored(api, what)) == 1


@pytest.mark.parametrize("what", CREATIONS)
def test_the_last_that_a_quota_allows_is_answered_again(
    make_api: Callable[..., Any], what: str
) -> None:
    api = make_api(cron_jobs=1, events_per_month=1)
    body = api.body() if what == "events" else api.cron_body()
    first = post(api, what, body)

    assert post(api, what, body) == first
    assert post(api, what, body, **{"Idempotency-Key": "another"})[0] == 400


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_of_no_or_too_great_length_is_refused(api: Any, key: str) -> None:
    status, answer = post(api, "events", **{"Idempotency-Key": key})

    assert status == 400
    assert answer == {"message": "Idempotency-Key must have 1 to 255 characters"}
    assert stored(api, "events") == []


@pytest.mark.parametrize("key", ["k" * 255, "a b: \u00fc", '"quoted"'])
def test_any_other_key_is_a_key(api: Any, key: str) -> None:
    body = api.body()
    first = post(api, "events", body, **{"Idempotency-Key": key})

    assert first[0] == 200
    assert post(api, "events", body, **{"Idempotency-Key": key}) == first


def test_a_refused_request_leaves_no_deduplication_key(api: Any) -> None:
    assert post(api, "events", api.body(payload=7))[0] == 400
    assert post(api, "events", api.body(scheduledTime="2020-01-01"))[0] == 400
    api.cell.client.set(keys.full(api.cell.prefix), 1, ex=60)
    assert post(api, "events")[0] == 503
    api.cell.client.delete(keys.full(api.cell.prefix))

    assert deduplication_keys(api) == []
    assert post(api, "events")[0] == 200


def test_a_key_holds_for_a_day(api: Any) -> None:
    post(api, "events")

    [key] = deduplication_keys(api)
    assert 86_390_000 < api.cell.client.pttl(key) <= 86_400_000


@pytest.mark.parametrize(("headers", "more"), [({}, []), (KEYED, ["GET"])])
def test_without_a_key_nothing_more_is_asked_of_the_store(
    api: Any, headers: dict[str, str], more: list[str]
) -> None:
    api.create()
    body, client = api.body(), api.cell.client
    with client.monitor() as monitor:
        assert api.call("POST", "/api/events", body, headers=headers)[0] == 200
        client.echo("end")
        asked = []
        for told in monitor.listen():
            if told["command"] == "ECHO end":
                break
            if told["client_type"] != "lua":
                asked.append(told["command"].partition(" ")[0])

    greetings = ("HELLO", "CLIENT")
    assert [each for each in asked if each not in greetings] == [*more, "FCALL"]
