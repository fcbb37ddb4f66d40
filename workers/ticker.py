"""The ticker: moves due events to RQ. Any number of tickers may run."""

import logging
import redis
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from redis.client import PubSub
from scheduler_api.core import gc_tuning, logfmt
from scheduler_api.core.errors import ForeignDatabase, UnknownLayout
from scheduler_api.core.store import fitness, keys, statistics
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import Claim, ClaimTimeouts, LastContact, claim
from scheduler_api.core.store.clock_step import ClockStep
from scheduler_api.core.store.connection import (
    RETRY_INTERVAL_S,
    TIMEOUT_S,
    connect,
)
from scheduler_api.core.store.epoch import EpochWatch, claim_database, establish
from scheduler_api.core.store.epoch_memory import StoreMemory
from scheduler_api.core.store.memory import has_no_room
from scheduler_api.core.store.processes import Load, SignOfLife
from scheduler_api.core.store.reads import log_quarantined, name_members
from scheduler_api.core.store.rq_envelopes import RqEnqueuer
from scheduler_api.settings import Settings
from types import FrameType
from typing import Any
from workers.bootstrap import start_process
from workers.claim_pace import ClaimPace
from workers.store_clock import StoreClock

log = logging.getLogger("scheduler.ticker")

MAX_WAIT_S = 1.0
# What is remembered of the last claim may be older than the last claim by this.
FORGOTTEN_MS = 2_000
# The ticker wakes up this long before the next event is due, because it takes about
# this long to wake up and reach the store. A claim that arrives too early does no harm:
# the store's clock decides which events are due, so the claim moves no events. The
# ticker then claims again.
WAKE_UP_S = 0.0005


class EvictingStore(Exception):
    """The store may evict keys: set its maxmemory-policy to noeviction."""


class Ticker:
    """Claim due events and enqueue them in RQ, then sleep until the next is due."""

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        *,
        clock: StoreClock | None = None,
        remembers: bool = False,
    ) -> None:
        """
        Args:
            remembers: whether later processes remember the store of this ticker.
        """
        self.client = client
        self.prefix = settings.prefix
        self.cell = Cell(client, settings.prefix)
        self.enqueuer = RqEnqueuer(client)
        self.envelope_size = settings.envelope_size
        self.high_water_percent = settings.store_high_water_percent
        self._sign = SignOfLife(
            *(self.cell, "ticker"),
            settings=settings.digest(),
            shared=settings.shared(),
        )
        self.timeouts = ClaimTimeouts(
            offer_ms=settings.offer_lease_ms,
            lease_ms=settings.lease_ms,
            grace_ms=settings.lease_grace_ms,
            missed_grace_ms=settings.missed_grace_ms,
        )
        self.stopping = threading.Event()
        memory = StoreMemory(self.cell, settings.state_dir) if remembers else None
        self._watch = EpochWatch(self.cell, memory)
        self._checked_at = 0.0
        self._may_claim = False
        self._is_full = False
        self._persistence = fitness.Persistence()
        self._is_doubtful = False
        self._clock = clock or StoreClock()
        # Whether the next claim checks the store's clock, and the clock's last jump.
        self._checks_clock = True
        self._jump: ClockStep | None = None
        self._contact: LastContact | None = None
        self._newest_id = 0
        self._stops_on_step = settings.stop_on_clock_step
        self._unreported: ClockStep | None = None
        self._claimed_at: float | None = None
        self._pace = ClaimPace()
        self._rest_s = 0.0
        self._is_working = False
        # What claims have done and the store does not have in its totals yet.
        self._claimed = self._lost_leases = 0

    def tick(self) -> float:
        """Claim once; return how many seconds to sleep until the next tick.

        Raises: EvictingStore.
        """
        if time.monotonic() - self._checked_at >= MAX_WAIT_S:
            self._check_store()
        if not self._may_claim:
            return MAX_WAIT_S
        try:
            claimed = self._claim()
        except redis.RedisError:
            self._is_working = False
            raise
        if claimed.is_unexpected:
            return 0.0
        self._claimed_at = time.monotonic()
        self._claimed += len(claimed.ids) + len(claimed.isolated_ids)
        self._lost_leases += len(claimed.interrupted)
        if not self._is_working:
            self._is_working = True
            self._report()
        self._log(claimed)
        rest_s = self._pace.rest_s(len(claimed.ids), self._claimed_at)
        # A backlog is claimed without a rest.
        self._rest_s = rest_s if claimed.next_us else 0.0
        if claimed.next_us is None or claimed.rq_full:
            return MAX_WAIT_S
        wait_s = claimed.next_us / 1_000_000 - WAKE_UP_S
        return min(max(0.0, wait_s), MAX_WAIT_S)

    def _claim(self) -> Claim:
        """Claim, unless the store's clock has stepped; report a step."""
        since_ms = self._clock.now_ms()
        claimed = claim(
            self.cell,
            room=self.envelope_size,
            timeouts=self.timeouts,
            enqueuer=self.enqueuer,
            expected_ms=self._clock.expected_ms(since_ms)
            if self._checks_clock
            else None,
            jump=self._jump,
            contact=self._contact,
        )
        has_stepped = self._observe(claimed.now_ms, since_ms=since_ms)
        # If the store was only slow to run the claim, repeat the claim unchecked.
        self._checks_clock = has_stepped or not claimed.is_unexpected
        if not claimed.is_unexpected:
            self._contact = LastContact(claimed.server, claimed.now_ms, claimed.now_ms)
        return claimed

    def _note_outage(self) -> None:
        """Remember when the store was called last; it may lose what it did then."""
        contact, now_ms = self._contact, self._clock.expected_ms(self._clock.now_ms())
        if contact and now_ms and contact.contact_ms == contact.claimed_ms:
            contact_ms = max(contact.claimed_ms, now_ms)
            self._contact = contact._replace(contact_ms=contact_ms)

    def _observe(self, store_ms: int, *, since_ms: float) -> bool:
        """Return whether the store's clock has stepped; report the step."""
        step = self._clock.observe(store_ms, since_ms=since_ms)
        if step is None:
            return False
        if step.ms > 0:
            self._jump = step
        if self._stops_on_step:
            self._may_claim = self._is_working = False
        self._unreported = step
        hint = "run `scheduler accept-clock` to continue"
        log.critical(
            logfmt.line(
                "store.clock_stepped",
                step_ms=step.ms,
                hint=hint if self._stops_on_step else None,
            )
        )
        self._report()
        return True

    def _check_store(self) -> None:
        """Report that a ticker runs, and what it has claimed.

        Check the memory, policy, epoch and clock of the store.
        """
        self._checked_at, since_ms = time.monotonic(), self._clock.now_ms()
        pipe = self.client.pipeline(transaction=False)
        pipe.info("memory", "persistence")
        pipe.get(keys.epoch(self.prefix))
        pipe.get(keys.accepted_epoch(self.prefix))
        pipe.get(keys.clock_step(self.prefix))
        pipe.get(keys.sequence(self.prefix))
        pipe.time()
        info, epoch, accepted, stepped, newest_id, now = pipe.execute()
        step = ClockStep.parse(stepped)
        is_stopped = self._stops_on_step and bool(step or self._unreported)
        may_evict = info.get("maxmemory_policy") != "noeviction"
        is_evicting = may_evict and bool(info.get("maxmemory"))
        self._may_claim = self._check_epoch(epoch, accepted) and not is_stopped
        self._may_claim = self._may_claim and not is_evicting
        self._remember(newest_id)
        self._check_persistence(info)
        self._is_working = self._is_working and self._may_claim
        if step is not None and step.ms > 0:
            self._jump = step
        self._is_full = has_no_room(info, high_water_percent=self.high_water_percent)
        if not self._observe(now[0] * 1000 + now[1] // 1000, since_ms=since_ms):
            self._report()
        self._add_totals()
        if is_evicting:
            raise EvictingStore(EvictingStore.__doc__)

    def _add_totals(self) -> None:
        """Add to the store what claims have done since the last time."""
        if self._claimed or self._lost_leases:
            statistics.add_totals(
                self.cell, claimed=self._claimed, lost_leases=self._lost_leases
            )
            self._claimed = self._lost_leases = 0

    def _check_persistence(self, info: Mapping[str, Any]) -> None:
        """Log once that the store stops to write its append-only file."""
        has_ended = self._persistence.has_ended(info)
        if has_ended and not self._is_doubtful:
            problem = fitness.NO_LONGER_PERSISTENT
            log.critical(logfmt.line("store.doubtful", problem=problem))
        self._is_doubtful = has_ended

    def _report(self) -> None:
        """Report that a ticker runs, and whether its last claim was successful."""
        self._sign.report(
            self._load(),
            is_full=self._is_full,
            is_working=self._is_working,
            step=self._unreported,
            keeps_step=self._stops_on_step,
        )
        self._unreported = None

    def _load(self) -> Load:
        if self._claimed_at is None:
            return {}
        age_s = time.monotonic() - self._claimed_at
        return {"lastClaimAgeMs": round(age_s * 1000)}

    def _check_epoch(self, epoch: bytes | None, accepted: bytes | None) -> bool:
        """Return whether the ticker may go on with the store.

        The epoch changes if the store loses its data, or is replaced by another store.
        The ticker may go on if the epoch is the one that it or an earlier process
        knew, or if an operator has accepted the new epoch.
        """
        expected = self._watch.expected
        if not expected:
            claim_database(self.client, self.prefix)
            expected = self._load_memory()
        if not expected:
            epoch = establish(self.client, self.prefix)
        if self._watch.judge(epoch, accepted):
            if self._watch.expected != expected:
                self._contact = None
            return True
        log.critical(
            logfmt.line(
                "store.lost",
                expected=expected,
                found=epoch and epoch.decode(errors="replace"),
                hint="run `scheduler accept-store` to continue with it",
            )
        )
        return False

    def _remember(self, newest_id: bytes | None) -> None:
        """Let later processes remember what this one knows of the store."""
        contact = self._contact or LastContact("", 0, 0)
        if not self._watch.is_lost and newest_id and newest_id.isdigit():
            self._newest_id = int(newest_id)
        self._watch.keep(
            newest_id=self._newest_id,
            server=contact.server,
            claimed_ms=contact.claimed_ms,
        )

    def _load_memory(self) -> str:
        """Take over what earlier processes knew of the store; return its epoch."""
        found = self._watch.load()
        if found.server:
            contact_ms = found.claimed_ms + FORGOTTEN_MS
            self._contact = LastContact(found.server, found.claimed_ms, contact_ms)
        self._newest_id = found.newest_id
        return found.epoch

    def _log(self, claimed: Claim) -> None:
        if claimed.lost_ms:
            log.critical(logfmt.line("store.older", lost_ms=claimed.lost_ms))
        for named in name_members(self.cell, claimed.interrupted):
            log.warning(logfmt.line("attempt.interrupted", **named))
        log_quarantined(self.cell, claimed.quarantined)
        for url in claimed.closed:
            log.warning(logfmt.line("breaker.changed", url=url, state="closed"))

    def run(self) -> None:
        """Tick until `stop`; after an error other than UnknownLayout, retry.

        Raises: UnknownLayout.
        """
        while not self.stopping.is_set():
            try:
                self._run_until_error()
            except UnknownLayout:
                raise
            except (EvictingStore, ForeignDatabase) as err:
                log.critical(logfmt.line("store.unfit", problem=err))
            except redis.RedisError as err:
                self._note_outage()
                log.error(logfmt.line("store.unreachable", problem=err))
            except Exception:
                log.exception(logfmt.line("tick.failed"))
            self.stopping.wait(RETRY_INTERVAL_S)
        with suppress(redis.RedisError):
            self._add_totals()
        self._sign.end()

    def _run_until_error(self) -> None:
        """Tick until `stop`; between ticks, sleep until a wake-up or the next due time.

        Subscribes to wake-ups before the first tick, so that no wake-up is missed.
        """
        with self.client.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(keys.wake(self.prefix))
            # Read the confirmation of the subscription; otherwise it would end the
            # first sleep. After a reconnect, redis-py subscribes again. Then the
            # confirmation does end the sleep, because a wake-up may have been missed.
            channel.get_message(timeout=TIMEOUT_S)
            while not self.stopping.is_set():
                wait_s = self.tick()
                time.sleep(self._rest_s)
                _sleep(wait_s - self._rest_s, channel)

    def stop(self) -> None:
        """End `run` after the current tick or sleep."""
        self.stopping.set()


def _sleep(wait_s: float, channel: PubSub) -> None:
    """Sleep for some time, or until a wake-up; drop wake-ups that have queued up."""
    end_s = time.monotonic() + wait_s
    # `get_message` can wait only for whole milliseconds; `time.sleep` waits for the
    # rest.
    while left_ms := max(0, int((end_s - time.monotonic()) * 1000)):
        if channel.get_message(timeout=left_ms / 1000):
            while channel.get_message(timeout=0):
                pass
            return
    time.sleep(max(0.0, end_s - time.monotonic()))


def main() -> None:
    """Run a ticker, with settings from the environment, until SIGTERM or SIGINT."""
    settings = start_process("ticker")
    # The client does not retry, because `Ticker.run` does.
    ticker = Ticker(connect(settings.store_url), settings, remembers=True)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ticker.stop()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    gc_tuning.collect_rarely()
    try:
        ticker.run()
    except UnknownLayout as err:
        log.critical(logfmt.line("store.unfit", problem=err))
        sys.exit(1)


if __name__ == "__main__":
    main()
