"""Writes outcomes down, many at once, and keeps them while the store is away."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.store.connection import RETRY_INTERVAL_S
from scheduler_api.core.store.leases import Outcome, Settled, Settlement, WorkerStore

log = logging.getLogger("scheduler.worker")

# What is begun or settled in one call. A full worker goes in parts, so that beginning,
# sending and settling overlap: as one they would take turns, store and worker each idle
# half of the time.
MOST_AT_ONCE = 25
REPEATED_S = 5.0
MOST_REPEATED = 10_000


class Settler:
    """A queue of outcomes with one writer.

    After any reconnect it repeats the last five seconds: a store that failed over may
    have lost its latest writes, and a settle that was kept ignores its repeat.
    """

    def __init__(
        self, store: WorkerStore, on_settled: Callable[[str, str], None]
    ) -> None:
        self._store = store
        self._on_settled = on_settled
        self._waiting: list[Settlement] = []
        self._recent: deque[tuple[float, Settlement]] = deque(maxlen=MOST_REPEATED)
        self._connects_seen = 0
        self._added = asyncio.Event()

    def add(self, settlement: Settlement) -> None:
        """Takes an outcome; it is kept until the store has it."""
        self._waiting.append(settlement)
        self._added.set()

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            await self._added.wait()
            batch = self._waiting[:MOST_AT_ONCE]
            await self._write(batch)
            del self._waiting[: len(batch)]
            if not self._waiting:
                self._added.clear()

    async def _write(self, batch: list[Settlement]) -> None:
        answers = await self._until_answered(batch)
        now_s = time.monotonic()
        self._forget_before(now_s - REPEATED_S)
        for settlement, answer in zip(batch, answers, strict=True):
            self._recent.append((now_s, settlement))
            self._on_settled(settlement.event_id, settlement.token)
            _report(settlement, answer)

    def _forget_before(self, earliest_s: float) -> None:
        while self._recent and self._recent[0][0] < earliest_s:
            self._recent.popleft()

    async def _until_answered(self, batch: list[Settlement]) -> list[Settled]:
        while True:
            try:
                answers = await self._store.settle(batch)
                await self._repeat_recent()
                return answers
            except RedisError as err:
                log.warning(
                    logfmt.line(
                        "settle.failed", waiting=len(self._waiting), problem=err
                    )
                )
                await asyncio.sleep(RETRY_INTERVAL_S)

    async def _repeat_recent(self) -> None:
        """After any new connection of this worker's: the store may be another."""
        connects = self._store.connects
        if connects == self._connects_seen:
            return
        recent = [each for _, each in self._recent]
        for at in range(0, len(recent), MOST_AT_ONCE):
            await self._store.settle(recent[at : at + MOST_AT_ONCE])
        self._connects_seen = connects


def _report(settlement: Settlement, answer: Settled) -> None:
    # A retry that the store did not plan would have come too late.
    unplanned = settlement.outcome is Outcome.RETRY and not answer.next_ms
    dead = settlement.outcome is Outcome.DEAD or unplanned
    level = logging.WARNING if dead else logging.DEBUG
    if answer.code != "settled":
        level = logging.INFO
    if not log.isEnabledFor(level):
        return
    log.log(
        level,
        logfmt.line(
            "event.dead" if dead else "event.settled",
            event=answer.event_id,
            attempt=settlement.attempt,
            outcome=settlement.outcome,
            answer=answer.code,
            reason=settlement.reason or None,
            contact=(settlement.contact or None) if dead else None,
            next_ms=answer.next_ms or None,
        ),
    )
