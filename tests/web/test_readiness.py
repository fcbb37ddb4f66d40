"""Tests of `/readyz` on real stores: every cause of a 503, and of `degraded`."""

import json
import os
import pytest
import redis
import signal
import socket
import threading
import time
from collections.abc import Iterator
from flask import Flask
from flask.testing import FlaskClient
from ipaddress import ip_network
from scheduler_api.app import create_app
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store import clock_step, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.clock_step import ClockStep
from scheduler_api.core.store.epoch import accept, claim_database
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.fitness import NO_LONGER_PERSISTENT
from scheduler_api.core.store.id_sequence import IdSequence
from scheduler_api.core.store.processes import KEPT_MS, SignOfLife
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.tokens import Tokens
from scheduler_api.dialects.outbound import SECRETS
from scheduler_api.settings import Settings
from scheduler_api.web import readiness
from typing import Any

SECRET_KEY = "0123456789abcdef"
PREFIX = "{s1}:"
MINUTE_MS = 60_000
REMOTE = "203.0.113.9"


# On a busy machine, an ordinary check may take longer than in production.
PATIENT_S = 10.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "TIMEOUT_S", PATIENT_S)


def app_on(url: str, **changes: Any) -> Flask:
    return create_app(Settings(redis_url=url, secret_key=SECRET_KEY, **changes))


@pytest.fixture
def client(valkey: str) -> Iterator[redis.Redis]:
    """A client of a store with a running ticker and worker."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        claim_database(client, PREFIX)
        # The application has seen the store of the previous test.
        accept(client, PREFIX)
        start(client, "ticker")
        start(client, "worker", inFlight=3, capacity=100, slow=False)
        yield client


@pytest.fixture(scope="module")
def app(valkey: str) -> Flask:
    return app_on(valkey)


@pytest.fixture
def http(app: Flask, client: redis.Redis) -> FlaskClient:
    return app.test_client()


def start(client: redis.Redis, role: str, settings: str = "", **load: Any) -> None:
    """Report a process of a role."""
    digest = settings or Settings(redis_url="", secret_key=SECRET_KEY).digest()
    SignOfLife(Cell(client, PREFIX), role, settings=digest, shared={}).report(load)


def store_process(
    client: redis.Redis, role: str, *, since_ms: int, seen_ms: int, settings: str
) -> None:
    """Store a report as `report_alive` does, with any times."""
    report = {
        "role": role,
        "host": "h",
        "pid": 1,
        "version": "1",
        "settings": settings,
        "load": {},
    }
    value = f"{since_ms} {seen_ms} {json.dumps(report)}"
    client.hset(keys.processes(PREFIX), f"{role}-{settings}", value)


def ready(http: FlaskClient) -> tuple[int, dict[str, Any]]:
    answer = http.get("/readyz")
    return answer.status_code, answer.get_json()


def now_ms(client: redis.Redis) -> int:
    return Cell(client, PREFIX).now_ms()


# 503


def test_a_complete_cell_is_ready(http: FlaskClient) -> None:
    status, body = ready(http)

    assert (status, body["status"]) == (200, "ok")
    assert body.keys() == {"status", "oldestDueAgeMs", "processes"}


def test_r10_a_store_that_stops_to_write_its_file_is_degraded(
    client: redis.Redis, valkey: str
) -> None:
    http, found = app_on(valkey).test_client(), []
    for value in ("no", "yes", "no"):
        client.config_set("appendonly", value)
        found.append(ready(http)[1].get("degraded"))

    assert found == [None, None, [NO_LONGER_PERSISTENT]]


def test_a_store_that_may_evict_keys_is_not_ready(
    http: FlaskClient, client: redis.Redis
) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        status, body = ready(http)
    finally:
        client.config_set("maxmemory-policy", "noeviction")

    assert (status, body["missing"]) == (503, [readiness.STORE_EVICTING])
    assert ready(http)[0] == 200


def test_a_replica_is_not_ready_until_it_is_promoted(
    client: redis.Redis, own_valkey: tuple[str, int]
) -> None:
    replica = redis.Redis.from_url(own_valkey[0])
    primary = client.connection_pool.connection_kwargs
    client.config_set("repl-diskless-sync-delay", 0)
    replica.replicaof("127.0.0.1", primary["port"])
    while replica.info("replication")["master_link_status"] != "up":
        time.sleep(0.02)
    on_replica = app_on(own_valkey[0]).test_client()

    for role in readiness.ROLES:
        start(client, role)
    client.wait(1, 5_000)
    read_only = ready(on_replica)
    replica.config_set("replica-read-only", "no")
    writable = ready(on_replica)
    replica.replicaof("NO", "ONE")

    for status, body in (read_only, writable):
        assert (status, body["missing"]) == (503, [readiness.STORE_REPLICA])
    assert ready(on_replica)[0] == 200


def test_a_store_that_refuses_writes_is_not_ready(
    http: FlaskClient, client: redis.Redis
) -> None:
    client.config_set("min-replicas-to-write", 1)
    try:
        status, body = ready(http)
    finally:
        client.config_set("min-replicas-to-write", 0)

    assert status == 503
    assert body["missing"] == ["the store refuses writes: it has too few replicas"]


def test_a_frozen_store_is_reported_without_waiting_for_it(
    own_valkey: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, pid = own_valkey
    http = app_on(url).test_client()
    ready(http)
    monkeypatch.undo()
    monkeypatch.setattr(readiness, "TIMEOUT_S", 0.05)
    os.kill(pid, signal.SIGSTOP)
    began_s = time.monotonic()
    try:
        status, body = ready(http)
    finally:
        os.kill(pid, signal.SIGCONT)

    # The time-out of other requests is 2 s.
    assert time.monotonic() - began_s < 1
    assert status == 503
    assert body == {
        "status": "unavailable",
        "missing": ["the store does not answer: timed out"],
    }


def test_a_store_that_was_stopped_is_not_ready(own_valkey: tuple[str, int]) -> None:
    url, pid = own_valkey
    http = app_on(url).test_client()
    ready(http)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    status, body = ready(http)

    assert status == 503
    assert body["missing"] == ["the store does not answer: Connection refused"]


def test_a_wrong_password_is_told_apart_from_an_absent_store(
    own_valkey: tuple[str, int],
) -> None:
    url, _ = own_valkey
    redis.Redis.from_url(url).config_set("requirepass", "secret")
    for wrong in (url, url.replace("//", "//:other@")):
        status, body = ready(app_on(wrong).test_client())

        assert status == 503
        assert body["missing"] == [
            "the store refuses the user or password in REDIS_URL"
        ]


def test_a_server_that_is_no_store_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            client.close()

        threading.Thread(target=answer, daemon=True).start()
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        status, body = ready(app_on(url).test_client())

    assert (status, body["missing"]) == (503, [readiness.NO_STORE])


def test_the_code_of_an_unexpected_error_is_shown_and_the_error_is_logged(
    http: FlaskClient, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    client.delete(keys.processes(PREFIX))
    client.set(keys.processes(PREFIX), "x")

    status, body = ready(http)

    assert status == 503
    assert body["missing"] == ["the store replies with an error: WRONGTYPE"]
    assert "holding the wrong kind of value" in caplog.text


def test_r30_a_store_set_back_to_an_older_state_is_not_ready_until_it_is_accepted(
    http: FlaskClient, client: redis.Redis
) -> None:
    sequence = IdSequence(Cell(client, PREFIX))
    for _ in range(3):
        sequence.next()
    before = ready(http)[0]
    client.set(keys.sequence(PREFIX), 1)

    status, body = ready(http)
    accept(client, PREFIX)

    assert (before, status) == (200, 503)
    assert body["missing"] == [readiness.STORE_OLDER]
    assert ready(http)[0] == 200


def test_a_role_is_missing_after_its_last_process_has_ended(
    http: FlaskClient, client: redis.Redis
) -> None:
    client.delete(keys.alive(PREFIX, "worker"))

    status, body = ready(http)

    assert (status, body["missing"]) == (503, ["worker"])


def test_processes_of_older_versions_count(
    http: FlaskClient, client: redis.Redis
) -> None:
    client.delete(keys.processes(PREFIX))

    assert ready(http)[0] == 200


def test_several_causes_are_reported_at_once(
    http: FlaskClient, client: redis.Redis
) -> None:
    ready(http)
    client.set(keys.epoch(PREFIX), "other")
    client.delete(keys.alive(PREFIX, "ticker"))

    assert ready(http)[1]["missing"] == [readiness.STORE_CHANGED, "ticker"]


# Degraded


def test_a_store_that_the_ticker_has_marked_as_full_is_degraded(
    http: FlaskClient, client: redis.Redis
) -> None:
    client.set(keys.full(PREFIX), 1, ex=60)

    status, body = ready(http)

    assert (status, body["status"]) == (200, "degraded")
    assert body["degraded"] == [readiness.STORE_FULL]


@pytest.mark.parametrize(
    ("used_percent", "reason"),
    [(95, readiness.STORE_FULL), (200, readiness.STORE_AT_LIMIT)],
)
def test_a_full_store_is_degraded_without_a_ticker_too(
    http: FlaskClient, client: redis.Redis, used_percent: int, reason: str
) -> None:
    ready(http)
    used = client.info("memory")["used_memory"]
    client.config_set("maxmemory", used * 100 // used_percent)
    try:
        status, body = ready(http)
    finally:
        client.config_set("maxmemory", 0)

    assert (status, body["status"]) == (200, "degraded")
    assert body["degraded"] == [reason]


def test_a_process_reports_in_a_full_store(
    http: FlaskClient, client: redis.Redis
) -> None:
    ready(http)
    client.delete(keys.alive(PREFIX, "worker"))
    client.config_set("maxmemory", 1)
    try:
        start(client, "worker")
        status = ready(http)[0]
    finally:
        client.config_set("maxmemory", 0)

    assert status == 200


def test_a_slow_worker_is_degraded(http: FlaskClient, client: redis.Redis) -> None:
    start(client, "worker", inFlight=100, capacity=100, slow=True)

    status, body = ready(http)

    assert (status, body["status"]) == (200, "degraded")
    assert body["degraded"] == [
        "slow receivers take more than half of the deliveries in 1 of 2 workers"
    ]


def test_r20_a_worker_that_suspects_itself_is_degraded(
    http: FlaskClient, client: redis.Redis
) -> None:
    start(client, "worker", inFlight=0, capacity=100, slow=False, suspected=True)

    status, body = ready(http)

    assert (status, body["status"]) == (200, "degraded")
    assert body["degraded"] == [
        "1 of 2 workers can reach no destination: "
        "check their networks, name servers and limits of open files"
    ]


@pytest.mark.parametrize(
    ("ages_min", "is_degraded"),
    [
        # The ages of a process with settings `a`, and of two with settings `b`.
        ((60, 6, 1), True),
        ((60, 4, 1), False),
        ((4, 60, 50), False),
        ((6, 60, 1), True),
    ],
)
def test_settings_may_differ_for_five_minutes(
    http: FlaskClient,
    client: redis.Redis,
    ages_min: tuple[int, int, int],
    is_degraded: bool,
) -> None:
    client.delete(keys.processes(PREFIX))
    at_ms, own = now_ms(client), Settings(redis_url="", secret_key=SECRET_KEY).digest()
    for role, settings, age in zip("xyz", (own, "b", "b"), ages_min, strict=True):
        since_ms = at_ms - age * MINUTE_MS
        store_process(client, role, since_ms=since_ms, seen_ms=at_ms, settings=settings)

    status, body = ready(http)

    assert status == 200
    assert body.get("degraded", []) == [readiness.SETTINGS_DIFFER] * is_degraded


def test_the_digest_of_the_settings_covers_what_all_processes_must_share() -> None:
    plain = Settings(redis_url="redis://a", secret_key=SECRET_KEY)
    local = Settings(redis_url="redis://b", secret_key=SECRET_KEY, max_in_flight=7)
    lease = Settings(redis_url="redis://a", secret_key=SECRET_KEY, lease_ms=14_000)
    key = Settings(redis_url="redis://a", secret_key=SECRET_KEY + "x")

    assert plain.digest() == local.digest()
    assert len({each.digest() for each in (plain, lease, key)}) == 3


# The oldest due event


def test_r25_the_age_of_the_oldest_due_event_is_shown(
    http: FlaskClient, client: redis.Redis
) -> None:
    store = EventStore(Cell(client, PREFIX, clock_ms=now_ms(client) - MINUTE_MS))
    later = Draft(Content("https://a.example", b""), 1_000, delay_ms=10 * MINUTE_MS)
    due = Draft(Content("https://a.example", b""), 1_000)
    owner = Owner("1", "jiter")

    empty = ready(http)[1]["oldestDueAgeMs"]
    store.create(owner, later)
    future = ready(http)[1]["oldestDueAgeMs"]
    store.create(owner, due)
    overdue = ready(http)[1]["oldestDueAgeMs"]

    assert empty == future == 0
    assert overdue >= MINUTE_MS


# Processes


def test_each_process_is_listed_with_what_it_does(
    http: FlaskClient, client: redis.Redis
) -> None:
    start(client, "worker", inFlight=7, capacity=100, slow=False)

    processes = ready(http)[1]["processes"]

    assert [each["role"] for each in processes] == ["ticker", "worker", "worker"]
    assert [each["load"].get("inFlight") for each in processes] == [None, 3, 7]
    assert processes[0].keys() == {
        *("role", "host", "pid", "version", "settings", "since", "lastSeen", "load")
    }
    assert processes[0]["pid"] == os.getpid()


def test_a_process_keeps_the_time_of_its_first_report(client: redis.Redis) -> None:
    cell = Cell(client, PREFIX)
    sign = SignOfLife(cell, "clock", settings="a", shared={})
    for clock_ms in (1_000_000, 1_004_000, 1_008_000):
        cell.clock_ms = clock_ms
        sign.report()

    [value] = client.hvals(keys.processes(PREFIX))
    assert value.startswith(b"1000000 1008000 ")


def test_a_process_that_was_asked_to_end_disappears_at_once(
    http: FlaskClient, client: redis.Redis
) -> None:
    sign = SignOfLife(Cell(client, PREFIX), "clock", settings="a", shared={})
    sign.report()
    before = {each["role"] for each in ready(http)[1]["processes"]}
    sign.end()
    sign.report()
    after = {each["role"] for each in ready(http)[1]["processes"]}

    assert "clock" in before
    assert after >= {"ticker", "worker"}
    assert "clock" not in after


@pytest.mark.parametrize("role", ["clock", "chores"])
def test_a_cell_without_a_process_that_sends_the_wanted_alerts_is_degraded(
    valkey: str, client: redis.Redis, http: FlaskClient, role: str
) -> None:
    wants_alerts = app_on(valkey, alert_url="https://ops.example/").test_client()
    without = ready(wants_alerts), ready(http)
    start(client, role)

    assert without[0][0] == 200
    assert without[0][1]["degraded"] == [readiness.NOBODY_WATCHES]
    assert without[1][1]["status"] == ready(wants_alerts)[1]["status"] == "ok"


@pytest.mark.parametrize("offset_ms", [-2 * KEPT_MS, 2 * KEPT_MS])
def test_a_process_that_has_ended_disappears(
    http: FlaskClient, client: redis.Redis, offset_ms: int
) -> None:
    at_ms = now_ms(client) + offset_ms
    store_process(client, "clock", since_ms=0, seen_ms=at_ms, settings="old")

    shown = ready(http)[1]["processes"]
    start(client, "worker")

    assert "clock" not in [each["role"] for each in shown]
    assert not client.hexists(keys.processes(PREFIX), "clock-old")


def test_reports_of_unknown_form_are_left_out(
    http: FlaskClient, client: redis.Redis
) -> None:
    at_ms = now_ms(client)
    client.hset(keys.processes(PREFIX), "a", f"{at_ms} {at_ms} {{}}")
    client.hset(keys.processes(PREFIX), "b", "nonsense")

    status, body = ready(http)

    assert (status, len(body["processes"])) == (200, 2)


@pytest.mark.usefixtures("client")
def test_processes_are_shown_to_this_machine_only(valkey: str) -> None:
    requests: list[tuple[str, dict[str, str], bool]] = [
        ("127.0.0.1", {}, True),
        (REMOTE, {}, False),
        ("127.0.0.1", {"X-Forwarded-For": REMOTE}, False),
        (REMOTE, {"X-Forwarded-For": "127.0.0.1"}, False),
    ]
    for trusted in ((), (ip_network("127.0.0.0/8"),)):
        http = app_on(valkey, trusted_proxies=trusted).test_client()
        for address, headers, are_shown in requests:
            environ = {"REMOTE_ADDR": address}
            answer = http.get("/readyz", headers=headers, environ_base=environ)
            assert ("processes" in answer.get_json()) is are_shown


def test_processes_are_shown_to_an_operator(
    http: FlaskClient, client: redis.Redis
) -> None:
    tenants = Tenants(Cell(client, PREFIX), secret_key=SECRET_KEY, makers=SECRETS)
    tokens = {
        "operator": Tokens(Cell(client, PREFIX)).create(None, "ops"),
        "tenant": tenants.create("one").token,
        "nobody": "wrong",
    }

    def shown(token: str) -> set[bool]:
        environ = {"REMOTE_ADDR": REMOTE}
        return {
            "processes"
            in http.get("/readyz", headers=headers, environ_base=environ).get_json()
            for headers in ({"Authorization": f"Bearer {token}"}, {"X-API-Key": token})
        }

    assert {name: shown(token) for name, token in tokens.items()} == {
        "operator": {True},
        "tenant": {False},
        "nobody": {False},
    }


# The store's clock


@pytest.mark.parametrize("stops", [False, True])
def test_r31_a_step_of_the_stores_clock_is_shown(
    client: redis.Redis, valkey: str, stops: bool
) -> None:
    http = app_on(valkey, stop_on_clock_step=stops).test_client()
    client.set(keys.clock_step(PREFIX), str(ClockStep(1_000_000, 700_000)))

    status, body = ready(http)
    clock_step.accept(client, PREFIX)

    assert status == (503 if stops else 200)
    [reason] = body["missing" if stops else "degraded"]
    assert "clock has stepped by -300.0 s" in reason
    assert ready(http)[1]["status"] == "ok"
