"""Tests of reports to circuit breakers.

Normally, a worker sends a report once per second. It sends the report at once if the
counted attempts may open or close a breaker.
"""

import asyncio
import pytest
from collections.abc import Mapping
from scheduler_api.core.model import Begun
from scheduler_api.core.settings.limits import BreakerLimits
from tests import attempts
from tests.workers.http_client.sending import answered
from typing import Any, cast
from workers.delivery import breaker_reports
from workers.delivery.breaker_reports import BreakerReports

LIMITS = BreakerLimits(
    attempts=20,
    percent=90,
    window_ms=60_000,
    hold_ms=5_000,
    longest_hold_ms=60_000,
    ramp_per_s=16,
)
DESTINATION = "d:1:example"


class FakeStore:
    """A fake of `WorkerStore` that records reports."""

    def __init__(self) -> None:
        self.reports: list[dict[str, tuple[int, int]]] = []

    async def report(
        self, counts: Mapping[str, tuple[int, int]], *, limits: BreakerLimits
    ) -> dict[str, str]:
        self.reports.append(dict(counts))
        return {}


def begun(*, destination_held: bool = False) -> Begun:
    return attempts.begun(
        "jiter", destination=DESTINATION, destination_held=destination_held
    )


def reported_at_once(
    monkeypatch: pytest.MonkeyPatch,
    statuses: list[int],
    *,
    destination_held: bool = False,
) -> list[dict[str, tuple[int, int]]]:
    """The reports that a worker sends without waiting for the regular interval."""
    monkeypatch.setattr(breaker_reports, "REPORT_EVERY_S", 3_600)
    store = FakeStore()

    async def work() -> None:
        reports = BreakerReports(cast(Any, store), LIMITS)
        running = asyncio.create_task(reports.run())
        for status in statuses:
            reports.count(begun(destination_held=destination_held), answered(status))
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()

    asyncio.run(work())
    return store.reports


def test_enough_failures_to_open_a_breaker_are_reported_at_once(
    monkeypatch: pytest.MonkeyPatch,
):
    reports = reported_at_once(monkeypatch, [200, 200] + [503] * 20)

    assert reports == [{DESTINATION: (22, 20)}]


@pytest.mark.parametrize("statuses", [[503] * 19, [200] * 3 + [503] * 20, [200] * 99])
def test_too_few_failures_to_open_a_breaker_are_not_reported_at_once(
    monkeypatch: pytest.MonkeyPatch, statuses: list[int]
):
    assert reported_at_once(monkeypatch, statuses) == []


@pytest.mark.parametrize("status", [200, 503])
def test_the_result_of_a_probe_is_reported_at_once(
    monkeypatch: pytest.MonkeyPatch, status: int
):
    reports = reported_at_once(monkeypatch, [status], destination_held=True)

    assert reports == [{DESTINATION: (1, int(status == 503))}]
