"""Tests of reports to breakers.

Normally, a worker sends a report once per second. It sends the report at once if the
counted attempts may change a breaker.
"""

import asyncio
import pytest
from collections.abc import Mapping, Sequence
from dataclasses import replace
from scheduler_api.core.model import Begun, Content
from scheduler_api.core.settings.limits import BreakerLimits
from scheduler_api.core.store.leases import Outcomes
from tests import attempts
from tests.sync_worker import BREAKER
from tests.workers.http_client.sending import answered
from typing import Any, cast
from workers.delivery import breaker_reports
from workers.delivery.breaker_reports import BreakerReports, classify
from workers.delivery.suspicion import Suspicion
from workers.http_client.client import Result
from workers.http_client.failures import Failure

ORIGIN, ROUTE = "d:1:example", "d:1:example.route"
URL = "https://shop.example/users/7/hook?key=secret"


class FakeStore:
    """A fake of `WorkerStore` that records reports."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Outcomes]] = []

    async def report(
        self,
        reports: Mapping[str, Outcomes],
        *,
        limits: BreakerLimits,
        deviation: float,
    ) -> dict[str, str]:
        self.reports.append(dict(reports))
        return {}


def failed(error: Failure) -> Result:
    """The result of an attempt without a response."""
    return replace(answered(200), status=None, error=error, detail="a sentence")


def asking(status: int, seconds: str) -> Result:
    """The result of a response with `Retry-After`."""
    return replace(answered(status), headers=(("Retry-After", seconds),))


def begun(
    *, origin_held: bool = False, route_held: bool = False, passes_origin: bool = False
) -> Begun:
    return attempts.begun(
        *("jiter", Content(URL, b"")),
        origin=ORIGIN,
        route=ROUTE,
        origin_held=origin_held,
        route_held=route_held,
        passes_origin=passes_origin,
    )


def reported(
    monkeypatch: pytest.MonkeyPatch,
    results: Sequence[Result],
    *,
    every_s: float = 3_600,
    **held: bool,
) -> list[dict[str, Outcomes]]:
    """The reports that a worker sends after these results.

    By default, these are the reports that it sends without waiting.
    """
    monkeypatch.setattr(breaker_reports, "REPORT_EVERY_S", every_s)
    store = FakeStore()

    async def work() -> None:
        reports = BreakerReports(cast(Any, store), BREAKER)
        running = asyncio.create_task(reports.run())
        for result in results:
            reports.count(begun(**held), result)
            if not every_s:
                await asyncio.sleep(0.001)
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()

    asyncio.run(work())
    return store.reports


def numbers(outcomes: Outcomes) -> tuple[int, int, int]:
    return outcomes.attempts, outcomes.failures, outcomes.successes


def test_enough_failures_to_trip_a_breaker_are_reported_at_once(
    monkeypatch: pytest.MonkeyPatch,
):
    [report] = reported(monkeypatch, [answered(200)] * 2 + [answered(500)] * 20)

    assert list(report) == [ROUTE, ORIGIN]
    assert numbers(report[ROUTE]) == (22, 20, 2)
    assert numbers(report[ORIGIN]) == (22, 0, 2)


def test_failures_that_were_reported_count_towards_an_urgent_report(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(breaker_reports, "REPORT_EVERY_S", 0)
    store = FakeStore()

    async def work() -> None:
        reports = BreakerReports(cast(Any, store), BREAKER)
        for _ in range(15):
            reports.count(begun(), answered(500))
        regular = asyncio.create_task(reports.run())
        while not store.reports:
            await asyncio.sleep(0)
        regular.cancel()
        monkeypatch.setattr(breaker_reports, "REPORT_EVERY_S", 3_600)
        urgent = asyncio.create_task(reports.run())
        while len(store.reports) < 2:
            reports.count(begun(), answered(500))
            for _ in range(10):
                await asyncio.sleep(0)
        urgent.cancel()

    asyncio.run(asyncio.wait_for(work(), 10))
    assert [report[ROUTE].failures for report in store.reports] == [15, 5]


@pytest.mark.parametrize(
    ("results", "urgent"),
    [
        ([asking(429, "9")] * 3, True),
        ([asking(429, "9")] * 2, False),
        ([asking(429, "9"), answered(200), *[asking(503, "9")] * 2], False),
    ],
)
def test_three_requests_for_a_delay_in_a_row_are_reported_at_once(
    monkeypatch: pytest.MonkeyPatch, results: list[Result], urgent: bool
):
    assert bool(reported(monkeypatch, results)) == urgent


def test_an_origin_that_cannot_be_reached_is_no_failure_of_a_route(
    monkeypatch: pytest.MonkeyPatch,
):
    [report] = reported(monkeypatch, [failed(Failure.REFUSED)] * 20)

    assert list(report) == [ORIGIN]
    assert numbers(report[ORIGIN]) == (20, 20, 0)
    assert report[ORIGIN].latest == "o" * 10


@pytest.mark.parametrize("statuses", [[503] * 19, [200] * 3 + [503] * 20, [200] * 99])
def test_too_few_failures_to_trip_a_breaker_are_not_reported_at_once(
    monkeypatch: pytest.MonkeyPatch, statuses: list[int]
):
    assert reported(monkeypatch, list(map(answered, statuses))) == []


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("held", ["origin_held", "route_held"])
def test_an_attempt_at_a_held_origin_or_route_is_reported_at_once(
    monkeypatch: pytest.MonkeyPatch, status: int, held: str
):
    [report] = reported(monkeypatch, [answered(status)], **{held: True})

    gate = ORIGIN if held == "origin_held" else ROUTE
    assert report[gate].latest_held == ("s" if status == 200 else "r")


@pytest.mark.parametrize("held", ["origin_held", "passes_origin"])
def test_a_success_of_a_route_is_reported_while_its_origin_is_slowed(
    monkeypatch: pytest.MonkeyPatch, held: str
):
    reports = reported(monkeypatch, [answered(200)] * 2, every_s=0, **{held: True})

    assert [report[ROUTE].successes for report in reports] == [1, 1]
    assert all((ORIGIN in report) == (held == "origin_held") for report in reports)


def test_attempts_that_pass_a_slowed_origin_are_not_reported_at_once(
    monkeypatch: pytest.MonkeyPatch,
):
    assert reported(monkeypatch, [answered(200)] * 99, passes_origin=True) == []


@pytest.mark.parametrize("error", [Failure.BLOCKED, Failure.WORKER])
def test_an_attempt_without_evidence_is_reported_if_it_was_held(
    monkeypatch: pytest.MonkeyPatch, error: Failure
):
    assert reported(monkeypatch, [failed(error)] * 99, every_s=0) == []
    [report] = reported(monkeypatch, [failed(error)], origin_held=True)

    assert (report[ORIGIN].latest, report[ORIGIN].latest_held) == ("", "x")
    assert numbers(report[ORIGIN]) == (0, 0, 0)


def test_a_worker_that_suspects_itself_reports_nothing_until_a_response(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(breaker_reports, "REPORT_EVERY_S", 0.001)
    store = FakeStore()

    async def work() -> None:
        suspicion = Suspicion()
        reports = BreakerReports(cast(Any, store), BREAKER, suspicion=suspicion)
        running = asyncio.create_task(reports.run())
        for n in range(200):
            attempt = replace(begun(origin_held=True), origin=f"d:1:origin{n % 5}")
            suspicion.note(attempt, failed(Failure.DNS))
            reports.count(attempt, failed(Failure.DNS))
            if n > 5:
                await asyncio.sleep(0)
        assert store.reports == []
        suspicion.note(begun(), answered(200))
        reports.count(begun(route_held=True), answered(200))
        while not store.reports:
            await asyncio.sleep(0.001)
        running.cancel()

    asyncio.run(asyncio.wait_for(work(), 10))
    assert [list(report) for report in store.reports] == [[ROUTE]]


def test_a_failure_is_followed_by_the_report_of_a_success_but_not_of_more(
    monkeypatch: pytest.MonkeyPatch,
):
    results = [answered(500), answered(200), answered(200)]

    reports = reported(monkeypatch, results, every_s=0)

    assert [report[ROUTE].latest for report in reports] == ["r", "s"]


def test_a_report_names_origin_and_route_without_ids_and_secrets(
    monkeypatch: pytest.MonkeyPatch,
):
    [report] = reported(monkeypatch, [answered(500)], every_s=0)

    assert report[ROUTE].url == "https://shop.example/users/*/hook"
    assert report[ORIGIN].url == "https://shop.example"
    assert "answered 500" in report[ROUTE].cause


def test_the_shortest_delay_that_a_receiver_asked_for_is_reported(
    monkeypatch: pytest.MonkeyPatch,
):
    [report] = reported(
        monkeypatch, [asking(429, "30"), asking(503, "20")], route_held=True
    )

    assert (report[ROUTE].latest, report[ROUTE].delay_ms) == ("nn", 20_000)
    assert numbers(report[ROUTE]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (answered(200), "s"),
        (answered(404), "s"),
        (answered(429), "s"),
        (answered(500), "r"),
        (answered(503), "r"),
        (asking(429, "5"), "n"),
        (asking(503, "5"), "n"),
        (asking(503, "soon"), "r"),
        (asking(500, "5"), "r"),
        (failed(Failure.TIMEOUT), "r"),
        (failed(Failure.WRITE_TIMEOUT), "r"),
        (failed(Failure.CLOSED), "r"),
        (failed(Failure.RESET), "r"),
        (failed(Failure.PROTOCOL), "r"),
        (failed(Failure.CONNECT_TIMEOUT), "o"),
        (failed(Failure.CONNECT_RESET), "o"),
        (failed(Failure.DNS), "o"),
        (failed(Failure.DNS_TIMEOUT), "o"),
        (failed(Failure.UNREACHABLE), "o"),
        (failed(Failure.TLS_EXPIRED), "o"),
        (failed(Failure.TLS_PLAIN_PORT), "o"),
        (failed(Failure.REFUSED), "o"),
        (failed(Failure.WAIT_TIMEOUT), "x"),
        (failed(Failure.WORKER), "x"),
        (failed(Failure.BLOCKED), "x"),
        (failed(Failure.BAD_URL), "x"),
        (failed(Failure.LEASE_LOST), "x"),
    ],
)
def test_results_are_evidence_for_origin_or_route_or_neither(
    result: Result, outcome: str
):
    assert classify(result)[0] == outcome
