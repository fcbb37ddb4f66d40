"""Notices that a worker mostly waits for slow receivers."""

import logging
from collections import Counter
from collections.abc import Sequence
from scheduler_api.core import logfmt
from scheduler_api.core.delivery.destinations import BadDestination, parse
from scheduler_api.core.model import Begun

log = logging.getLogger("scheduler.worker")

SLOW_AFTER_S = 10.0
MAX_LOGGED = 3


class Slowness:
    """Whether slow events have taken more than half of a worker for ten seconds."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._since_s: float | None = None
        self._is_logged = False

    def is_slow(self, slow: Sequence[Begun], *, now_s: float) -> bool:
        """Return whether the worker is slow; to be called about once a second.

        Logs when it becomes slow, with the origins of most of the events.

        Args:
            slow: the events that are slow at the moment.
            now_s: the time on a monotonic clock.
        """
        if len(slow) * 2 <= self._capacity:
            self._since_s, self._is_logged = None, False
            return False
        if self._since_s is None:
            self._since_s = now_s
        is_slow = now_s - self._since_s >= SLOW_AFTER_S
        if is_slow and not self._is_logged:
            self._is_logged = True
            _log(slow)
        return is_slow


def _log(slow: Sequence[Begun]) -> None:
    most = Counter(map(_origin, slow)).most_common(MAX_LOGGED)
    origins = ", ".join(f"{origin} ({count})" for origin, count in most)
    log.warning(logfmt.line("deliveries.slow", events=len(slow), origins=origins))


def _origin(begun: Begun) -> str:
    """Return the origin of an event's URL, or else its gate."""
    try:
        if begun.content is not None:
            return str(parse(begun.content.url).origin)
    except BadDestination:
        pass
    return begun.origin
