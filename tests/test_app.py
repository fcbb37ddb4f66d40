"""Tests of the application: errors, health, readiness, and an unreachable store."""

import logging
import pytest
import redis
import time
from flask import Flask
from scheduler_api.app import create_app
from scheduler_api.core.log_limit import LogLimit
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.core.store import functions, keys, layout
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.epoch import claim_database
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.dialects.outbound import SECRETS
from scheduler_api.settings import Settings
from scheduler_api.web import full_store, readiness
from scheduler_api.web.request_body import MAX_VALUES
from typing import Any

SECRET_KEY = "0123456789abcdef"
PREFIX = "{s1}:"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for checks of readiness for longer, because the machine may be busy."""
    monkeypatch.setattr(readiness, "TIMEOUT_S", 10.0)


def _app(url: str, **changes: Any) -> Flask:
    return create_app(Settings(redis_url=url, secret_key=SECRET_KEY, **changes))


@pytest.fixture
def client(valkey: str) -> redis.Redis:
    client = redis.Redis.from_url(valkey)
    client.flushall()
    return client


@pytest.fixture
def app(valkey: str, client: redis.Redis) -> Flask:
    return _app(valkey)


@pytest.fixture
def token(client: redis.Redis) -> str:
    layout.ensure(client, PREFIX)
    return (
        Tenants(Cell(client, PREFIX), secret_key=SECRET_KEY, makers=SECRETS)
        .create("one")
        .token
    )


@pytest.fixture
def app_without_store(free_port: int) -> Flask:
    return _app(f"redis://127.0.0.1:{free_port}/0")


def _report_alive(client: redis.Redis, *roles: str) -> None:
    for role in roles:
        client.set(keys.alive(PREFIX, role), "1")


def _set_epoch(client: redis.Redis, epoch: str) -> None:
    """Prepare the store as a ticker does when it starts."""
    claim_database(client, PREFIX)
    client.set(keys.epoch(PREFIX), epoch)


def test_settings_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, valkey: str, client: redis.Redis
) -> None:
    monkeypatch.setenv("REDIS_URL", valkey)
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("SCHED_ALLOW_NO_PERSISTENCE", "true")
    monkeypatch.setenv("SCHED_BODY_LIMIT_BYTES", "1000")
    monkeypatch.setattr(logging.root, "handlers", [])

    app = create_app()

    assert app.config["MAX_CONTENT_LENGTH"] == 6000 + 65_536


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)

    with pytest.raises(SettingsError, match="REDIS_URL"):
        create_app()


@pytest.fixture
def other_key(monkeypatch: pytest.MonkeyPatch, valkey: str) -> str:
    monkeypatch.setenv("REDIS_URL", valkey)
    monkeypatch.setenv("SECRET_KEY", "another secret key")
    monkeypatch.setenv("SCHED_ALLOW_NO_PERSISTENCE", "true")
    monkeypatch.setattr(logging.root, "handlers", [])
    return valkey


@pytest.mark.usefixtures("token")
def test_a_process_with_the_wrong_secret_key_exits_and_logs_the_reason(
    other_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SystemExit) as end:
        create_app()

    assert end.value.code == 3
    logged = [r.getMessage() for r in caplog.records if r.levelname == "CRITICAL"]
    [line] = logged
    assert "SECRET_KEY: the secrets in the store were encrypted with another" in line


@pytest.mark.usefixtures("client")
def test_a_process_starts_with_any_key_on_a_store_without_secrets(
    other_key: str,
) -> None:
    assert create_app().test_client().get("/healthz").status_code == 200


@pytest.mark.usefixtures("other_key")
def test_a_process_starts_while_the_store_is_unreachable(
    monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port}/0")

    assert create_app().test_client().get("/readyz").status_code == 503


@pytest.mark.usefixtures("token")
def test_readiness_checks_a_wrong_secret_key_again(
    valkey: str, client: redis.Redis
) -> None:
    _report_alive(client, "ticker", "worker")
    http = create_app(
        Settings(redis_url=valkey, secret_key="another secret key")
    ).test_client()
    refused = http.get("/readyz")
    client.flushall()
    _report_alive(client, "ticker", "worker")

    assert refused.status_code == 503
    assert refused.get_json()["missing"][0].startswith("SECRET_KEY: ")
    assert http.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/nothing", 404),
        ("GET", "/api", 404),
        ("GET", "/api/", 404),
        ("GET", "/api/nothing", 404),
        ("GET", "/api//events", 404),
        ("GET", "/api/events/1/2", 404),
        ("GET", "/api/Events", 404),
        ("DELETE", "/api/events", 405),
        ("DELETE", "/api/events/1", 405),
        ("PATCH", "/api/cronjobs/1", 405),
        ("POST", "/healthz", 405),
    ],
)
def test_errors_are_json_with_a_message(
    app: Flask, method: str, path: str, status: int
) -> None:
    answer = app.test_client().open(path, method=method)

    assert answer.status_code == status
    assert answer.mimetype == "application/json"
    body = answer.get_json()
    assert list(body) == ["message"] and body["message"]
    assert ("Allow" in answer.headers) is (status == 405)


def test_health_needs_no_store_and_no_key(app_without_store: Flask) -> None:
    answer = app_without_store.test_client().get("/healthz")

    assert answer.status_code == 200


def test_a_cell_with_store_ticker_and_worker_is_ready(
    app: Flask, client: redis.Redis
) -> None:
    _report_alive(client, "ticker", "worker")

    answer = app.test_client().get("/readyz")

    assert answer.status_code == 200
    assert answer.get_json()["status"] == "ok"


@pytest.mark.parametrize("missing", [["ticker"], ["worker"], ["ticker", "worker"]])
def test_readiness_names_the_missing_roles(
    app: Flask, client: redis.Redis, missing: list[str]
) -> None:
    _report_alive(client, *({"ticker", "worker"} - set(missing)))

    answer = app.test_client().get("/readyz")

    assert answer.status_code == 503
    assert answer.get_json()["missing"] == missing


def test_readiness_names_an_unreachable_store(app_without_store: Flask) -> None:
    answer = app_without_store.test_client().get("/readyz")

    assert answer.status_code == 503
    assert answer.get_json()["missing"] == [
        "the store does not answer: Connection refused"
    ]


@pytest.mark.parametrize("after", [None, "other"])
def test_a_store_that_lost_its_data_is_not_ready(
    app: Flask, client: redis.Redis, after: str | None
) -> None:
    _report_alive(client, "ticker", "worker")
    _set_epoch(client, "first")
    ready = app.test_client().get("/readyz").status_code
    client.flushall()
    _report_alive(client, "ticker", "worker")
    if after:
        client.set(keys.epoch(PREFIX), after)

    answer = app.test_client().get("/readyz")

    assert (ready, answer.status_code) == (200, 503)
    assert "was emptied or replaced" in answer.get_json()["missing"][0]


def test_a_store_is_ready_again_after_its_data_loss_is_accepted(
    app: Flask, client: redis.Redis
) -> None:
    _report_alive(client, "ticker", "worker")
    _set_epoch(client, "first")
    app.test_client().get("/readyz")
    client.set(keys.epoch(PREFIX), "second")
    refused = app.test_client().get("/readyz").status_code
    client.set(keys.accepted_epoch(PREFIX), "second")

    accepted = app.test_client().get("/readyz").status_code

    assert (refused, accepted) == (503, 200)


def test_readiness_loads_missing_functions_into_the_store(
    app: Flask, client: redis.Redis
) -> None:
    client.function_flush()
    _report_alive(client, "ticker", "worker")

    answer = app.test_client().get("/readyz")

    assert answer.status_code == 200
    assert len(client.function_list()) == 1


def test_a_store_too_full_to_load_the_functions_is_not_ready(
    app: Flask, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions, "REFUSED_FOR_S", 0)
    _report_alive(client, "ticker", "worker")
    http = app.test_client()
    before = http.get("/readyz").status_code
    client.function_flush()
    client.config_set("maxmemory", 1)
    try:
        refused = http.get("/readyz")
    finally:
        client.config_set("maxmemory", 0)

    after = http.get("/readyz").status_code

    assert (before, refused.status_code, after) == (200, 503, 200)
    assert refused.get_json()["missing"] == [readiness.NO_FUNCTIONS]


def test_a_full_store_that_has_the_functions_is_ready(
    app: Flask, client: redis.Redis
) -> None:
    _report_alive(client, "ticker", "worker")
    http = app.test_client()
    http.get("/readyz")
    client.config_set("maxmemory", 1)
    try:
        answer = http.get("/readyz")
    finally:
        client.config_set("maxmemory", 0)

    assert answer.status_code == 200


def test_r10_a_store_that_refuses_a_write_for_lack_of_memory_is_reported_as_full(
    app: Flask, client: redis.Redis, token: str
) -> None:
    http = app.test_client()
    headers = {"Authorization": f"Bearer {token}", "Upstash-Cron": "* * * * *"}
    http.get("/readyz")
    client.config_set("maxmemory", 1)
    try:
        answer = http.post("/v2/schedules/https://a.example/", headers=headers)
    finally:
        client.config_set("maxmemory", 0)

    assert answer.status_code == 503
    assert answer.get_json() == {"error": "The store is full, please try again later"}


def test_the_first_epoch_of_a_store_counts_as_no_data_loss(
    app: Flask, client: redis.Redis
) -> None:
    _report_alive(client, "ticker", "worker")
    before = app.test_client().get("/readyz").status_code
    client.set(keys.epoch(PREFIX), "first")

    assert before == app.test_client().get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/events"), ("GET", "/api/events"), ("GET", "/api/cronjobs/1")],
)
def test_requests_without_a_store_are_answered_503_within_seconds(
    app_without_store: Flask, method: str, path: str
) -> None:
    began_s = time.monotonic()
    answer = app_without_store.test_client().open(
        path, method=method, headers={"x-api-key": "any"}
    )

    assert time.monotonic() - began_s < 3
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert list(answer.get_json()) == ["message"]


def test_a_lost_connection_to_the_store_is_reopened(
    app: Flask, client: redis.Redis, token: str
) -> None:
    http, headers = app.test_client(), {"x-api-key": token}
    before = http.get("/api/events", headers=headers).status_code
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    after = http.get("/api/events", headers=headers).status_code

    assert (before, after) == (200, 200)


@pytest.mark.parametrize("problem", ["LOADING", "READONLY", "MISCONF", "MASTERDOWN"])
def test_a_store_that_refuses_to_serve_is_answered_503(
    app: Flask, problem: str
) -> None:
    @app.get("/trouble")
    def trouble() -> str:
        raise redis.ResponseError(f"{problem} and the rest of it")

    answer = app.test_client().get("/trouble")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"


def test_an_internal_error_is_json_and_is_logged_with_the_ids_of_its_route(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    # The parameters of some routes have the names of parameters of functions.
    @app.get("/broken/<event_id>/<name>/<endpoint>/<exc_info>")
    def broken(event_id: str, **_others: str) -> str:
        raise ZeroDivisionError(event_id)

    answer = app.test_client().get("/broken/77/hourly/x/y")

    assert answer.status_code == 500
    assert answer.get_json() == {"message": "Internal server error"}
    [line] = [r.getMessage() for r in caplog.records if "fault" in r.getMessage()]
    assert "event_id=77 name=hourly endpoint=broken" in line


def test_an_accepted_event_is_logged_in_one_line_without_its_payload(
    app: Flask, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    body = {
        "payload": "canary-1",
        "destination": "http://example.com/canary-2",
        "scheduledTime": "2399-01-01T00:00:00Z",
    }

    app.test_client().post("/api/events", json=body, headers={"x-api-key": token})

    (line,) = [r.getMessage() for r in caplog.records if "accepted" in r.getMessage()]
    assert line == "event.accepted event=1 owner=1:jiter due=2399-01-01T00:00:00.000Z"
    assert "canary" not in caplog.text and token not in caplog.text


def test_leading_slashes_are_part_of_the_path(app: Flask, token: str) -> None:
    def code(path: str) -> int:
        # If the path were an argument, the test client would take the `api` of
        # `//api/events` for the host.
        raw, headers = {"PATH_INFO": path}, {"x-api-key": token}
        http = app.test_client()
        return http.get("/", environ_overrides=raw, headers=headers).status_code

    assert code("/api/events") == code("/api/events/") == 200
    assert code("//api/events") == code("///api/events") == 404
    http = app.test_client()
    answer = http.get("/", environ_overrides={"PATH_INFO": "//v2/logs"}).get_json()
    assert "without a slash at its end" in answer["error"]
    assert code("/api//events") == code("/api/events//") == 404
    assert code("//v2/logs") == code("//healthz") == 404


def test_refusals_of_a_full_store_are_logged_once_and_then_counted(
    app: Flask,
    client: redis.Redis,
    token: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = LogLimit(
        limit=1, period_s=60, sum_up=full_store._sum_up, clock=lambda: 120.0
    )
    monkeypatch.setattr(full_store, "_limit", limit)
    client.set(keys.full(PREFIX), 1)
    web = app.test_client()

    for _ in range(5):
        answer = web.post("/v2/publish/http://a.example/", headers=bearer(token))
        assert answer.status_code == 503
    items = [{"destination": "http://a.example/"}] * 7
    web.post("/v2/batch", json=items, headers=bearer(token))
    limit.close()

    lines = [line for line in caplog.messages if line.startswith("store.full")]
    assert lines == [
        "store.full refused=requests",
        'store.full summary="… and 11 more: 4 requests, 7 items" requests=4 items=7',
    ]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "path", ["/api/events", "/api/cronjobs", "/v1/events", "/v2/queues", "/v2/batch"]
)
def test_s18_a_body_of_too_many_values_is_refused_in_every_api(
    app: Flask, token: str, path: str
) -> None:
    headers = {"x-api-key": token, "Authorization": f"Bearer {token}"}
    body = b'{"a":[' + b"," * MAX_VALUES
    app.config["MAX_CONTENT_LENGTH"] = 2 * len(body)

    answer = app.test_client().post(path, data=body, headers=headers)

    assert answer.status_code == 413
