"""Counts what became of attempts, and adds the counts to the store once a second."""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.delivery.causes import cause
from scheduler_api.core.delivery.destinations import BadDestination
from scheduler_api.core.model import Begun, Outcome
from scheduler_api.core.store import gate_names, statistics
from scheduler_api.core.store.leases import Report, Settlement, WorkerStore
from scheduler_api.core.store.statistics import (
    OTHERS,
    Counts,
    DestinationCounts,
    Part,
    bucket_of,
)
from workers.boot_clock import boot_s

log = logging.getLogger("scheduler.worker")

WRITE_EVERY_S = 1.0
# How many names of origins are remembered; to find a name out takes 20 us.
MAX_REMEMBERED = 10_000
WITHOUT_OUTCOME = (Outcome.INTERRUPTED, Outcome.UNSENT)


class Tally:
    """What became of the attempts of a tenant at an origin since the last write."""

    __slots__ = (
        *("causes", "delivered", "durations_ms", "is_failing", "last_cause"),
        "name",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.delivered = 0
        self.causes: Counter[str] = Counter()
        self.durations_ms: list[int] = []
        self.is_failing = False
        self.last_cause = ""

    def add_duration(self, report: Report) -> None:
        """Count how long an attempt took, if it has made a request."""
        if report.total_ms is not None:
            self.durations_ms.append(report.total_ms)


class AttemptCounts:
    """Counts in memory; `run` adds the counts to the store.

    What could not be written is added later. If only the reply was lost, it then counts
    twice. Use an instance on one event loop only.

    Attributes:
        delivered, failed: the attempts of this process so far.
    """

    def __init__(
        self,
        store: WorkerStore,
        *,
        clock: Callable[[], float] = boot_s,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            clock: the clock of the times that are passed to `count_begun`.
            wall_clock: used until the store has told its time.
        """
        self._store = store
        self._clock = clock
        # What the clock lacks to the store's clock, which says when events are due.
        self._offset_ms = (wall_clock() - clock()) * 1000
        # By tenant, and gate of the origin.
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._names: dict[str, str] = {}
        self._late: defaultdict[str, list[float]] = defaultdict(list)
        self._unwritten: defaultdict[str, Counts] = defaultdict(Counts)
        # What the store gets first. A part leaves this list once it is in the store, so
        # that no part counts twice if the store goes away between two parts.
        self._parts: list[Part] = []
        self.delivered = 0
        self.failed = 0

    def count_begun(self, begun: Sequence[Begun], at_s: float) -> None:
        """Count how late first attempts begin; waits at gates are included."""
        at_ms = at_s * 1000 + self._offset_ms
        for each in begun:
            if each.attempt == 1:
                self._late[each.owner.tenant].append(at_ms - each.wanted_ms)

    def count(self, begun: Begun, settlement: Settlement) -> None:
        """Count an attempt, unless it had no outcome or sent no request."""
        key = (begun.owner.tenant, begun.origin)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._new_tally(key, settlement.report.url)
        report = settlement.report
        if settlement.outcome is Outcome.DELIVERED:
            if report.status is not None:
                self.delivered += 1
                tally.delivered += 1
                tally.is_failing = False
                tally.add_duration(report)
        elif settlement.outcome not in WITHOUT_OUTCOME:
            found = cause(report.status, report.error, report.detail)
            self.failed += 1
            tally.is_failing = True
            tally.last_cause = found.code if found else f"http-{report.status}"
            tally.causes[tally.last_cause] += 1
            tally.add_duration(report)

    def _new_tally(self, key: tuple[str, str], url: str) -> Tally:
        origin = key[1]
        name = self._names.get(origin)
        if name is None:
            name = _name(url)
        # The content may be unreadable, or not read yet: then there is no URL.
        if name != OTHERS and origin:
            self._names[origin] = name
            if len(self._names) > MAX_REMEMBERED:
                del self._names[next(iter(self._names))]
        tally = self._tallies[key] = Tally(name)
        return tally

    async def run(self) -> None:
        """Write once a second, until cancelled."""
        while True:
            await self.write()
            await asyncio.sleep(WRITE_EVERY_S)

    async def write(self) -> None:
        """Add to the store what was counted; keep what the store does not take."""
        self._collect()
        try:
            await self._write_parts()
            counts, self._unwritten = self._unwritten, defaultdict(Counts)
            self._parts = list(statistics.parts_of(counts))
            await self._write_parts()
        except RedisError as err:
            log.debug(logfmt.line("counts.not_written", problem=err))

    async def _write_parts(self) -> None:
        while batch := self._parts[: statistics.PARTS_AT_ONCE]:
            cell, client = self._store.cell, self._store.client
            now_ms = await statistics.add_parts(cell, client, batch)
            del self._parts[: len(batch)]
            self._offset_ms = now_ms - self._clock() * 1000

    def _collect(self) -> None:
        """Move what was counted to the counts of its tenants."""
        tallies, self._tallies = self._tallies, {}
        for (tenant, _), tally in tallies.items():
            failed = tally.causes.total()
            if not (tally.delivered or failed):
                continue
            counts = self._unwritten[tenant]
            counts.delivered += tally.delivered
            counts.failed += failed
            counts.causes += tally.causes
            counts.durations += Counter(map(bucket_of, tally.durations_ms))
            counts.duration_ms += sum(tally.durations_ms)
            counts.add_destination(
                tally.name,
                DestinationCounts(
                    delivered=tally.delivered,
                    failed=failed,
                    is_failing=tally.is_failing,
                    cause=tally.last_cause,
                ),
            )
        late, self._late = self._late, defaultdict(list)
        for tenant, times_ms in late.items():
            counts = self._unwritten[tenant]
            counts.late += Counter(map(bucket_of, times_ms))
            counts.late_ms += int(sum(max(0, each) for each in times_ms))


def _name(url: str) -> str:
    """Return the origin of a URL; path and query may have secrets."""
    try:
        return gate_names.readable_origin(url)
    except BadDestination:
        return OTHERS
