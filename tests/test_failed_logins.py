"""Tests that requests with wrong tokens are slowed down by address (S-29)."""

import pytest
import redis
from collections.abc import Iterator
from flask.testing import FlaskClient
from ipaddress import ip_network
from scheduler_api.app import create_app
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.dialects.outbound import SECRETS
from scheduler_api.failed_logins import (
    ALLOWED_FAILURES,
    LOGGED_ADDRESSES,
    MAX_ADDRESSES,
    FailedLogins,
    TooManyFailedLogins,
)
from scheduler_api.settings import Settings
from tests.clock import Clock
from typing import Any

HERE, THERE = "192.0.2.1", "192.0.2.2"
PATHS = ("/api/events", "/v1/events", "/v2/queues", "/cron/preview")
KEY = "x" * 16


@pytest.fixture
def logins(clock: Clock) -> FailedLogins:
    return FailedLogins(clock=clock)


def wait_of(logins: FailedLogins, address: str = HERE) -> int:
    """Count a failure; return how long to wait, 0 if the failure is not refused."""
    try:
        logins.count(address)
    except TooManyFailedLogins as err:
        return err.wait_s
    return 0


def test_one_failure_a_second_is_free(logins: FailedLogins) -> None:
    waits = [wait_of(logins) for _ in range(ALLOWED_FAILURES + 3)]

    assert waits == [0] * ALLOWED_FAILURES + [1] * 3
    assert wait_of(logins, THERE) == 0


@pytest.mark.parametrize(("processes", "allowed"), [(2, 30), (7, 8), (100, 1)])
def test_processes_share_the_free_failures(processes: int, allowed: int) -> None:
    logins = FailedLogins(processes=processes)

    waits = [wait_of(logins) for _ in range(allowed + 1)]

    assert waits == [0] * allowed + [1]


def test_the_wait_doubles_up_to_a_minute(logins: FailedLogins, clock: Clock) -> None:
    for _ in range(ALLOWED_FAILURES):
        logins.count(HERE)
    waits = []
    for _ in range(5):
        waits.append(wait_of(logins))
        clock.now_s += waits[-1]
        # The first failure after a wait is answered as usual, and starts the next wait.
        assert wait_of(logins) == 0

    assert waits == [1, 2, 4, 8, 16]
    for _ in range(30):
        clock.now_s += 61
        for _ in range(ALLOWED_FAILURES):
            logins.count(HERE)
    assert wait_of(logins) == 60


def test_slow_failures_are_never_refused(logins: FailedLogins, clock: Clock) -> None:
    for _ in range(3 * ALLOWED_FAILURES):
        assert wait_of(logins) == 0
        clock.now_s += 1.1


def test_an_address_starts_again_after_ten_quiet_minutes(
    logins: FailedLogins, clock: Clock
) -> None:
    for _ in range(ALLOWED_FAILURES):
        logins.count(HERE)
    clock.now_s += 600

    waits = [wait_of(logins) for _ in range(ALLOWED_FAILURES + 1)]

    assert waits == [0] * ALLOWED_FAILURES + [1]


def test_the_first_failure_of_an_address_in_a_minute_is_logged(
    logins: FailedLogins, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        for address in (HERE, HERE, THERE):
            logins.count(address)
        clock.now_s += 60

    lines = [f"login.failed address={address} failures=1" for address in (HERE, THERE)]
    assert caplog.messages == lines * 2


def test_the_log_names_a_few_of_many_addresses(
    logins: FailedLogins, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100):
        logins.count(f"192.0.2.{number}")

    assert len(caplog.messages) == LOGGED_ADDRESSES


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("unix:", "", False),
    ],
)
def test_one_client_is_one_address_or_one_network(
    logins: FailedLogins, first: str, second: str, same: bool
) -> None:
    for _ in range(ALLOWED_FAILURES):
        logins.count(first)

    assert (wait_of(logins, second) > 0) is same


def test_the_number_of_remembered_addresses_is_bounded(logins: FailedLogins) -> None:
    for number in range(MAX_ADDRESSES + 500):
        logins.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")

    assert len(logins._failures) == MAX_ADDRESSES


@pytest.fixture
def token(valkey: str) -> Iterator[str]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        cell = Cell(client, "{s1}:")
        yield Tenants(cell, secret_key=KEY, makers=SECRETS).create("one").token


def new_client(valkey: str, **settings: Any) -> FlaskClient:
    settings = {"web_workers": 1, **settings}
    app = create_app(Settings(redis_url=valkey, secret_key=KEY, **settings))
    return app.test_client()


def get(http: FlaskClient, path: str, token: str, **headers: str) -> Any:
    sent = {"X-API-Key": token, "Authorization": f"Bearer {token}", **headers}
    return http.get(path, headers=sent, environ_base={"REMOTE_ADDR": HERE})


def test_s29_every_api_refuses_further_wrong_tokens_in_its_own_format(
    valkey: str, token: str
) -> None:
    http = new_client(valkey)
    statuses = {
        get(http, PATHS[n % 4], f"wrong{n}").status_code
        for n in range(ALLOWED_FAILURES)
    }
    answers = [get(http, path, "wrong") for path in PATHS]

    assert statuses == {401}
    assert {answer.status_code for answer in answers} == {429}
    assert {answer.headers["Retry-After"] for answer in answers} == {"1"}
    keys = [sorted(answer.get_json()) for answer in answers]
    v1 = ["error", "message", "statusCode", "timestamp"]
    assert keys == [["message"], v1, ["error"], ["error"]]


def test_a_valid_token_works_from_a_refused_address(valkey: str, token: str) -> None:
    http = new_client(valkey)
    for _ in range(ALLOWED_FAILURES + 1):
        refused = get(http, "/api/events", "wrong")

    assert refused.status_code == 429
    assert get(http, "/api/events", token).status_code == 200
    assert get(http, "/v2/queues", token).status_code == 200


def test_a_request_without_a_token_is_no_failed_login(valkey: str, token: str) -> None:
    http = new_client(valkey)

    assert {
        http.get("/v2/queues").status_code for _ in range(ALLOWED_FAILURES + 1)
    } == {401}


@pytest.mark.parametrize(
    ("networks", "status"), [((), 429), ((ip_network("192.0.2.0/24"),), 401)]
)
def test_behind_a_trusted_proxy_the_client_s_address_counts(
    valkey: str, token: str, networks: Any, status: int
) -> None:
    http = new_client(valkey, trusted_proxies=networks)
    for number in range(ALLOWED_FAILURES + 1):
        forwarded = {"X-Forwarded-For": f"198.51.100.{number}"}
        answer = get(http, "/api/events", "wrong", **forwarded)

    assert answer.status_code == status


def test_readyz_answers_whatever_token_it_gets(valkey: str, token: str) -> None:
    http = new_client(valkey)
    statuses = {
        get(http, "/readyz", "wrong").status_code for _ in range(ALLOWED_FAILURES + 1)
    }

    assert statuses == {503}
