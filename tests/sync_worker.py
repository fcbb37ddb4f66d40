"""A worker's store with blocking calls, for tests that are not asynchronous."""

import orjson
import redis
from collections.abc import Coroutine, Mapping, Sequence
from scheduler_api.core.model import Begun, Outcome
from scheduler_api.core.settings.limits import BreakerLimits
from scheduler_api.core.store import statistics
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.functions import AsyncClient
from scheduler_api.core.store.gate_names import is_route
from scheduler_api.core.store.leases import (
    Outcomes,
    Settled,
    Settlement,
    Share,
    WorkerStore,
)
from scheduler_api.core.store.statistics import Counts
from typing import Any, Protocol, TypeVar

LEASE_MS = 15_000
BREAKER = BreakerLimits(
    attempts=20,
    percent=90,
    window_ms=60_000,
    hold_ms=5_000,
    longest_hold_ms=20_000,
    ramp_per_s=16,
    trickle_per_s=5,
    trickle_parallelism=5,
    longest_holds_ms={"jiter": 300_000, "qstash": 60_000, "events_v1": 300_000},
)
T = TypeVar("T")


def outcomes(latest: str, *, delay_ms: int = 0) -> Outcomes:
    """Attempts with these outcomes, all of which began while the gate was held."""
    return Outcomes(
        attempts=len(latest) - latest.count("n"),
        failures=latest.count("r") + latest.count("o"),
        successes=latest.count("s"),
        latest=latest[-10:],
        latest_held=latest[-10:],
        delay_ms=delay_ms,
        url="https://failing.example/a",
        cause="the connection was refused",
    )


async def add_counts(
    cell: Cell, client: AsyncClient, counts: Mapping[str, Counts]
) -> int:
    """Add what became of attempts, by tenant; return the time of the store."""
    now_ms = 0
    for part in statistics.parts_of(counts):
        now_ms = await statistics.add_parts(cell, client, [part])
    return now_ms


class Runner(Protocol):
    """Runs a coroutine and returns its result, like `asyncio.Runner`."""

    def run(self, coroutine: Coroutine[Any, Any, T], /) -> T: ...


class SyncWorker:
    """A worker whose calls block until the store replies."""

    def __init__(self, store: WorkerStore, runner: Runner) -> None:
        self.store = store
        self._runner = runner

    def begin(self, *ids: str) -> list[Begun]:
        """Begin events and return those that were begun."""
        return self.try_begin(*ids)[0]

    def try_begin(
        self,
        *ids: str,
        share: Share | None = None,
        paused_routes: Sequence[str] = (),
    ) -> tuple[list[Begun], dict[str, str]]:
        """Begin events; return those begun, and why each other event was not begun."""
        return self._runner.run(
            self.store.begin(ids, share=share, paused_routes=paused_routes)
        )

    def report(self, gate: str, attempts: int, failures: int) -> str:
        """Report attempts at an origin or route; return the change of its breaker.

        If the gate is held, all of these attempts began while it was held.
        """
        failure = "r" if is_route(gate) else "o"
        latest = "s" * (attempts - failures) + failure * failures
        return self.report_all({gate: outcomes(latest)}).get(gate, "")

    def report_all(self, reports: Mapping[str, Outcomes]) -> dict[str, str]:
        """Report attempts at origins and routes; return the changed breakers."""
        return self._runner.run(self.store.report(reports, limits=BREAKER))

    def add_counts(self, counts: Mapping[str, Counts]) -> int:
        """Add what became of attempts, by tenant; return the time of the store."""
        return self._runner.run(add_counts(self.store.cell, self.store.client, counts))

    def fetch(self, begun: Begun) -> Begun:
        return self._runner.run(self.store.fetch(begun))

    def renew(self, *begun: Begun) -> set[str]:
        return self._runner.run(self.store.renew(begun))

    def release(self, *ids: str) -> int:
        return self._runner.run(self.store.release(ids))

    def settle(self, *settlements: Settlement) -> list[Settled]:
        return self._runner.run(self.store.settle(settlements))

    def end(
        self,
        begun: Begun,
        outcome: str,
        *,
        delay_ms: int = 3_000,
        reason: str = "",
        **log_entry: Any,
    ) -> None:
        """Settle an attempt that is not settled yet.

        Args:
            log_entry: the fields of the attempt's entry in the event's log.
        """
        settlement = Settlement(
            event_id=begun.id,
            token=begun.token,
            attempt=begun.attempt,
            outcome=Outcome(outcome),
            log_entry=orjson.dumps(log_entry),
            delay_ms=delay_ms,
            reason=reason,
        )
        [settled] = self.settle(settlement)
        assert settled.code == "settled", settled


class AwaitableClient:
    """Wraps a blocking client; each call returns a coroutine."""

    connects = 0

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        async def awaitable(*args: Any, **options: Any) -> Any:
            return call(*args, **options)

        return awaitable


class ImmediateRunner:
    """Runs coroutines that never wait, even inside a running event loop."""

    def run(self, coroutine: Coroutine[Any, Any, T], /) -> T:
        try:
            coroutine.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        raise RuntimeError("the coroutine waits for something")


def new_sync_worker(
    client: redis.Redis,
    prefix: str,
    *,
    clock_ms: int | None = None,
    lease_ms: int = LEASE_MS,
) -> SyncWorker:
    """A new worker on a blocking client.

    Args:
        clock_ms: the time for all calls; if it is None, calls use the store's time.
    """
    cell = Cell(client, prefix, clock_ms=clock_ms)
    return SyncWorker(
        WorkerStore(AwaitableClient(client), cell, lease_ms=lease_ms), ImmediateRunner()
    )
