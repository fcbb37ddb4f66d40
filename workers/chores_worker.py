"""The RQ worker that runs the chores."""

from rq.worker import Worker
from typing import Any
from workers.bootstrap import RQ_LEVEL, report_in_thread, start_process
from workers.chores import CHORES
from workers.listed_jobs import ListedJob, by_name, only_listed


class ChoreJob(ListedJob):
    """A call of a chore."""

    functions = by_name(*CHORES)


class ChoresWorker(Worker):
    """RQ's worker, with the settings, log and report of the other processes.

    It runs the chores only, whatever else is in its queue.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        only_listed(self, ChoreJob)

    def bootstrap(self, *_args: Any, **_kwargs: Any) -> None:
        """Read the settings, set up the log, and start to report."""
        report_in_thread(start_process("chores"), "chores")
        super().bootstrap(logging_level=RQ_LEVEL)
