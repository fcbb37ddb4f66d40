"""The ticker: offers what is due to RQ, on a local timer; any number may run."""

import logging
import os
import redis
import signal
import sys
import threading
import time
from redis.client import PubSub
from scheduler_api.core import gc_tuning, logfmt
from scheduler_api.core.errors import ForeignDatabase, UnknownLayout
from scheduler_api.core.settings.engine import EngineSettings, SettingsError
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import Claim, ClaimTimeouts, claim
from scheduler_api.core.store.connection import (
    RETRY_INTERVAL_S,
    TIMEOUT_S,
    connect,
)
from scheduler_api.core.store.epoch import Epoch, establish, take_database
from scheduler_api.core.store.rq_envelopes import RqEnqueuer
from scheduler_api.settings import from_env
from types import FrameType

log = logging.getLogger("scheduler.ticker")

LONGEST_WAIT_S = 1.0
# What waking up and asking take. Whoever comes too soon is told so by the store, whose
# clock alone decides, and asks again.
HEAD_START_S = 0.0005
ALIVE_TTL_S = 5
FULL_TTL_S = 5
EVICTING = "maxmemory_policy"


class EvictingStore(Exception):
    """The store may throw keys away: set its maxmemory-policy to noeviction."""


class Ticker:
    """One ticker process: claims, hands over, sleeps until the next is due."""

    def __init__(self, client: redis.Redis, settings: EngineSettings) -> None:
        self.client = client
        self.prefix = settings.prefix
        self.cell = Cell(client, settings.prefix)
        self.enqueuer = RqEnqueuer(client)
        self.envelope_size = settings.envelope_size
        self.high_water_percent = settings.store_high_water_percent
        self.timeouts = ClaimTimeouts(
            offer_ms=settings.offer_lease_ms,
            lease_ms=settings.lease_ms,
            grace_ms=settings.quiet_ms,
            missed_grace_ms=settings.missed_grace_ms,
        )
        self.stopping = threading.Event()
        self._epoch = Epoch()
        self._checked_at = 0.0
        self._is_ours = False

    def tick(self) -> float:
        """Claims once, which hands over; answers how many seconds may be slept.

        Raises: redis.RedisError, EvictingStore.
        """
        if time.monotonic() - self._checked_at >= LONGEST_WAIT_S:
            self._check_store()
        if not self._is_ours:
            return LONGEST_WAIT_S
        claimed = claim(
            self.cell,
            room=self.envelope_size,
            timeouts=self.timeouts,
            enqueuer=self.enqueuer,
        )
        self._report(claimed)
        if claimed.next_us is None or claimed.rq_full:
            return LONGEST_WAIT_S
        wait_s = claimed.next_us / 1_000_000 - HEAD_START_S
        return min(max(0.0, wait_s), LONGEST_WAIT_S)

    def _check_store(self) -> None:
        """Once a second: sign of life, high-water mark, epoch."""
        self._checked_at = time.monotonic()
        pipe = self.client.pipeline(transaction=False)
        pipe.set(keys.alive(self.prefix, "ticker"), self.cell.now_ms(), ex=ALIVE_TTL_S)
        pipe.info("memory")
        pipe.get(keys.epoch(self.prefix))
        pipe.get(keys.accepted(self.prefix))
        _, memory, epoch, accepted = pipe.execute()
        if memory.get("maxmemory") and memory.get(EVICTING) != "noeviction":
            raise EvictingStore(EvictingStore.__doc__)
        limit = memory.get("maxmemory") or 0
        if limit and memory["used_memory"] * 100 >= limit * self.high_water_percent:
            self.client.set(keys.full(self.prefix), 1, ex=FULL_TTL_S)
        self._is_ours = self._store_holds(epoch, accepted)

    def _store_holds(self, epoch: bytes | None, accepted: bytes | None) -> bool:
        if not self._epoch.known:
            take_database(self.client, self.prefix)
            epoch = establish(self.client, self.prefix)
        if self._epoch.holds(epoch, accepted):
            return True
        log.critical(
            logfmt.line("store.lost", known=self._epoch.known, found=epoch)
            + " run `python -m scheduler_api accept-store` to go on with this store"
        )
        return False

    def _report(self, claimed: Claim) -> None:
        for event_id in claimed.interrupted:
            log.warning(logfmt.line("attempt.interrupted", event=event_id))
        for member in claimed.quarantined:
            log.error(logfmt.line("record.quarantined", member=member))

    def run(self) -> None:
        """Ticks until told to stop; goes on after any other fault, a second later.

        Raises: UnknownLayout.
        """
        while not self.stopping.is_set():
            try:
                self._tick_and_listen()
            except UnknownLayout:
                raise
            except (EvictingStore, ForeignDatabase) as err:
                log.critical(logfmt.line("store.unfit", problem=err))
            except redis.RedisError as err:
                log.error(logfmt.line("store.unreachable", problem=err))
            except Exception:
                log.exception(logfmt.line("tick.failed"))
            self.stopping.wait(RETRY_INTERVAL_S)

    def _tick_and_listen(self) -> None:
        """Listens first, then ticks, so that no call is overlooked."""
        with self.client.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(keys.wake(self.prefix))
            # Also a subscription that redis-py has renewed counts as a call.
            channel.get_message(timeout=TIMEOUT_S)
            while not self.stopping.is_set():
                _sleep(self.tick(), channel)

    def stop(self) -> None:
        """Lets `run` end after the tick under way, or the sleep."""
        self.stopping.set()


def _sleep(wait_s: float, channel: PubSub) -> None:
    """Until then, or until somebody calls; what else called is answered as well."""
    end = time.monotonic() + wait_s
    # A socket can be waited for in whole milliseconds only.
    while left_ms := max(0, int((end - time.monotonic()) * 1000)):
        if channel.get_message(timeout=left_ms / 1000):
            while channel.get_message(timeout=0):
                pass
            return
    time.sleep(max(0.0, end - time.monotonic()))


def main() -> None:
    """Runs a ticker, as the environment says, until SIGTERM or SIGINT."""
    logfmt.set_up()
    try:
        settings = from_env(os.environ)
    except SettingsError as err:
        sys.exit(str(err))
    log.info(logfmt.line("ticker.started") + " " + settings.log_line())
    # Without a retry of its own: the ticker's loop tries again.
    ticker = Ticker(connect(settings.redis_url), settings)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ticker.stop()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    gc_tuning.collect_rarely()
    try:
        ticker.run()
    except UnknownLayout as err:
        sys.exit(str(err))


if __name__ == "__main__":
    main()
