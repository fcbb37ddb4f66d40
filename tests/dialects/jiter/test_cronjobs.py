"""Tests of cron jobs: every endpoint, and the history of executions."""

import json
import pytest
from collections.abc import Callable
from scheduler_api.core.ids import to_id
from scheduler_api.core.store import keys
from scheduler_api.core.store.records import SCHEDULE
from scheduler_api.core.timestamps import from_iso, to_iso
from typing import Any

MINUTE_MS = 60_000
DAY_MS = 86_400_000
BAD_EXPRESSION = (400, {"message": "Please enter a valid cron expression"})
NOT_FOUND = (404, {"message": "Unable to find cron job"})
PATHS = ["/api/cronjobs", "/api/cronJobs", "/api/cronjobs/", "/api/cronJobs/"]


def _get(api: Any, job: dict[str, Any]) -> dict[str, Any]:
    status, body = api.call("GET", f"/api/cronjobs/{job['id']}")
    assert status == 200, body
    return dict(body)


def _put(api: Any, job: dict[str, Any], **body: Any) -> Any:
    return api.call("PUT", f"/api/cronjobs/{job['id']}", body)


def _fire(api: Any, job: dict[str, Any]) -> tuple[str, int]:
    """Claim the event of a job's next fire time; return its id and the fire time."""
    fire_ms = from_iso(_get(api, job)["nextExecutionDate"])
    api.engine.offer(now_ms=fire_ms)
    return f"{to_id(int(job['id']))}.{fire_ms // 1000}", fire_ms


def test_a_created_cron_job_has_exactly_the_documented_fields(api: Any) -> None:
    body = api.cron_body(expression="* * * * *")
    status, job = api.call("POST", "/api/cronjobs", body)

    now_ms = api.cell.now_ms()
    assert status == 200
    assert job == {
        "id": "1",
        "org": api.owner.tenant,
        "payload": "tick",
        "destination": "https://example.com/hook",
        "expression": "* * * * *",
        "status": "Active",
        "nextExecutionStatus": "Pending",
        "nextExecutionDate": job["nextExecutionDate"],
        "createdAt": job["createdAt"],
        "updatedAt": job["createdAt"],
        "options": {
            "timeZone": "UTC",
            "gap": "after",
            "fold": "first",
            "missedRuns": "latest",
            "overlap": "run",
        },
        "history": [],
    }
    next_ms = from_iso(job["nextExecutionDate"])
    assert next_ms % MINUTE_MS == 0
    assert 0 < next_ms - now_ms <= MINUTE_MS


@pytest.mark.parametrize("path", PATHS)
def test_both_spellings_support_every_method(api: Any, path: str) -> None:
    status, job = api.call("POST", path, api.cron_body())
    job_path = f"{path.rstrip('/')}/{job['id']}"
    slash = "/" if path.endswith("/") else ""

    assert status == 200
    assert api.call("GET", path)[0] == 200
    assert api.call("GET", job_path + slash)[0] == 200
    assert api.call("PUT", job_path + slash, {"payload": "x"})[0] == 200
    assert api.call("DELETE", job_path + slash)[0] == 200
    assert api.call("GET", job_path) == NOT_FOUND


@pytest.mark.parametrize(
    "expression",
    [
        "*/5 * * * *",
        "0 9-17 * * mon-FRI",
        "1,2,3 0 1 JAN 7",
        " 0  0\t1 1 * ",
        "@hourly",
        "@daily",
        "@weekly",
        "@monthly",
        "@yearly",
        "@annually",
    ],
)
def test_an_expression_is_stored_unchanged(api: Any, expression: str) -> None:
    assert api.create_cron(expression=expression)["expression"] == expression


@pytest.mark.parametrize(
    "expression",
    [
        ...,
        None,
        5,
        [],
        "",
        "x",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "@reboot",
        "@every 1m",
        "0 0 30 2 *",
        "TZ=Europe/Berlin 0 0 * * *",
        "* * * * *\x00",
        "\ud83d * * * *",
        "9" * 100_000,
        "2026-01-01T00:00:00Z",
    ],
)
def test_a_wrong_expression_is_refused(api: Any, expression: Any) -> None:
    body = api.cron_body(expression=expression)

    assert api.call("POST", "/api/cronjobs", body) == BAD_EXPRESSION
    assert api.call("GET", "/api/cronjobs") == (200, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"payload": ...}, "'payload' must be a string"),
        ({"payload": 5}, "'payload' must be a string"),
        ({"destination": ...}, "Please enter a valid destination"),
        ({"destination": "x"}, "Please enter a valid destination"),
    ],
)
def test_wrong_fields_are_refused(
    api: Any, change: dict[str, Any], message: str
) -> None:
    response = api.call("POST", "/api/cronjobs", api.cron_body(**change))

    assert response == (400, {"message": message})


def test_the_list_has_all_jobs_without_history_oldest_first(api: Any) -> None:
    jobs = [api.create_cron(payload=str(n)) for n in range(12)]
    _, disabled = _put(api, jobs[3], status="Disabled")
    jobs[3] = disabled

    status, listed = api.call("GET", "/api/cronjobs")

    for job in jobs:
        del job["history"]
    assert (status, listed) == (200, jobs)


def test_each_field_can_be_edited_separately(api: Any) -> None:
    job = api.create_cron()
    changes = [
        {"payload": "other \ud83d"},
        {"destination": "http://other.example/"},
        {"status": "Disabled"},
        {"status": "Active"},
    ]

    expected = job
    for change in changes:
        status, edited = _put(api, job, **change)
        times = {n: edited[n] for n in ("updatedAt", "nextExecutionDate")}
        expected = expected | change | times

        assert (status, edited) == (200, expected)
    assert _get(api, job) == expected


def test_a_new_expression_changes_the_next_execution(api: Any) -> None:
    job = api.create_cron()

    status, edited = _put(api, job, expression="0 0 1 1 *")

    assert status == 200
    assert edited["nextExecutionDate"].endswith("-01-01T00:00:00.000Z")


def test_an_empty_edit_changes_nothing(api: Any) -> None:
    job = api.create_cron()

    assert _put(api, job) == (200, job)


@pytest.mark.parametrize("status", ["active", "Pending", "", None, 5, []])
def test_status_is_active_or_disabled(api: Any, status: Any) -> None:
    job = api.create_cron()

    response = _put(api, job, status=status, payload="x")

    message = "'status' must be one of 'Active' or 'Disabled'"
    assert response == (400, {"message": message})
    assert _get(api, job) == job


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expression": "x"}, "Please enter a valid cron expression"),
        ({"expression": None}, "Please enter a valid cron expression"),
        ({"payload": 5}, "'payload' must be a string"),
        ({"destination": "x"}, "Please enter a valid destination"),
    ],
)
def test_a_refused_edit_changes_nothing(
    api: Any, change: dict[str, Any], message: str
) -> None:
    job = api.create_cron()
    valid = {"payload": "new", "expression": "@daily", "status": "Disabled"}

    assert _put(api, job, **(valid | change)) == (400, {"message": message})
    assert _get(api, job) == job


def test_a_disabled_job_keeps_its_next_date_but_is_not_due(api: Any) -> None:
    job = api.create_cron()

    _, disabled = _put(api, job, status="Disabled")

    assert disabled["status"] == "Disabled"
    assert disabled["nextExecutionStatus"] == "Pending"
    assert from_iso(disabled["nextExecutionDate"]) > api.cell.now_ms()
    assert api.cell.client.zcard(keys.due(api.cell.prefix)) == 0


@pytest.mark.parametrize("text", ["2", "0", "x", "01", "9" * 40, "%00", "-1"])
def test_an_unknown_id_is_not_found(api: Any, text: str) -> None:
    api.create_cron()

    for method, body in (("GET", None), ("PUT", {"payload": "x"}), ("DELETE", None)):
        assert api.call(method, f"/api/cronjobs/{text}", body) == NOT_FOUND


def test_an_id_of_an_event_is_not_found_as_a_cron_job_and_vice_versa(api: Any) -> None:
    event, job = api.create(), api.create_cron()

    assert api.call("GET", f"/api/cronjobs/{event['id']}") == NOT_FOUND
    assert api.call("GET", f"/api/events/{job['id']}")[0] == 404


def test_a_deleted_job_is_not_found_and_not_due(api: Any) -> None:
    job = api.create_cron()

    status, deleted = api.call("DELETE", f"/api/cronjobs/{job['id']}")

    assert (status, deleted["id"]) == (200, job["id"])
    assert api.call("GET", "/api/cronjobs") == (200, [])
    assert api.cell.client.zcard(keys.due(api.cell.prefix)) == 0
    assert api.call("DELETE", f"/api/cronjobs/{job['id']}") == NOT_FOUND


def test_a_running_execution_is_queued_until_it_ends(api: Any) -> None:
    job, other = api.create_cron(), api.create_cron()
    occurrence, fire_ms = _fire(api, job)
    created = _get(api, job)["nextExecutionStatus"]
    begun = api.engine.begin(occurrence, now_ms=fire_ms)
    begun_status = _get(api, job)["nextExecutionStatus"]
    listed = [item["nextExecutionStatus"] for item in api.call("GET", PATHS[0])[1]]
    api.engine.settle(begun, "delivered", now_ms=fire_ms, status=200)

    assert (created, begun_status) == ("Pending", "Queued")
    assert listed == ["Queued", "Pending"]
    assert _get(api, job)["nextExecutionStatus"] == "Pending"
    assert _get(api, other)["nextExecutionStatus"] == "Pending"


def test_the_history_has_the_attempts_of_all_executions_oldest_first(api: Any) -> None:
    job = api.create_cron()
    cron, (first, fire_ms) = job["id"], _fire(api, job)
    api.engine.attempt(first, "retry", now_ms=fire_ms, status=500, response="no")
    signed = {"X-Jiter-Request-Timestamp": "5", "X-Jiter-Signature": "abc="}
    after_ms = fire_ms + 3_000
    api.engine.attempt(first, "delivered", now_ms=after_ms, status=200, signed=signed)
    second_ms = fire_ms + DAY_MS
    api.engine.offer(now_ms=second_ms)
    second = f"{to_id(int(cron))}.{second_ms // 1000}"
    api.engine.attempt(second, "dead", now_ms=second_ms, error="timeout")

    history = _get(api, job)["history"]

    assert [record.get("status") for record in history] == ["500", "200", None]
    assert {record["cron"] for record in history} == {cron}
    assert not any("event" in record for record in history)
    ids = [int(record["id"]) for record in history]
    assert ids == sorted(set(ids))
    assert history[0]["responseData"] == "no"
    assert history[1]["updatedAt"] == to_iso(after_ms)
    request = json.loads(history[1]["requestData"])
    assert request["headers"]["X-Jiter-Request-Timestamp"] == 5
    assert request["body"] == {"payload": "tick", "scheduledTime": to_iso(fire_ms)}
    assert _get(api, job)["status"] == "Active"


def test_the_history_keeps_the_payload_from_before_an_edit(api: Any) -> None:
    job = api.create_cron()
    occurrence, fire_ms = _fire(api, job)
    _put(api, job, payload="new")
    api.engine.attempt(occurrence, "delivered", now_ms=fire_ms, status=200)

    record = _get(api, job)["history"][0]

    assert json.loads(record["requestData"])["body"]["payload"] == "tick"


def test_the_history_without_an_old_template_has_its_attempts(api: Any) -> None:
    job = api.create_cron()
    occurrence, fire_ms = _fire(api, job)
    api.engine.attempt(occurrence, "delivered", now_ms=fire_ms, status=200)
    _put(api, job, payload="new")
    for key in api.cell.client.zrange(keys.superseded(api.cell.prefix), 0, -1):
        schedule, _, revision = key.decode().partition(":")
        api.cell.client.delete(keys.template(api.cell.prefix, schedule, revision))

    (record,) = _get(api, job)["history"]

    assert record["status"] == "200"
    assert "body" not in json.loads(record["requestData"])


def test_a_broken_index_is_an_internal_error(api: Any) -> None:
    key = keys.schedules(api.cell.prefix, str(api.owner))
    api.cell.client.set(key, "no index")

    response = api.call("GET", "/api/cronjobs")

    assert response == (500, {"message": "Unable to retrieve cron jobs"})


def test_an_unreadable_record_is_an_internal_error(api: Any) -> None:
    job = api.create_cron()
    key = keys.schedule(api.cell.prefix, to_id(int(job["id"])))
    api.cell.client.hset(key, SCHEDULE.code("created_ms"), "never")

    found = api.call("GET", f"/api/cronjobs/{job['id']}")
    edited = _put(api, job, payload="x")

    assert found == (500, {"message": "An error ocurred finding the cron job"})
    assert edited == (500, {"message": "Unable to edit the cron job"})


def test_a_broken_id_sequence_is_an_internal_error(api: Any) -> None:
    api.cell.client.set(keys.sequence(api.cell.prefix), "no number")

    response = api.call("POST", "/api/cronjobs", api.cron_body())

    assert response == (500, {"message": "Unable to create the cron job"})


def test_a_setting_limits_the_number_of_cron_jobs(
    make_api: Callable[..., Any],
) -> None:
    api = make_api(cron_jobs=2)
    first, _ = api.create_cron(), api.create_cron()

    refused = api.call("POST", "/api/cronjobs", api.cron_body())
    api.call("DELETE", f"/api/cronjobs/{first['id']}")

    assert refused == (400, {"message": "You cannot have more than 2 cron jobs"})
    assert api.call("POST", "/api/cronjobs", api.cron_body())[0] == 200


OPTIONS = {
    "timeZone": "Europe/Berlin",
    "gap": "skip",
    "fold": "both",
    "missedRuns": "all",
    "mostMissed": 7,
    "startDate": "2031-01-01T00:00:00.000Z",
    "endDate": "2032-01-01T00:00:00.000Z",
    "maxRuns": 12,
    "jitter": "90s",
    "overlap": "skip",
}


def test_returned_options_can_be_sent_again(api: Any) -> None:
    body = api.cron_body(options=OPTIONS)
    _, created = api.call("POST", "/api/cronjobs", body)
    path = f"/api/cronjobs/{created['id']}"

    _, same = api.call("PUT", path, {"options": created["options"]})
    _, changed = api.call("PUT", path, {"options": {"jitter": None, "maxRuns": 3}})
    _, other = api.call("PUT", path, {"payload": "other"})

    assert created["options"] == same["options"] == OPTIONS
    expected = OPTIONS | {"maxRuns": 3}
    del expected["jitter"]
    assert changed["options"] == other["options"] == expected


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "'options' must be an object"),
        (None, "'options' must be an object"),
        ({"maxRuns": 0}, "'options.maxRuns' should be a whole number"),
        ({"maxRuns": 1.0}, "'options.maxRuns' should be a whole number"),
        ({"maxRuns": 10**30}, "'options.maxRuns' should be a whole number"),
        ({"jitter": 10**30}, "'options.jitter' should be a duration"),
        ({"maxRun": 1}, "'options.maxRun' is unknown"),
        ({"endDate": "2020-01-01T00:00Z"}, "'options.endDate' should be in the"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_stored(
    api: Any, options: Any, problem: str
) -> None:
    job = api.create_cron()

    responses = [
        api.call("POST", "/api/cronjobs", api.cron_body(options=options)),
        api.call("PUT", f"/api/cronjobs/{job['id']}", {"options": options}),
    ]

    for status, response in responses:
        assert status == 400
        assert response["message"].startswith(problem)
    [stored] = api.call("GET", "/api/cronjobs")[1]
    assert stored["options"] == job["options"]


def test_a_cron_job_can_be_run_now_and_lists_its_runs(api: Any) -> None:
    body = api.cron_body(expression="0 0 1 1 *", options={"overlap": "skip"})
    _, job = api.call("POST", "/api/cronjobs", body)
    path = f"/api/cronjobs/{job['id']}"

    status, response = api.call("POST", f"{path}/run")
    again = api.call("POST", f"{path}/run")
    _, listed = api.call("GET", f"{path}/runs")

    assert (status, response["nextExecutionDate"]) == (200, job["nextExecutionDate"])
    assert again == (409, {"message": "The execution before this one has not ended"})
    [run] = listed["runs"]
    assert (run["outcome"], run["state"]) == ("run by hand", "waiting")
    assert run["execution"].startswith(f"{job['id']}.")
    assert api.call("GET", f"{path}/runs?count=0")[0] == 400
    assert api.call("POST", "/api/cronjobs/999/run")[0] == 404
    assert api.call("GET", "/api/cronjobs/999/runs")[0] == 404
