"""The clock: runs rq-scheduler, which enqueues the chores by cron expression."""

import logging
import redis
import signal
import threading
import time
import warnings
from redis.exceptions import OutOfMemoryError
from rq import Queue
from rq_scheduler import Scheduler
from scheduler_api.core import logfmt
from scheduler_api.core.store import keys
from scheduler_api.core.store.connection import RETRY_ONCE, connect
from types import FrameType
from workers import chores
from workers.alerts.watch import watch_in_thread
from workers.bootstrap import report_in_thread, start_process
from workers.chores_worker import ChoreJob

log = logging.getLogger("scheduler.clock")

INTERVAL_S = 1
REGISTER_INTERVAL_S = 600
# How often the clock itself runs the retention while the store is full.
RETENTION_INTERVAL_S = 60
OVERDUE_MS = 3 * 3_600_000
CHORE_TIMEOUT_S = 3_600
NEVER_EXPIRES = -1


class ChoreScheduler(Scheduler):  # type: ignore[misc]
    """Puts every job on the chores' queue.

    rq-scheduler itself would import the class of the queue that the job names.
    """

    def get_queue_for_job(self, job: ChoreJob) -> Queue:
        """Return the queue of the chores."""
        return Queue(chores.QUEUE, connection=self.connection, job_class=ChoreJob)


class Clock:
    """Enqueue due chores.

    Several clocks may run: a lock ensures that only one clock enqueues at a time.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._scheduler = ChoreScheduler(
            chores.QUEUE, connection=client, interval=INTERVAL_S, job_class=ChoreJob
        )
        self._queue_key = Queue.redis_queue_namespace_prefix + chores.QUEUE
        self._registered_at: float | None = None
        self._next_retention_s = 0.0
        self.stopping = threading.Event()

    def tick(self) -> None:
        """Enqueue the due chores; every ten minutes register all chores again."""
        if (
            self._registered_at is None
            or time.monotonic() - self._registered_at >= REGISTER_INTERVAL_S
        ):
            self._register()
        self._scheduler.heartbeat()
        if self._scheduler.acquire_lock():
            try:
                self._hurry_dead_letters()
                self._scheduler.enqueue_jobs()
            finally:
                self._scheduler.remove_lock()

    def _hurry_dead_letters(self) -> None:
        """Make the chore of dead letters due if a job waits for it.

        While the chore is in the queue already, it stays at its place there.
        """
        name = f"chore-{chores.dead_letters.__name__}"
        if not self._client.exists(keys.open_letter_jobs(self._prefix)):
            return
        if self._client.lpos(self._queue_key, name) is None:
            self._client.zadd(self._scheduler.scheduled_jobs_key, {name: 0}, xx=True)

    def _register(self) -> None:
        """Register every chore, under a fixed id.

        This restores a chore that was lost in a crash of rq-scheduler. Due to the fixed
        ids, a repeated registration does not duplicate a chore.
        """
        for function, cron in chores.CHORES.items():
            self._scheduler.cron(
                cron,
                func=f"{function.__module__}.{function.__name__}",
                id=f"chore-{function.__name__}",
                timeout=CHORE_TIMEOUT_S,
                result_ttl=NEVER_EXPIRES,
                description=f"chore {function.__name__}",
            )
            self._warn_if_overdue(function.__name__)
        self._registered_at = time.monotonic()

    def _warn_if_overdue(self, name: str) -> None:
        last_run_ms = self._client.get(keys.chore(self._prefix, name))
        if last_run_ms is None:
            return
        age_ms = int(time.time() * 1000) - int(last_run_ms)
        if age_ms > OVERDUE_MS:
            log.error(logfmt.line("chore.overdue", chore=name, age_ms=age_ms))

    def run(self) -> None:
        """Tick every second until stopped, also while the store is unreachable."""
        while not self.stopping.is_set():
            try:
                self.tick_or_delete_old()
            except redis.RedisError as err:
                log.warning(logfmt.line("store.unreachable", problem=err))
            self.stopping.wait(INTERVAL_S)

    def tick_or_delete_old(self) -> None:
        """Tick; in a full store, which refuses RQ's jobs, delete what is old."""
        try:
            self.tick()
        except OutOfMemoryError:
            now_s = time.monotonic()
            if now_s < self._next_retention_s:
                return
            self._next_retention_s = now_s + RETENTION_INTERVAL_S
            log.warning(logfmt.line("chore.without_rq", chore="retention"))
            chores.retention()


def main() -> None:
    """Run a clock, with settings from the environment, until SIGTERM or SIGINT."""
    # rq-scheduler calls the cron library in a way that prints a warning at each call.
    warnings.filterwarnings("ignore", category=FutureWarning, module="rq_scheduler")
    settings = start_process("clock")
    client = connect(settings.store_url, retry=RETRY_ONCE)
    clock = Clock(client, settings.prefix)
    sign = report_in_thread(settings, "clock")
    watch_in_thread(settings)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        clock.stopping.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    clock.run()
    sign.end()


if __name__ == "__main__":
    main()
