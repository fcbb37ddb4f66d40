"""The events that a worker has in flight, from begin to settle."""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.model import Begun
from scheduler_api.core.store.connection import RETRY_INTERVAL_S
from scheduler_api.core.store.leases import Settled, Settlement, WorkerStore
from scheduler_api.core.store.reads import log_quarantined
from workers import supervision
from workers.boot_clock import boot_s
from workers.delivery.attempt_counts import AttemptCounts
from workers.delivery.attempt_log import AttemptLog
from workers.delivery.deliverer import Deliverer
from workers.delivery.fair_share import FairShare, Use
from workers.delivery.pacer import Pacer
from workers.delivery.settler import MAX_BATCH, Settler
from workers.delivery.suspicion import Suspicion

log = logging.getLogger("scheduler.worker")

RELEASE_AFTER_S = 0.25
SMALLEST_BATCH = 20
SMALLEST_BATCHES = 5
ISOLATED_FROM = 2
SLOW_S = 2.0


@dataclass(slots=True)
class Delivery:
    """An event in flight and the end of its lease, on the clock of `boot_s`."""

    begun: Begun
    # A clock that counts while the machine is suspended shows that the lease has ended.
    until_s: float
    # When the event began, on the same clock.
    since_s: float
    use: Use

    def may_write(self) -> bool:
        """Whether the lease is valid; otherwise another worker may have the event."""
        return boot_s() < self.until_s


class InFlight:
    """Begin events, deliver them, renew their leases, and queue their settlements.

    Use an instance on one event loop only; no method is thread-safe.

    Args:
        capacity: the maximum number of events in flight.
        share_percent: how much of the capacity, without the reserve, one destination
            may use while other destinations are wanted.
        pacer: decides when more events may begin; None: always.
        suspicion: while it is active, only a few events begin.
        counts: counts the attempts; None: they are not written to the store.
    """

    def __init__(
        self,
        store: WorkerStore,
        deliverer: Deliverer,
        *,
        capacity: int,
        renew_interval_ms: int,
        share_percent: int = 100,
        pacer: Pacer | None = None,
        suspicion: Suspicion | None = None,
        counts: AttemptCounts | None = None,
    ) -> None:
        self._store = store
        self._deliverer = deliverer
        self._capacity = capacity
        # Large batches save round trips. But in a worker with a small capacity, a large
        # batch would fit only when no event is in flight. Such a worker therefore uses
        # smaller batches.
        self._smallest_batch = max(1, min(SMALLEST_BATCH, capacity // SMALLEST_BATCHES))
        self._renew_interval_s = renew_interval_ms / 1000
        self._lease_s = store.lease_ms / 1000
        self._deliveries: dict[str, Delivery] = {}
        self._fair_share = FairShare(capacity, percent=share_percent)
        self._pacer = pacer or Pacer(0)
        self._suspicion = suspicion or Suspicion()
        self.counts = counts or AttemptCounts(store)
        self._incoming = 0
        self._room_changed = asyncio.Event()
        self._is_accepting = True
        self._attempt_log = AttemptLog()
        self._settler = Settler(store, self._end)
        self._tasks: set[asyncio.Task[None]] = set()
        self._background = [
            supervision.watch(asyncio.create_task(self._settler.run(), name="settler")),
            supervision.watch(asyncio.create_task(self._renew_leases(), name="leases")),
        ]

    @property
    def count(self) -> int:
        """The number of events that are begun and not yet settled."""
        return len(self._deliveries)

    @property
    def is_suspected(self) -> bool:
        """Whether the worker suspects that it can reach nothing itself."""
        return self._suspicion.is_active

    def slow(self) -> list[Begun]:
        """Return the events that began more than two seconds ago.

        May be called in another thread.
        """
        return list(_open_since(boot_s() - SLOW_S, [*self._deliveries.values()]))

    def _open(self, now_s: float) -> Iterator[Begun]:
        return _open_since(now_s - SLOW_S, self._deliveries.values())

    def stop_pacing(self) -> None:
        """Begin events without waiting for the first results of their routes.

        For a worker that exits when the queue is empty: what it delays would stay.
        """
        self._pacer = Pacer(0)

    @property
    def is_accepting(self) -> bool:
        """Whether more events may begin."""
        return self._is_accepting

    async def has_room(self, timeout_s: float) -> bool:
        """Return whether there is room beyond the events that are being accepted.

        If there is no room, wait for room until the time-out.
        """
        if self._room <= self._incoming:
            await self._wait_for_room(timeout_s)
        return self._room > self._incoming

    @property
    def _room(self) -> int:
        return self._room_and_most()[0]

    def _room_and_most(self) -> tuple[int, int]:
        """Return the room, and how much there would be without fast deliveries."""
        now_s = boot_s()
        room, most = self._fair_share.room(self._open(now_s), now_s=now_s)
        if self._suspicion.is_active:
            return max(0, min(room, self._suspicion.room)), self._capacity
        return room, most

    @property
    def _enough_room(self) -> int:
        """The room for which it is not worth to wait for more."""
        return 1 if self._suspicion.is_active else self._smallest_batch

    async def accept(self, ids: Sequence[str], *, isolated: bool) -> None:
        """Begin the events of an envelope, in batches, as soon as there is room.

        If there is no room for 250 ms, or after `stop_accepting`, the events that have
        not begun are released. Another worker can then begin them. An isolated event is
        also released if another isolated event is in flight in this worker.

        Raises:
            RedisError: events that have not begun become due again when their offer
                ends.
        """
        self._incoming += len(ids)
        try:
            await self._accept(deque(ids), isolated=isolated)
        finally:
            self._incoming -= len(ids)
            self._room_changed.set()

    async def _accept(self, waiting: deque[str], *, isolated: bool) -> None:
        release_at = time.monotonic() + RELEASE_AFTER_S
        while waiting and self._may_begin(isolated=isolated):
            if self._pacer.must_wait:
                await self._pacer.wait()
                continue
            room, most = self._room_and_most()
            wanted = min(len(waiting), self._enough_room, max(1, most // 2))
            is_late = time.monotonic() >= release_at
            if room and (is_late or room >= wanted):
                # If slow destinations use most of the worker, `begin` turns most events
                # away. Then a batch may be larger than the room.
                limit = MAX_BATCH if most * 2 < self._capacity else room
                size = min(limit, len(waiting), MAX_BATCH)
                batch = [waiting.popleft() for _ in range(size)]
                waiting.extendleft(reversed(await self._begin(batch)))
                release_at = time.monotonic() + RELEASE_AFTER_S
            elif is_late:
                break
            else:
                await self._wait_for_room(release_at - time.monotonic())
        if waiting:
            await self._store.release(list(waiting))

    def stop_accepting(self) -> None:
        """Begin no more events; release the events that wait for room."""
        self._is_accepting = False
        self._room_changed.set()

    def _may_begin(self, *, isolated: bool) -> bool:
        return self._is_accepting and not (isolated and self._has_isolated())

    def _has_isolated(self) -> bool:
        return any(
            delivery.begun.interruptions >= ISOLATED_FROM
            for delivery in self._deliveries.values()
        )

    async def _wait_for_room(self, timeout_s: float) -> None:
        self._room_changed.clear()
        try:
            await asyncio.wait_for(self._room_changed.wait(), timeout_s)
        except TimeoutError:
            return

    async def _begin(self, ids: Sequence[str]) -> list[str]:
        """Begin events; return those for which there was no room."""
        now_s = boot_s()
        share = None
        if self._fair_share.is_busy(len(ids)):
            share = self._fair_share.limits(self._open(now_s), now_s=now_s)
        paused = self._pacer.paused_routes
        if self._suspicion.is_active:
            paused += self._suspicion.avoided_routes
        begun, not_begun = await self._store.begin(
            ids, share=share, paused_routes=paused
        )
        if self._suspicion.is_active:
            self._suspicion.count_begun(len(begun))
        self.counts.count_begun(begun, boot_s())
        for event in begun:
            use = self._fair_share.add(event, now_s=now_s)
            delivery = Delivery(event, now_s + self._lease_s, now_s, use)
            # A lost attempt of the same event may still run.
            if event.id in self._deliveries:
                self._forget(event.id)
            self._deliveries[event.id] = delivery
            self._pacer.add(event.route)
            task = asyncio.create_task(self._deliver(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not_begun:
            await self._log_not_begun(not_begun)
        return [each for each, code in not_begun.items() if code == "full"]

    async def _log_not_begun(self, codes: Mapping[str, str]) -> None:
        if log.isEnabledFor(logging.DEBUG):
            log.debug(logfmt.line("events.not_begun", **Counter(codes.values())))
        quarantined = [each for each, code in codes.items() if code == "quarantined"]
        if quarantined:
            await asyncio.to_thread(log_quarantined, self._store.cell, quarantined)

    async def _deliver(self, delivery: Delivery) -> None:
        settlement = await self._deliverer.deliver(
            delivery.begun, may_write=delivery.may_write
        )
        self._fair_share.note(delivery.use, settlement.report, now_s=boot_s())
        self._settler.add(settlement)

    def _end(self, settlement: Settlement, settled: Settled) -> None:
        delivery = self._deliveries.get(settlement.event_id)
        if delivery is None:
            return
        self._attempt_log.add(delivery.begun.owner, settlement, settled)
        self.counts.count(delivery.begun, settlement)
        if delivery.begun.token == settlement.token:
            self._forget(settlement.event_id)
            self._room_changed.set()

    def _forget(self, event_id: str) -> None:
        delivery = self._deliveries.pop(event_id, None)
        if delivery is not None:
            is_trial = delivery.begun.is_trial
            self._fair_share.remove(delivery.use, is_trial=is_trial)
            self._pacer.remove(delivery.begun.route)

    async def _renew_leases(self) -> None:
        pause_s = self._renew_interval_s
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._renew_interval_s
            deliveries = list(self._deliveries.values())
            if not deliveries:
                continue
            until_s = boot_s() + self._lease_s
            try:
                lost = await self._store.renew(
                    [delivery.begun for delivery in deliveries]
                )
            except RedisError as err:
                log.warning(logfmt.line("renewal.failed", problem=err))
                pause_s = min(pause_s, RETRY_INTERVAL_S)
                continue
            for delivery in deliveries:
                is_lost = delivery.begun.id in lost
                delivery.until_s = 0.0 if is_lost else until_s

    async def drain(self, grace_s: float) -> int:
        """Wait for the events in flight; return how many are left after the grace."""
        end_s = time.monotonic() + grace_s
        while self._deliveries and (left_s := end_s - time.monotonic()) > 0:
            await self._wait_for_room(left_s)
        return len(self._deliveries)

    async def close(self) -> None:
        """Cancel all tasks; events in flight become due again when their leases end."""
        tasks = (*self._background, *self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._attempt_log.close()


def _open_since(before_s: float, deliveries: Iterable[Delivery]) -> Iterator[Begun]:
    """Return the events that began before this time; deliveries: oldest first."""
    for delivery in deliveries:
        if delivery.since_s >= before_s:
            return
        yield delivery.begun
