"""The RQ worker that runs the chores."""

import logging
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue
from rq.executions import Execution
from rq.job import Job
from rq.worker import Worker
from scheduler_api.core import logfmt
from typing import Any
from workers.alerts.watch import watch_in_thread
from workers.bootstrap import RQ_LEVEL, report_in_thread, start_process
from workers.chores import CHORES, QUEUE
from workers.listed_jobs import ListedJob, by_name, only_listed
from workers.patient_worker import PatientWorker

log = logging.getLogger("scheduler.chores")


class ChoreJob(ListedJob):
    """A call of a chore."""

    functions = by_name(*CHORES)


class ChoresWorker(PatientWorker, Worker):
    """RQ's worker, with the settings, log and report of the other processes.

    It runs the chores only, whatever else is in its queue. While the store is
    unreachable or takes no writes, it retries.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.require_queue(QUEUE)
        only_listed(self, ChoreJob)

    def bootstrap(self, *_args: Any, **_kwargs: Any) -> None:
        """Read the settings, set up the log, and start to report and to watch."""
        settings = start_process("chores")
        self._sign = report_in_thread(settings, "chores")
        watch_in_thread(settings)
        super().bootstrap(logging_level=RQ_LEVEL)

    def teardown(self) -> None:
        """Report the end, and unregister the worker."""
        if self._stop_requested:
            self._sign.end()
        super().teardown()  # type: ignore[no-untyped-call]

    def set_state(self, state: str, pipeline: "Pipeline | None" = None) -> None:
        """Tell RQ's tools whether the worker is busy or idle."""
        write = super().set_state
        self._write_if_possible(lambda: write(state, pipeline))

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Wait for a job as RQ does; retry while the store refuses."""
        dequeue = super().dequeue_job_and_maintain_ttl
        return self._retry(lambda: dequeue(timeout, max_idle_time))

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """Report a running job to RQ; if the store refuses this, the job continues."""
        try:
            super().maintain_heartbeats(job, execution)
        except RedisError as err:
            log.warning(logfmt.line("store.unreachable", problem=err))

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a chore; if RQ cannot record it, the next run does what is left."""
        try:
            super().execute_job(job, queue)
        except RedisError as err:
            log.error(logfmt.line("chore.failed", job=job.id, problem=err))
