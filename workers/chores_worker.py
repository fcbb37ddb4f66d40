"""The RQ worker that runs the chores."""

from rq.worker import Worker
from typing import Any
from workers.bootstrap import RQ_LEVEL, start_process


class ChoresWorker(Worker):
    """RQ's worker, with the settings and the log of the other processes."""

    def bootstrap(self, *_args: Any, **_kwargs: Any) -> None:
        """Read the settings and set up the log before the first job."""
        start_process("chores")
        super().bootstrap(logging_level=RQ_LEVEL)
