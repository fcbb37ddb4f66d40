"""Notices that the store's clock has stepped, by the clock of this process."""

from collections.abc import Callable
from scheduler_api.core.store.clock_step import ClockStep
from workers.boot_clock import boot_ms

# A larger difference is a step. A clock that is corrected gradually does not reach it.
TOLERANCE_MS = 1_000


class StoreClock:
    """Compares each time that the store tells with what it should be.

    The store read its clock at some moment of a call, so the difference of the clocks
    is known up to the duration of the call. A slow call is not taken for a step.
    """

    def __init__(self, *, clock_ms: Callable[[], float] = boot_ms) -> None:
        self._clock_ms = clock_ms
        # The bounds of the difference between the two clocks.
        self._lowest: float | None = None
        self._highest = 0.0

    def now_ms(self) -> float:
        """Return the time of this process; pass it to the other methods."""
        return self._clock_ms()

    def expected_ms(self, at_ms: float) -> int | None:
        """Return the store's time at `at_ms`; None if it is not known yet."""
        if self._lowest is None:
            return None
        return round(at_ms + (self._lowest + self._highest) / 2)

    def observe(self, store_ms: int, *, since_ms: float) -> ClockStep | None:
        """Compare a time that the store told in a call that began at `since_ms`."""
        ended_ms = self._clock_ms()
        lowest, highest = store_ms - ended_ms, store_ms - since_ms
        if self._lowest is None:
            self._lowest, self._highest = lowest, highest
            return None
        off_ms = max(lowest - self._highest, self._lowest - highest)
        is_exact = highest - lowest <= max(TOLERANCE_MS, self._highest - self._lowest)
        expected = self.expected_ms((since_ms + ended_ms) / 2)
        if is_exact or off_ms > TOLERANCE_MS:
            self._lowest, self._highest = lowest, highest
        if off_ms <= TOLERANCE_MS or expected is None:
            return None
        return ClockStep(expected, store_ms)
