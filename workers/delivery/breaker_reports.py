"""Tells the store how attempts at destinations went, which opens their breakers."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.model import Begun
from scheduler_api.core.settings.limits import BreakerLimits
from scheduler_api.core.store.leases import WorkerStore
from workers.http_client.client import Result
from workers.http_client.failures import Failure

log = logging.getLogger("scheduler.worker")

REPORT_EVERY_S = 1.0
# What says that a destination is in trouble, besides answers 5xx. An answer 503 that
# names a time to come back is an answer.
TROUBLE = frozenset(
    (
        *(Failure.CLOSED, Failure.CONNECT, Failure.DNS, Failure.PROTOCOL),
        *(Failure.TIMEOUT, Failure.TLS, Failure.TLS_EXPIRED, Failure.TLS_HOST),
        Failure.TLS_UNTRUSTED,
    )
)


@dataclass
class Count:
    """Attempts at one destination that the store has not been told of."""

    attempts: int = 0
    failures: int = 0


class Breakers:
    """Counts by destination; a destination that never fails is told of to nobody."""

    def __init__(self, store: WorkerStore, limits: BreakerLimits) -> None:
        self._store = store
        self._limits = limits
        self._counts: dict[str, Count] = {}
        self._told: set[str] = set()
        self._urgent = asyncio.Event()

    def note(self, begun: Begun, result: Result) -> None:
        """Counts an attempt; a probe, and what may open a breaker, is told at once."""
        if not (self._limits.attempts and begun.destination):
            return
        count = self._counts.setdefault(begun.destination, Count())
        count.attempts += 1
        count.failures += is_trouble(result)
        if begun.watched:
            self._told.add(begun.destination)
        if begun.watched or self._may_open(count):
            self._urgent.set()

    def _may_open(self, count: Count) -> bool:
        """Whether this worker has seen enough by itself: then no second is waited."""
        enough = count.failures >= self._limits.attempts
        return enough and count.failures * 100 >= count.attempts * self._limits.percent

    async def run(self) -> None:
        """Tells once a second, or sooner, until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), REPORT_EVERY_S)
            self._urgent.clear()
            counts, self._counts = self._counts, {}
            troubled = {
                destination: (count.attempts, count.failures)
                for destination, count in counts.items()
                if count.failures or destination in self._told
            }
            self._told = {d for d, (_, failures) in troubled.items() if failures}
            if troubled:
                await self._tell(troubled)

    async def _tell(self, troubled: dict[str, tuple[int, int]]) -> None:
        try:
            changed = await self._store.report(troubled, limits=self._limits)
        except RedisError as err:
            log.warning(logfmt.line("report.failed", problem=err))
            return
        for destination, state in changed.items():
            log.warning(
                logfmt.line("breaker.changed", destination=destination, state=state)
            )


def is_trouble(result: Result) -> bool:
    """Whether an attempt failed for a reason that is the destination's."""
    if result.error is not None:
        return result.error in TROUBLE
    if result.status is None or result.status < 500:
        return False
    names = {name.lower() for name, _ in result.headers}
    return not (result.status == 503 and "retry-after" in names)
