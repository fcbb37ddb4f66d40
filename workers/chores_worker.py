"""The RQ worker that runs the chores."""

from rq.worker import Worker
from typing import Any
from workers.bootstrap import RQ_LEVEL, report_in_thread, start_process


class ChoresWorker(Worker):
    """RQ's worker, with the settings, log and report of the other processes."""

    def bootstrap(self, *_args: Any, **_kwargs: Any) -> None:
        """Read the settings, set up the log, and start to report."""
        report_in_thread(start_process("chores"), "chores")
        super().bootstrap(logging_level=RQ_LEVEL)
