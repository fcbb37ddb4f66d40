"""Whether a worker suspects itself, and not the receivers, of failed attempts."""

import logging
import time
from collections.abc import Callable
from scheduler_api.core import logfmt
from workers.http_client.client import Result
from workers.http_client.failures import CONNECTION_FAILURES

log = logging.getLogger("scheduler.worker")

# So many origins must fail within this time, without a response from any.
ORIGINS = 5
WITHIN_S = 10.0


class Suspicion:
    """Decides by the results of attempts whether a worker suspects itself.

    If no attempt gets a response, and those at several origins end without a
    connection, the worker's own network, name server or resources do not work. Then the
    results say nothing about the origins.

    Attributes:
        is_active: whether the worker suspects itself.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.is_active = False
        # The last failure by origin since the last response, oldest first.
        self._failed_at: dict[str, float] = {}

    def note(self, gate: str, result: Result) -> None:
        """Note the result of an attempt at the origin with this gate."""
        if result.status is not None:
            if self._failed_at:
                self._failed_at.clear()
                self.update()
        elif result.error in CONNECTION_FAILURES:
            origin = gate.rpartition(":")[2]  # tenants share an origin's fate
            self._failed_at.pop(origin, None)
            self._failed_at[origin] = self._clock()
            self.update()

    def update(self) -> None:
        """Forget old failures; log whether the worker now suspects itself."""
        since_s = self._clock() - WITHIN_S
        while self._failed_at:
            oldest = next(iter(self._failed_at))
            if self._failed_at[oldest] > since_s:
                break
            del self._failed_at[oldest]
        active = len(self._failed_at) >= ORIGINS
        if active == self.is_active:
            return
        self.is_active = active
        if active:
            log.warning(logfmt.line("worker.suspected", origins=len(self._failed_at)))
        else:
            log.warning(logfmt.line("worker.trusted"))
