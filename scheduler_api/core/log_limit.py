"""Limits how many lines of one kind are logged, and sums up the rest."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

MAX_KEYS = 1_000
OTHER = "other"


class LogLimit:
    """At most `limit` lines per key in each period; then one summary.

    Periods begin at multiples of `period_s` since 1970. If lines were left out,
    `sum_up` is called when the period ends, or by `close`. Thread-safe.

    Args:
        sum_up: takes, by key, how many lines of each kind were left out.
    """

    def __init__(
        self,
        *,
        limit: int,
        period_s: int,
        sum_up: Callable[[Mapping[str, Counter[str]]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limit = limit
        self._period_s = period_s
        self._sum_up = sum_up
        self._clock = clock
        self._lock = threading.Lock()
        self._period = 0
        self._logged: Counter[str] = Counter()
        self._left_out: dict[str, Counter[str]] = {}

    def admits(self, key: str, kind: str, *, reserve: int = 0) -> bool:
        """Return whether to log a line; otherwise count it for the summary.

        Args:
            reserve: how many lines of this period are left to calls without a reserve.
        """
        now_s = self._clock()
        if int(now_s // self._period_s) != self._period:
            self._begin(int(now_s // self._period_s))
        with self._lock:
            if key not in self._logged and len(self._logged) >= MAX_KEYS:
                key = OTHER
            if self._logged[key] < self._limit - reserve:
                self._logged[key] += 1
                return True
            if not self._left_out:
                self._close_later(self._period_s - now_s % self._period_s)
            self._left_out.setdefault(key, Counter())[kind] += 1
            return False

    def _begin(self, period: int) -> None:
        self.close()
        with self._lock:
            self._period = period
            self._logged.clear()

    def _close_later(self, wait_s: float) -> None:
        timer = threading.Timer(wait_s, self._end, (self._period,))
        timer.daemon = True
        timer.start()

    def _end(self, period: int) -> None:
        if self._period == period:
            self.close()

    def close(self) -> None:
        """Sum up the lines left out since the last summary."""
        with self._lock:
            left_out, self._left_out = self._left_out, {}
        if left_out:
            self._sum_up(left_out)


def describe(counts: Counter[str]) -> str:
    """Return, for example, `… and 480 more: 470 delivered, 10 failed`."""
    parts = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return f"… and {counts.total()} more: {parts}"
