"""Reports the results of attempts to the store, which opens and closes breakers."""

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
from workers.http_client.failures import ORIGIN_FAILURES, ROUTE_FAILURES

log = logging.getLogger("scheduler.worker")

REPORT_EVERY_S = 1.0
DESTINATION_FAILURES = ORIGIN_FAILURES | ROUTE_FAILURES


@dataclass
class Counts:
    """Attempts at one destination since the last report."""

    attempts: int = 0
    failures: int = 0


class BreakerReports:
    """Count attempts and failures by destination, and report them to the store.

    A destination is "held" while its events may have to wait, for example because its
    breaker is open. Destinations with failures are always reported. A destination
    without failures is reported only if it is held, or if it had failures in the
    previous report.
    """

    def __init__(self, store: WorkerStore, limits: BreakerLimits) -> None:
        self._store = store
        self._limits = limits
        self._counts: dict[str, Counts] = {}
        self._also_report: set[str] = set()
        self._urgent = asyncio.Event()

    def count(self, begun: Begun, result: Result) -> None:
        """Count an attempt; report at once if the attempt may open or close a breaker.

        An attempt at a held destination (a probe) may close the breaker.
        """
        if not (self._limits.attempts and begun.destination):
            return
        counts = self._counts.setdefault(begun.destination, Counts())
        counts.attempts += 1
        counts.failures += is_destination_failure(result)
        if begun.destination_held:
            self._also_report.add(begun.destination)
        if begun.destination_held or self._may_open(counts):
            self._urgent.set()

    def _may_open(self, counts: Counts) -> bool:
        """Whether the attempts of this worker alone are enough to open the breaker."""
        enough = counts.failures >= self._limits.attempts
        percent = self._limits.percent
        return enough and counts.failures * 100 >= counts.attempts * percent

    async def run(self) -> None:
        """Report once a second, or at once if a report is urgent, until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), REPORT_EVERY_S)
            self._urgent.clear()
            counts_by_destination, self._counts = self._counts, {}
            report = {
                destination: (counts.attempts, counts.failures)
                for destination, counts in counts_by_destination.items()
                if counts.failures or destination in self._also_report
            }
            self._also_report = {d for d, (_, failures) in report.items() if failures}
            if report:
                await self._send(report)

    async def _send(self, report: dict[str, tuple[int, int]]) -> None:
        try:
            changed = await self._store.report(report, limits=self._limits)
        except RedisError as err:
            log.warning(logfmt.line("report.failed", problem=err))
            return
        for destination, state in changed.items():
            log.warning(
                logfmt.line("breaker.changed", destination=destination, state=state)
            )


def is_destination_failure(result: Result) -> bool:
    """Return whether an attempt failed because its destination does not work.

    True after an error in `DESTINATION_FAILURES`, or a status of 500 or higher. But
    after a 503 with `Retry-After` the result is False: such a destination works, and
    asks clients to slow down.
    """
    if result.error is not None:
        return result.error in DESTINATION_FAILURES
    if result.status is None or result.status < 500:
        return False
    names = {name.lower() for name, _ in result.headers}
    return not (result.status == 503 and "retry-after" in names)
