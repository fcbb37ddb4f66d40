"""The events that one worker has in flight, from begin to settle."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.model import Begun
from scheduler_api.core.store.connection import RETRY_INTERVAL_S
from scheduler_api.core.store.leases import WorkerStore
from workers import supervision
from workers.delivery.deliverer import Deliverer
from workers.delivery.fair_share import Shares
from workers.delivery.settler import MOST_AT_ONCE, Settler

log = logging.getLogger("scheduler.worker")

GIVE_BACK_AFTER_S = 0.25
SMALLEST_BATCH = 20
SMALLEST_SHARE = 5
ISOLATED_FROM = 2
# It runs on while the machine sleeps, so a worker that wakes up knows how late it is.
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_s() -> float:
    """Seconds on a clock that neither steps nor stops."""
    return time.clock_gettime(CLOCK)


@dataclass
class Held:
    """An event in hand, and the moment (boot clock) until which it surely is ours."""

    begun: Begun
    until_s: float

    def may_write(self) -> bool:
        """Whether a request may still be written: afterwards another may send it."""
        return boot_s() < self.until_s


class InFlight:
    """Takes envelopes, begins what fits, keeps leases, hands outcomes to the settler.

    Lives on one event loop; no method may be called from another thread.
    """

    def __init__(
        self,
        store: WorkerStore,
        deliverer: Deliverer,
        *,
        capacity: int,
        renew_interval_ms: int,
        share_percent: int = 100,
    ) -> None:
        self._store = store
        self._deliverer = deliverer
        self._capacity = capacity
        # A begin is a round trip, but a small capacity must not wait to be empty.
        self._smallest_batch = max(1, min(SMALLEST_BATCH, capacity // SMALLEST_SHARE))
        self._renew_interval_s = renew_interval_ms / 1000
        self._lease_s = store.lease_ms / 1000
        self._held: dict[str, Held] = {}
        self._shares = Shares(capacity, percent=share_percent)
        self._coming = 0
        self._freed = asyncio.Event()
        self._shut = False
        self._settler = Settler(store, self._let_go)
        self._tasks: set[asyncio.Task[None]] = set()
        self._keepers = [
            supervision.watch(asyncio.create_task(self._settler.run(), name="settler")),
            supervision.watch(asyncio.create_task(self._keep_leases(), name="leases")),
        ]

    @property
    def count(self) -> int:
        """Events in hand: being sent, or not yet settled."""
        return len(self._held)

    @property
    def is_shut(self) -> bool:
        """Whether nothing more is begun."""
        return self._shut

    async def has_room(self, timeout_s: float) -> bool:
        """Whether more than what is coming may be begun, now or within that time."""
        if self._room <= self._coming:
            await self._wait_for_room(timeout_s)
        return self._room > self._coming

    @property
    def _room(self) -> int:
        room = self._capacity - len(self._held)
        return room if room > 0 else room + self._shares.extra

    async def accept(self, ids: Sequence[str], *, isolated: bool) -> None:
        """Begins the events of an envelope as room allows; returns when none is left.

        What finds no room for 250 ms is given back, so that another worker may take it,
        and so is everything after `shut`, or one that is isolated while another such
        event is in hand.

        Raises: RedisError; what was not begun comes back when its offer is over.
        """
        self._coming += len(ids)
        try:
            await self._accept(deque(ids), isolated=isolated)
        finally:
            self._coming -= len(ids)
            self._freed.set()

    async def _accept(self, waiting: deque[str], *, isolated: bool) -> None:
        give_back_at = time.monotonic() + GIVE_BACK_AFTER_S
        begun, was_full = 0, False
        while waiting and self._may_begin(isolated=isolated):
            fits = self._room
            late = time.monotonic() >= give_back_at
            if fits and (late or fits >= min(len(waiting), self._smallest_batch)):
                most = min(fits, len(waiting), MOST_AT_ONCE)
                batch = [waiting.popleft() for _ in range(most)]
                full = len(self._held) >= self._capacity
                begun += await self._begin(batch, full=full)
                was_full = was_full or full
                give_back_at = time.monotonic() + GIVE_BACK_AFTER_S
            elif late:
                break
            else:
                await self._wait_for_room(give_back_at - time.monotonic())
        if was_full and not begun:
            self._shares.find_nobody()
        if waiting:
            await self._store.release(list(waiting))

    def shut(self) -> None:
        """Has nothing more begun: what waits is given back."""
        self._shut = True
        self._freed.set()

    def _may_begin(self, *, isolated: bool) -> bool:
        return not (self._shut or (isolated and self._one_is_isolated()))

    def _one_is_isolated(self) -> bool:
        return any(h.begun.interruptions >= ISOLATED_FROM for h in self._held.values())

    async def _wait_for_room(self, timeout_s: float) -> None:
        self._freed.clear()
        try:
            await asyncio.wait_for(self._freed.wait(), timeout_s)
        except TimeoutError:
            return

    async def _begin(self, ids: Sequence[str], *, full: bool) -> int:
        until_s = boot_s() + self._lease_s
        share = self._shares.of_begin(full=full)
        begun, fallen = await self._store.begin(ids, share=share)
        for event_id, reason in fallen.items():
            log.debug(logfmt.line("event.not_begun", event=event_id, reason=reason))
        for event in begun:
            self._held[event.id] = held = Held(event, until_s)
            self._shares.take(event.destination)
            task = asyncio.create_task(self._deliver(held))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(begun)

    async def _deliver(self, held: Held) -> None:
        settlement = await self._deliverer.deliver(held.begun, may_write=held.may_write)
        if settlement is None:
            self._let_go(held.begun.id, held.begun.token)
        else:
            self._settler.add(settlement)

    def _let_go(self, event_id: str, token: str) -> None:
        held = self._held.get(event_id)
        if held is not None and held.begun.token == token:
            del self._held[event_id]
            self._shares.give(held.begun.destination)
            self._freed.set()

    async def _keep_leases(self) -> None:
        pause_s = self._renew_interval_s
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._renew_interval_s
            held = list(self._held.values())
            if not held:
                continue
            until_s = boot_s() + self._lease_s
            try:
                lost = await self._store.renew([h.begun for h in held])
            except RedisError as err:
                log.warning(logfmt.line("renewal.failed", problem=err))
                pause_s = min(pause_s, RETRY_INTERVAL_S)
                continue
            for each in held:
                each.until_s = 0.0 if each.begun.id in lost else until_s

    async def drain(self, grace_s: float) -> int:
        """Waits for what is in hand; answers how many are left after the grace."""
        end = time.monotonic() + grace_s
        while self._held and (left_s := end - time.monotonic()) > 0:
            await self._wait_for_room(left_s)
        return len(self._held)

    async def close(self) -> None:
        """Ends what runs in the background; what is in hand is left to its leases."""
        for task in (*self._keepers, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._keepers, *self._tasks, return_exceptions=True)
