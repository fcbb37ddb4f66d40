"""What workers tell of destinations: once a second, but trouble at once."""

import asyncio
import pytest
from collections.abc import Mapping
from scheduler_api.core.model import Begun
from scheduler_api.core.settings.limits import BreakerLimits
from tests import attempts
from tests.workers.http_client.sending import answered
from typing import Any, cast
from workers.delivery import breaker_reports
from workers.delivery.breaker_reports import Breakers

LIMITS = BreakerLimits(
    attempts=20,
    percent=90,
    window_ms=60_000,
    hold_ms=5_000,
    longest_hold_ms=60_000,
    ramp_per_s=16,
)
ILL = "d:1:ill"


class Store:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, tuple[int, int]]] = []

    async def report(
        self, counts: Mapping[str, tuple[int, int]], *, limits: BreakerLimits
    ) -> dict[str, str]:
        self.told.append(dict(counts))
        return {}


def begun(*, watched: bool = False) -> Begun:
    return attempts.begun("jiter", destination=ILL, watched=watched)


def told_at_once(
    monkeypatch: pytest.MonkeyPatch, statuses: list[int], *, watched: bool = False
) -> list[dict[str, tuple[int, int]]]:
    """What the store is told before the second is over."""
    monkeypatch.setattr(breaker_reports, "REPORT_EVERY_S", 3_600)
    store = Store()

    async def work() -> None:
        noted = Breakers(cast(Any, store), LIMITS)
        running = asyncio.create_task(noted.run())
        for status in statuses:
            noted.note(begun(watched=watched), answered(status))
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()

    asyncio.run(work())
    return store.told


def test_as_many_failures_as_open_a_breaker_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch,
):
    assert told_at_once(monkeypatch, [200, 200] + [503] * 20) == [{ILL: (22, 20)}]


@pytest.mark.parametrize("statuses", [[503] * 19, [200] * 3 + [503] * 20, [200] * 99])
def test_what_opens_no_breaker_waits_for_the_second(
    monkeypatch: pytest.MonkeyPatch, statuses: list[int]
):
    assert told_at_once(monkeypatch, statuses) == []


@pytest.mark.parametrize("status", [200, 503])
def test_how_a_probe_went_is_told_at_once(monkeypatch: pytest.MonkeyPatch, status: int):
    told = told_at_once(monkeypatch, [status], watched=True)

    assert told == [{ILL: (1, int(status == 503))}]
