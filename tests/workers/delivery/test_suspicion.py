"""Tests of a worker's suspicion that it cannot reach anything itself."""

import logging
import pytest
from dataclasses import replace
from tests.clock import Clock
from tests.workers.http_client.sending import answered
from workers.delivery.suspicion import Suspicion
from workers.http_client.failures import Failure

ANSWER = answered(404)


@pytest.fixture
def suspicion(clock: Clock) -> Suspicion:
    return Suspicion(clock=clock)


def fail(
    suspicion: Suspicion, *origins: int, error: Failure = Failure.CONNECT_TIMEOUT
) -> None:
    result = replace(ANSWER, status=None, error=error)
    for origin in origins:
        suspicion.note(f"d:{origin % 2}:{origin}", result)


@pytest.mark.parametrize(
    "error", [Failure.CONNECT, Failure.DNS, Failure.UNREACHABLE, Failure.WORKER]
)
def test_five_origins_that_cannot_be_reached_make_a_worker_suspect_itself(
    suspicion: Suspicion, error: Failure
):
    fail(suspicion, 1, 2, 3, 4, 4, 3, 2, 1, error=error)
    assert not suspicion.is_active
    fail(suspicion, 5, error=error)
    assert suspicion.is_active


@pytest.mark.parametrize("error", [Failure.TIMEOUT, Failure.TLS, Failure.BLOCKED])
def test_other_failures_do_not(suspicion: Suspicion, error: Failure):
    fail(suspicion, *range(9), error=error)
    assert not suspicion.is_active


def test_an_origin_counts_once_for_all_tenants(suspicion: Suspicion):
    result = replace(ANSWER, status=None, error=Failure.REFUSED)
    for tenant in range(9):
        suspicion.note(f"d:{tenant}:origin", result)
    assert not suspicion.is_active


def test_a_response_from_any_origin_ends_the_suspicion(suspicion: Suspicion):
    fail(suspicion, 1, 2, 3, 4, 5)
    suspicion.note("d:1:9", ANSWER)
    assert not suspicion.is_active
    fail(suspicion, 1, 2, 3, 4)
    assert not suspicion.is_active


def test_failures_count_for_ten_seconds(suspicion: Suspicion, clock: Clock):
    fail(suspicion, 1)
    clock.now_s += 9.9
    fail(suspicion, 2, 3, 4, 5)
    assert suspicion.is_active
    clock.now_s += 0.1
    suspicion.update()
    assert not suspicion.is_active


def test_begin_and_end_of_a_suspicion_are_logged_once(
    suspicion: Suspicion, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, logger="scheduler.worker")
    fail(suspicion, *range(20))
    for _ in range(3):
        suspicion.note("d:1:9", ANSWER)

    assert [each.getMessage() for each in caplog.records] == [
        "worker.suspected origins=5",
        "worker.trusted",
    ]
