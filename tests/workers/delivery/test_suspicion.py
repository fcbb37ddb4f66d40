"""Tests of a worker's suspicion that it cannot reach anything itself."""

import logging
import pytest
from dataclasses import replace
from scheduler_api.core.model import Begun, Outcome
from tests import attempts
from tests.clock import Clock
from tests.workers.http_client.sending import answered
from workers.delivery.freezes import Freezes
from workers.delivery.own_faults import OwnFaults
from workers.delivery.suspicion import Suspicion
from workers.http_client.failures import Failure

ANSWER = answered(404)


@pytest.fixture
def suspicion(clock: Clock) -> Suspicion:
    return Suspicion(clock=clock)


def begun(origin: object, *, tenant: int = 1, event: str = "7") -> Begun:
    gate = f"d:{tenant}:{origin}"
    return attempts.begun("jiter", origin=gate, route=f"{gate}.route", id=event)


def fail(
    suspicion: Suspicion, *origins: int, error: Failure = Failure.CONNECT_TIMEOUT
) -> None:
    result = replace(ANSWER, status=None, error=error, detail="a sentence")
    for origin in origins:
        suspicion.note(begun(origin, tenant=origin % 2), result)


def respond(suspicion: Suspicion, origin: int = 9) -> None:
    suspicion.note(begun(origin), ANSWER)


@pytest.mark.parametrize("error", [Failure.CONNECT, Failure.DNS, Failure.UNREACHABLE])
def test_r20_five_origins_that_cannot_be_reached_make_a_worker_suspect_itself(
    suspicion: Suspicion, error: Failure
):
    fail(suspicion, 1, 2, 3, 4, 4, 3, 2, 1, error=error)
    assert not suspicion.is_active
    fail(suspicion, 5, error=error)
    assert suspicion.is_active


def test_r20_a_worker_without_resources_suspects_itself_at_once(suspicion: Suspicion):
    fail(suspicion, 1, error=Failure.WORKER)
    assert suspicion.is_active


@pytest.mark.parametrize("error", [Failure.TIMEOUT, Failure.TLS, Failure.BLOCKED])
def test_other_failures_do_not(suspicion: Suspicion, error: Failure):
    fail(suspicion, *range(9), error=error)
    assert not suspicion.is_active


def test_r20_requests_that_nobody_acknowledges_make_a_worker_suspect_itself(
    suspicion: Suspicion,
):
    result = replace(ANSWER, status=None, error=Failure.TIMEOUT, unheard=True)
    for origin in range(5):
        assert not suspicion.is_active
        suspicion.note(begun(origin), result)
    assert suspicion.is_active


def test_i2_refusals_of_origins_that_never_responded_delay_nobody(
    suspicion: Suspicion,
):
    respond(suspicion)
    fail(suspicion, *range(100, 120), error=Failure.REFUSED)

    assert not suspicion.is_active


def test_r20_refusals_of_origins_that_have_responded_are_evidence(
    suspicion: Suspicion,
):
    origins = range(100, 105)
    for origin in origins:
        suspicion.note(begun(origin, tenant=origin % 2), ANSWER)
    fail(suspicion, *origins, error=Failure.REFUSED)

    assert suspicion.is_active


def test_r20_refusals_are_evidence_if_no_origin_has_responded(suspicion: Suspicion):
    fail(suspicion, *range(5), error=Failure.REFUSED)

    assert suspicion.is_active


def test_an_origin_counts_once_for_all_tenants(suspicion: Suspicion):
    result = replace(ANSWER, status=None, error=Failure.REFUSED)
    for tenant in range(9):
        suspicion.note(begun("origin", tenant=tenant), result)
    assert not suspicion.is_active


def test_a_response_from_any_origin_ends_the_suspicion(suspicion: Suspicion):
    fail(suspicion, 1, 2, 3, 4, 5)
    respond(suspicion)
    assert not suspicion.is_active


def test_origins_that_failed_while_others_responded_count_again_after_a_minute(
    suspicion: Suspicion, clock: Clock
):
    for _ in range(3):
        fail(suspicion, 1, 2, 3, 4, 5)
        respond(suspicion)
        fail(suspicion, 1, 2, 3, 4, 5)
        assert not suspicion.is_active
        clock.now_s += 60
        fail(suspicion, 1, 2, 3, 4, 5)
        assert suspicion.is_active
        respond(suspicion)


def test_failures_count_for_ten_seconds(suspicion: Suspicion, clock: Clock):
    fail(suspicion, 1)
    clock.now_s += 10
    fail(suspicion, 2, 3, 4, 5)
    assert not suspicion.is_active
    clock.now_s += 9.9
    fail(suspicion, 6)
    assert suspicion.is_active


def test_r20_a_worker_that_suspects_itself_waits_from_1_to_15_s_between_its_probes(
    suspicion: Suspicion, clock: Clock
):
    fail(suspicion, 1, 2, 3, 4, 5)
    waits_s = list[float]()
    for _ in range(6):
        assert suspicion.room == 0
        since_s = clock.now_s
        while not suspicion.room:
            clock.now_s += 0.5
        waits_s.append(clock.now_s - since_s)
        assert suspicion.room == 5
        suspicion.count_begun(5)
        assert suspicion.room == 0
        fail(suspicion, 1, 2, 3, 4, 5, error=Failure.TIMEOUT)

    assert waits_s == [1, 2, 4, 8, 15, 15]


def test_probes_that_do_not_end_are_followed_by_others(
    suspicion: Suspicion, clock: Clock
):
    fail(suspicion, 1, 2, 3, 4, 5)
    clock.now_s += 1
    suspicion.count_begun(5)
    clock.now_s += 59
    assert suspicion.room == 0
    clock.now_s += 1
    assert suspicion.room == 5


def test_probes_go_to_other_routes_first(suspicion: Suspicion, clock: Clock):
    fail(suspicion, 1, 2, 3, 4, 5, 6)
    clock.now_s += 1
    assert suspicion.avoided_routes == ["d:0:6.route"]
    clock.now_s += 1
    assert suspicion.avoided_routes == []


def test_r20_an_event_is_given_back_for_five_minutes(
    suspicion: Suspicion, clock: Clock
):
    assert not suspicion.forgives(begun(1))
    fail(suspicion, 1, 2, 3, 4, 5)
    assert suspicion.forgives(begun(1, event="1"))
    clock.now_s += 299
    assert suspicion.forgives(begun(1, event="1"))
    assert suspicion.forgives(begun(1, event="2"))
    clock.now_s += 1
    assert not suspicion.forgives(begun(1, event="1"))
    assert suspicion.forgives(begun(1, event="2"))


@pytest.mark.parametrize(
    ("error", "dispatched", "outcome"),
    [
        (Failure.DNS, False, Outcome.UNSENT),
        (Failure.REFUSED, False, Outcome.UNSENT),
        (Failure.TIMEOUT, True, Outcome.INTERRUPTED),
        (Failure.RESET, True, Outcome.INTERRUPTED),
        (Failure.BLOCKED, False, None),
        (Failure.BAD_URL, False, None),
        (Failure.PROTOCOL, True, None),
    ],
)
@pytest.mark.parametrize("fault", ["suspicion", "freeze"])
def test_r20_r29_what_a_sick_worker_cannot_know_is_no_failure(
    clock: Clock,
    fault: str,
    error: Failure,
    dispatched: bool,
    outcome: Outcome | None,
):
    own_faults = OwnFaults(Suspicion(clock=clock), Freezes(clock=clock))
    result = replace(
        ANSWER, status=None, error=error, dispatched=dispatched, total_ms=5_000
    )
    assert own_faults.outcome(begun(9), result) is None
    if fault == "suspicion":
        fail(own_faults.suspicion, 1, 2, 3, 4, 5)
    else:
        clock.now_s += 1.5

    assert own_faults.outcome(begun(9), result) is outcome
    assert own_faults.outcome(begun(9), ANSWER) is None


@pytest.mark.parametrize("error", [Failure.WORKER, Failure.LEASE_LOST])
def test_r20_without_resources_or_lease_an_attempt_is_never_charged(
    clock: Clock, error: Failure
):
    own_faults = OwnFaults(Suspicion(clock=clock), Freezes(clock=clock))
    result = replace(ANSWER, status=None, error=error, dispatched=False)

    for _ in range(400):
        assert own_faults.outcome(begun(1), result) is Outcome.UNSENT
        clock.now_s += 1


def test_r29_a_freeze_counts_for_the_attempts_that_it_has_interrupted(
    clock: Clock, caplog: pytest.LogCaptureFixture
):
    freezes = Freezes(clock=clock)
    clock.now_s += 1.4
    assert not freezes.ended_within(60)
    clock.now_s += 12.5
    assert freezes.ended_within(0)
    clock.now_s += 0.5
    assert not freezes.ended_within(0.4)
    assert freezes.ended_within(0.5)
    assert caplog.messages == ["worker.frozen ms=12000"]


def test_begin_and_end_of_a_suspicion_are_logged_once(
    suspicion: Suspicion, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, logger="scheduler.worker")
    fail(suspicion, *range(20))
    for _ in range(3):
        respond(suspicion)

    assert caplog.messages == [
        'worker.suspected origins=5 error=connect-timeout problem="a sentence"',
        "worker.trusted",
    ]
