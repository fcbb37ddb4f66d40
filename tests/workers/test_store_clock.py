"""Tests of steps of the store's clock, on a store whose clock cannot be set.

The tests set the ticker's own clock instead: only the difference of the two matters.
"""

import logging
import pytest
import redis
from collections.abc import Iterator
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store import clock_step, keys, layout
from scheduler_api.core.store.clock_step import ClockStep
from scheduler_api.core.store.events import EventStore
from scheduler_api.settings import Settings
from typing import Any
from workers.boot_clock import boot_ms
from workers.store_clock import TOLERANCE_MS, StoreClock
from workers.ticker import Ticker

PREFIX = "{s1}:"
OWNER = Owner("acme", "jiter")
DRAFT = Draft(Content("http://127.0.0.1:9/", b"{}"), deadline_ms=10_000)
STEP_MS = 300_000


class Shifted:
    """A clock that a test shifts against the store's."""

    def __init__(self) -> None:
        self.shift_ms = 0.0
        # How long each call of the store seems to take.
        self.slow_ms = 0.0
        self._is_first = False

    def __call__(self) -> float:
        self._is_first = not self._is_first
        return boot_ms() + self.shift_ms - self._is_first * self.slow_ms

    def step_store(self, ms: int) -> None:
        """Make it look as if the store's clock had stepped."""
        self.shift_ms -= ms


@pytest.fixture
def shifted() -> Shifted:
    return Shifted()


@pytest.fixture
def client(valkey: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        layout.ensure(client, PREFIX)
        yield client


def start(client: redis.Redis, shifted: Shifted, **changes: Any) -> Ticker:
    """Return a ticker that knows the store's clock."""
    settings = Settings(redis_url="", secret_key="k" * 32, **changes)
    ticker = Ticker(client, settings, clock=StoreClock(clock_ms=shifted))
    ticker.tick()
    return ticker


def check_again(ticker: Ticker) -> None:
    """Tick as if a second had passed."""
    ticker._checked_at = 0.0
    ticker.tick()


def steps(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.CRITICAL
    ]


def reported(client: redis.Redis) -> ClockStep | None:
    return ClockStep.parse(client.get(keys.clock_step(PREFIX)))


@pytest.mark.parametrize("step_ms", [STEP_MS, -STEP_MS, 1_500, -1_500])
def test_r31_a_step_of_the_stores_clock_is_critical_and_stored(
    client: redis.Redis,
    shifted: Shifted,
    caplog: pytest.LogCaptureFixture,
    step_ms: int,
):
    ticker = start(client, shifted)

    shifted.step_store(step_ms)
    for _ in range(3):
        ticker.tick()

    assert len(steps(caplog)) == 1
    assert "store.clock_stepped" in steps(caplog)[0]
    found = reported(client)
    assert found is not None
    assert abs(found.ms - step_ms) < TOLERANCE_MS / 2
    assert client.exists(keys.alive(PREFIX, "ticker"))


@pytest.mark.parametrize("ms", [800, -800])
def test_a_small_difference_is_no_step(
    client: redis.Redis, shifted: Shifted, caplog: pytest.LogCaptureFixture, ms: int
):
    ticker = start(client, shifted)

    shifted.step_store(ms)
    check_again(ticker)

    assert steps(caplog) == []
    assert reported(client) is None


def test_a_slow_or_frozen_call_is_no_step_and_delays_one_claim_only(
    client: redis.Redis, shifted: Shifted, caplog: pytest.LogCaptureFixture
):
    ticker = start(client, shifted)
    EventStore(ticker.cell).create_many(OWNER, [DRAFT])

    shifted.slow_ms = 5_000
    for _ in range(4):
        ticker.tick()

    assert steps(caplog) == []
    assert client.zcard(keys.due(PREFIX)) == 0


def test_a_step_is_noticed_right_after_a_slow_call(
    client: redis.Redis, shifted: Shifted, caplog: pytest.LogCaptureFixture
):
    ticker = start(client, shifted)
    shifted.slow_ms = 60_000
    ticker.tick()
    shifted.slow_ms = 0.0
    ticker.tick()

    shifted.step_store(STEP_MS)
    ticker.tick()

    assert len(steps(caplog)) >= 1


def test_r31_the_claim_that_meets_a_step_moves_nothing(
    client: redis.Redis, shifted: Shifted
):
    ticker = start(client, shifted, stop_on_clock_step=True)
    EventStore(ticker.cell).create_many(OWNER, [DRAFT])

    shifted.step_store(STEP_MS)
    for _ in range(3):
        ticker.tick()
    check_again(ticker)

    assert client.zcard(keys.due(PREFIX)) == 1


def test_r31_all_tickers_wait_until_an_operator_accepts_the_clock(
    client: redis.Redis, shifted: Shifted
):
    ticker = start(client, shifted, stop_on_clock_step=True)
    EventStore(ticker.cell).create_many(OWNER, [DRAFT])
    shifted.step_store(STEP_MS)
    ticker.tick()

    later = start(client, Shifted(), stop_on_clock_step=True)
    check_again(ticker)
    waiting = client.zcard(keys.due(PREFIX))
    accepted = clock_step.accept(client, PREFIX)
    check_again(later)

    assert (waiting, accepted) == (1, True)
    assert client.ttl(keys.clock_step(PREFIX)) == -2
    assert client.zcard(keys.due(PREFIX)) == 0
    assert not clock_step.accept(client, PREFIX)


def test_a_step_that_needs_no_operator_expires(client: redis.Redis, shifted: Shifted):
    ticker = start(client, shifted)

    shifted.step_store(STEP_MS)
    ticker.tick()

    assert client.ttl(keys.clock_step(PREFIX)) > 0


def test_r31_a_ticker_waits_even_if_it_could_not_store_the_step(
    client: redis.Redis, shifted: Shifted, monkeypatch: pytest.MonkeyPatch
):
    ticker = start(client, shifted, stop_on_clock_step=True)
    EventStore(ticker.cell).create_many(OWNER, [DRAFT])
    shifted.step_store(STEP_MS)
    with monkeypatch.context() as broken:
        broken.setattr(ticker._sign, "report", _fail)
        with pytest.raises(redis.ConnectionError):
            ticker.tick()

    check_again(ticker)

    assert client.zcard(keys.due(PREFIX)) == 1
    assert reported(client) is not None


def _fail(*_args: object, **_options: object) -> None:
    raise redis.ConnectionError
