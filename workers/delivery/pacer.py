"""Lets a worker wait for the first results of a route before it sends more there."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

# How long the worker begins nothing at all, because results often come this soon.
WAIT_S = 0.02
# How long it begins no events of the route. A route that never responds costs its own
# events this time once.
PAUSE_S = 1.0
# How many routes are remembered because their last attempt succeeded.
MAX_REMEMBERED = 10_000


class Pacer:
    """Decides when a worker may begin more events.

    A burst of events to a route that fails would all be in flight before the first
    failure slows the route. So if a route has `limit` attempts in flight, and its last
    result was no success, the route is paused: the worker begins nothing for a moment,
    and no events of this route for a second. The worker also waits while a report is on
    its way that may change a breaker.

    Args:
        limit: 0: the worker never waits, and no route is paused.
    """

    def __init__(
        self, limit: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._in_flight = Counter[str]()
        self._healthy: dict[str, None] = {}
        # When the pause began, by route. A route stays here until it has room again.
        self._paused_at: dict[str, float] = {}
        self._is_reporting = False
        self._changed = asyncio.Event()

    def add(self, route: str) -> None:
        """Count an attempt that begins."""
        self._in_flight[route] = count = self._in_flight[route] + 1
        if count == self._limit and route not in self._healthy:
            self._paused_at[route] = self._clock()

    def remove(self, route: str) -> None:
        """Count an attempt that has ended."""
        self._in_flight[route] = count = self._in_flight[route] - 1
        if not count:
            del self._in_flight[route]
        if count < self._limit:
            self._resume(route)

    def note(self, route: str, *, succeeded: bool) -> None:
        """Note the result of an attempt."""
        if not succeeded:
            self._healthy.pop(route, None)
        elif route not in self._healthy:
            self._healthy[route] = None
            if len(self._healthy) > MAX_REMEMBERED:
                del self._healthy[next(iter(self._healthy))]
            self._resume(route)

    def set_reporting(self, is_reporting: bool) -> None:
        """Note that a report that may change a breaker is on its way, or has ended."""
        self._is_reporting = is_reporting
        self._changed.set()

    @property
    def must_wait(self) -> bool:
        """Whether no events may begin now."""
        return bool(self._limit) and (
            self._is_reporting or bool(self._paused_for(WAIT_S))
        )

    @property
    def paused_routes(self) -> list[str]:
        """The routes of which no events may begin now."""
        return self._paused_for(PAUSE_S)

    def _paused_for(self, duration_s: float) -> list[str]:
        if not self._paused_at:
            return []
        since_s = self._clock() - duration_s
        return [route for route, at_s in self._paused_at.items() if at_s > since_s]

    async def wait(self) -> None:
        """Wait until `must_wait` may have changed, but not long."""
        self._changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), WAIT_S)

    def _resume(self, route: str) -> None:
        if self._paused_at.pop(route, None) is not None:
            self._changed.set()
