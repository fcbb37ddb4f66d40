"""Work that a process cannot live without: if it ends by a fault, so does the process.

A worker that no longer settles would look alive and do harm; whatever started it starts
it again, and leases bring back what it had in hand.
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
    """Runs work in a daemon thread until it returns."""

    def guarded() -> None:
        try:
            work()
        except Exception as err:
            _end(name, err)

    threading.Thread(target=guarded, name=name, daemon=True).start()


def watch(task: "asyncio.Task[None]") -> "asyncio.Task[None]":
    """Watches a task until it is cancelled."""
    task.add_done_callback(_check)
    return task


def _check(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (problem := task.exception()) is not None:
        _end(task.get_name(), problem)


def _end(name: str, problem: BaseException) -> None:
    log.critical(logfmt.line("process.ends", part=name), exc_info=problem)
    logging.shutdown()
    os._exit(EXIT_CODE)
