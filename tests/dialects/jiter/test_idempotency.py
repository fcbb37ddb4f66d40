"""Tests of `Idempotency-Key`: a repeated request creates only one object."""

import pytest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from scheduler_api.core.store import keys
from scheduler_api.core.timestamps import to_iso
from scheduler_api.web import idempotency
from typing import Any

KEY_HEADER = {"Idempotency-Key": "order-7"}
CREATIONS = {"events": "/api/events", "cron jobs": "/api/cronjobs"}


def post(api: Any, kind: str, body: Any = None, **headers: str) -> Any:
    if body is None:
        body = api.body() if kind == "events" else api.cron_body()
    return api.call("POST", CREATIONS[kind], body, headers=KEY_HEADER | headers)


def stored(api: Any, kind: str) -> list[Any]:
    return list(api.call("GET", CREATIONS[kind])[1])


def deduplication_keys(api: Any) -> list[bytes]:
    return list(
        api.cell.client.scan_iter(keys.deduplication(api.cell.prefix, "*", "*"))
    )


@pytest.mark.parametrize("kind", CREATIONS)
def test_a_repeated_request_gets_the_same_response_and_stores_nothing(
    api: Any, kind: str
) -> None:
    body = api.body() if kind == "events" else api.cron_body()
    first = post(api, kind, body)
    replayed = idempotency.REPLAYED in api.headers
    again = post(api, kind, body)

    assert first[0] == 200
    assert again == first
    assert (replayed, api.headers[idempotency.REPLAYED]) == (False, "true")
    assert len(stored(api, kind)) == 1


def test_the_response_stays_the_same_after_edits(api: Any) -> None:
    body = api.body()
    first = post(api, "events", body)
    path = f"/api/events/{first[1]['id']}"
    edit = {"payload": "other", "status": "Cancelled"}
    assert api.call("PUT", path, edit)[0] == 200

    assert post(api, "events", body) == first


def test_the_response_stays_the_same_after_the_scheduled_time(
    api: Any, wait_until: Callable[..., None]
) -> None:
    at_ms = api.cell.now_ms() + 1_000
    body = api.body(scheduledTime=to_iso(at_ms))
    first = post(api, "events", body)
    wait_until(lambda: api.cell.now_ms() > at_ms)

    assert first[0] == 200
    assert post(api, "events", body) == first
    assert api.call("POST", "/api/events", body)[0] == 400


def test_the_response_stays_the_same_after_deletion(api: Any) -> None:
    first = post(api, "cron jobs")
    assert api.call("DELETE", f"/api/cronjobs/{first[1]['id']}")[0] == 200

    assert post(api, "cron jobs") == first
    assert stored(api, "cron jobs") == []


@pytest.mark.parametrize("kind", CREATIONS)
def test_another_request_with_the_same_key_is_refused(api: Any, kind: str) -> None:
    post(api, kind)
    make_body = api.body if kind == "events" else api.cron_body

    status, response = post(api, kind, make_body(payload="other"))

    assert status == 422
    assert response == {"message": "Idempotency-Key was used for another request"}
    assert len(stored(api, kind)) == 1


def test_a_repeated_run_with_a_key_is_one_run(api: Any) -> None:
    body = api.cron_body(expression="0 0 1 1 *", options={"overlap": "skip"})
    jobs = [api.call("POST", "/api/cronjobs", body)[1] for _ in range(2)]
    paths = [f"/api/cronjobs/{job['id']}/run" for job in jobs]

    first, again = (api.call("POST", paths[0], headers=KEY_HEADER) for _ in range(2))
    replayed = api.headers[idempotency.REPLAYED]
    reused = api.call("POST", paths[1], headers=KEY_HEADER)
    too_long = api.call("POST", paths[1], headers={"Idempotency-Key": "k" * 256})
    runs = [api.call("GET", f"{path}s")[1]["runs"] for path in paths]

    assert (first[0], again, replayed) == (200, first, "true")
    assert reused == (422, {"message": "Idempotency-Key was used for another request"})
    assert too_long[0] == 400
    assert [len(runs_of_job) for runs_of_job in runs] == [1, 0]


def test_a_request_to_another_endpoint_is_another_request(api: Any) -> None:
    body = api.body() | api.cron_body()

    assert post(api, "events", body)[0] == 200
    assert post(api, "cron jobs", body)[0] == 422
    assert stored(api, "cron jobs") == []


def test_requests_with_other_keys_or_none_are_separate(api: Any) -> None:
    body = api.body()
    post(api, "events", body)
    post(api, "events", body, **{"Idempotency-Key": "order-8"})
    api.call("POST", "/api/events", body)
    api.call("POST", "/api/events", body)

    assert len(stored(api, "events")) == 4


def test_the_same_key_of_another_tenant_is_another_key(
    make_api: Callable[..., Any],
) -> None:
    own, other = make_api(), make_api()
    body = own.body()

    assert post(own, "events", body)[1] != post(other, "events", body)[1]
    assert len(stored(other, "events")) == 1


@pytest.mark.parametrize("kind", CREATIONS)
def test_s28_concurrent_equal_requests_create_one(
    make_api: Callable[..., Any], kind: str
) -> None:
    api = make_api(cron_jobs=1)
    body = api.body() if kind == "events" else api.cron_body()
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: post(api, kind, body), range(16)))

    assert responses == [responses[0]] * 16
    assert responses[0][0] == 200
    assert len(stored(api, kind)) == 1


@pytest.mark.parametrize("kind", CREATIONS)
def test_a_repeated_request_is_not_refused_by_a_used_up_quota(
    make_api: Callable[..., Any], kind: str
) -> None:
    api = make_api(cron_jobs=1, events_per_month=1)
    body = api.body() if kind == "events" else api.cron_body()
    first = post(api, kind, body)

    assert post(api, kind, body) == first
    assert post(api, kind, body, **{"Idempotency-Key": "another"})[0] == 400


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_an_empty_or_too_long_key_is_refused(api: Any, key: str) -> None:
    status, response = post(api, "events", **{"Idempotency-Key": key})

    assert status == 400
    assert response == {"message": "Idempotency-Key must have 1 to 255 characters"}
    assert stored(api, "events") == []


@pytest.mark.parametrize("key", ["k" * 255, "a b: \u00fc", '"quoted"'])
def test_any_other_key_is_accepted(api: Any, key: str) -> None:
    body = api.body()
    first = post(api, "events", body, **{"Idempotency-Key": key})

    assert first[0] == 200
    assert post(api, "events", body, **{"Idempotency-Key": key}) == first


def test_a_refused_request_sets_no_deduplication_key(api: Any) -> None:
    assert post(api, "events", api.body(payload=7))[0] == 400
    assert post(api, "events", api.body(scheduledTime="2020-01-01"))[0] == 400
    api.cell.client.set(keys.full(api.cell.prefix), 1, ex=60)
    assert post(api, "events")[0] == 503
    api.cell.client.delete(keys.full(api.cell.prefix))

    assert deduplication_keys(api) == []
    assert post(api, "events")[0] == 200


def test_a_key_is_kept_for_a_day(api: Any) -> None:
    post(api, "events")

    [key] = deduplication_keys(api)
    assert 86_390_000 < api.cell.client.pttl(key) <= 86_400_000


@pytest.mark.parametrize(("headers", "reads"), [({}, []), (KEY_HEADER, ["GET"])])
def test_only_a_request_with_a_key_costs_another_read(
    api: Any, headers: dict[str, str], reads: list[str]
) -> None:
    api.create()
    body, client = api.body(), api.cell.client
    with client.monitor() as monitor:
        assert api.call("POST", "/api/events", body, headers=headers)[0] == 200
        client.echo("end")
        commands = []
        for entry in monitor.listen():
            if entry["command"] == "ECHO end":
                break
            if entry["client_type"] != "lua":
                commands.append(entry["command"].partition(" ")[0])

    handshake = ("HELLO", "CLIENT")
    assert [name for name in commands if name not in handshake] == [*reads, "FCALL"]
