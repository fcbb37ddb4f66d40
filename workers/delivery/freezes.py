"""Notices that this process did not run for a while.

It was stopped, or its machine was paused or suspended, or had no time for it. Then
deadlines have passed that the worker could not keep, and what it did not see may have
arrived.
"""

import asyncio
import logging
from collections.abc import Callable
from scheduler_api.core import logfmt
from workers.boot_clock import boot_s

log = logging.getLogger("scheduler.worker")

CHECK_EVERY_S = 0.5
# So late is a check of a process that was frozen.
FROZEN_S = 1.0


class Freezes:
    """Knows when this process was last frozen."""

    def __init__(self, *, clock: Callable[[], float] = boot_s) -> None:
        self._clock = clock
        self._checked_s = clock()
        self._ended_s = float("-inf")

    def check(self) -> None:
        """Compare the clock with the last check."""
        now_s = self._clock()
        late_s = now_s - self._checked_s - CHECK_EVERY_S
        self._checked_s = now_s
        if late_s >= FROZEN_S:
            self._ended_s = now_s
            log.warning(logfmt.line("worker.frozen", ms=int(late_s * 1000)))

    def ended_within(self, seconds: float) -> bool:
        """Whether the process was frozen at some time in the last seconds."""
        self.check()
        return self._clock() - self._ended_s <= seconds

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            self.check()
