"""One worker by hand: its store, called as if it were not asynchronous."""

import orjson
import redis
from collections.abc import Coroutine
from scheduler_api.core.model import Begun
from scheduler_api.core.settings.limits import BreakerLimits
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.leases import (
    Outcome,
    Settled,
    Settlement,
    Share,
    WorkerStore,
)
from typing import Any, Protocol, TypeVar

LEASE_MS = 15_000
BREAKER = BreakerLimits(
    attempts=20,
    percent=90,
    window_ms=60_000,
    hold_ms=5_000,
    longest_hold_ms=20_000,
    ramp_per_s=16,
)
T = TypeVar("T")


class Runner(Protocol):
    """What carries out coroutines, as `asyncio.Runner` does."""

    def run(self, coroutine: Coroutine[Any, Any, T], /) -> T: ...


class SyncWorker:
    """One worker, whose runner waits until each call is answered."""

    def __init__(self, store: WorkerStore, runner: Runner) -> None:
        self.store = store
        self._runner = runner

    def begin(self, *ids: str) -> list[Begun]:
        return self.try_begin(*ids)[0]

    def try_begin(
        self, *ids: str, share: Share | None = None
    ) -> tuple[list[Begun], dict[str, str]]:
        return self._runner.run(self.store.begin(ids, share=share))

    def report(self, gate: str, attempts: int, failures: int) -> str:
        counts = {gate: (attempts, failures)}
        told = self._runner.run(self.store.report(counts, limits=BREAKER))
        return told.get(gate, "")

    def fetch(self, begun: Begun) -> Begun:
        return self._runner.run(self.store.fetch(begun))

    def renew(self, *held: Begun) -> set[str]:
        return self._runner.run(self.store.renew(held))

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
        **line: Any,
    ) -> None:
        """Settles an attempt that nobody has settled, with what its log says of it."""
        settlement = Settlement(
            event_id=begun.id,
            token=begun.token,
            attempt=begun.attempt,
            outcome=Outcome(outcome),
            line=orjson.dumps(line),
            delay_ms=delay_ms,
            reason=reason,
        )
        [settled] = self.settle(settlement)
        assert settled.code == "settled", settled


class AwaitableClient:
    """A client that blocks, behind the awaitable calls of a worker's store."""

    connects = 0

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        async def answered(*words: Any, **options: Any) -> Any:
            return call(*words, **options)

        return answered


class ImmediateRunner:
    """A runner of what waits for nothing; it may itself be called in a loop."""

    def run(self, coroutine: Coroutine[Any, Any, T], /) -> T:
        try:
            coroutine.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        raise RuntimeError("it waits for something")


def new_sync_worker(
    client: redis.Redis,
    prefix: str,
    *,
    clock_ms: int | None = None,
    lease_ms: int = LEASE_MS,
) -> SyncWorker:
    """A new worker that asks through a blocking client, by the clock that is told."""
    cell = Cell(client, prefix, clock_ms=clock_ms)
    return SyncWorker(
        WorkerStore(AwaitableClient(client), cell, lease_ms=lease_ms), ImmediateRunner()
    )
