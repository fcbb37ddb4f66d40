"""Ends the process when one of its essential threads or tasks fails.

The process manager then restarts the process, and the worker's events become due again
when their leases end. If the process went on without the failed task, it would look
healthy although, for example, no deliveries are recorded.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from scheduler_api.core import logfmt

log = logging.getLogger("scheduler.supervision")

EXIT_CODE = 70


def run_in_thread(work: Callable[[], None], *, name: str) -> None:
    """Run a function in a daemon thread; end the process if it raises."""

    def guarded() -> None:
        try:
            work()
        except Exception as err:
            _end_process(name, err)

    threading.Thread(target=guarded, name=name, daemon=True).start()


def watch(task: "asyncio.Task[None]") -> "asyncio.Task[None]":
    """End the process if a task raises; return the task."""
    task.add_done_callback(_check)
    return task


def _check(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _end_process(task.get_name(), error)


def _end_process(name: str, error: BaseException) -> None:
    log.critical(logfmt.line("process.ended", failed=name), exc_info=error)
    logging.shutdown()
    os._exit(EXIT_CODE)
