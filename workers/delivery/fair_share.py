"""How many of one worker's deliveries each destination has."""

import time
from collections import Counter
from collections.abc import Callable
from scheduler_api.core.store.leases import Share

# One that was wanted so lately counts as waiting for its share.
WANTED_S = 10.0
STUCK_AFTER_S = 0.25
# How long nobody looks for others after there were none.
REST_S = 0.05


class Shares:
    """Counts by destination: one may have all room while no other is wanted.

    Once others are, it has its share at most; while it has more than that, and nothing
    comes free, there is extra room for the others, some of the time: to see whether
    anybody else is wanted costs an envelope.
    """

    def __init__(
        self,
        capacity: int,
        *,
        percent: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = 0 if percent >= 100 else max(1, capacity * percent // 100)
        self._held = Counter[str]()
        self._wanted_at: dict[str, float] = {}
        self._clock = clock
        self._opens_at = clock() + STUCK_AFTER_S

    def take(self, destination: str) -> None:
        """Counts an event in hand."""
        self._held[destination] += 1
        self._wanted_at[destination] = self._clock()

    def give(self, destination: str) -> None:
        """Counts an event that is in hand no more."""
        self._opens_at = self._clock() + STUCK_AFTER_S
        self._held[destination] -= 1
        if self._held[destination] <= 0:
            del self._held[destination]

    def find_nobody(self) -> None:
        """Nobody else was there who could have had the extra room."""
        self._opens_at = self._clock() + REST_S

    @property
    def extra(self) -> int:
        """Room beyond the capacity, for others than the destination that fills it."""
        if not self._share or self._clock() < self._opens_at:
            return 0
        largest = max((n for d, n in self._held.items() if d), default=0)
        return max(0, largest - self._share)

    def of_begin(self, *, full: bool) -> Share | None:
        """What a begin must know; None if there are no shares.

        Args:
            full: whether only extra room is left.
        """
        if not self._share:
            return None
        now_s = self._clock()
        self._wanted_at = {
            destination: at_s
            for destination, at_s in self._wanted_at.items()
            if destination in self._held or now_s - at_s < WANTED_S
        }
        in_hand = {d: self._held[d] for d in self._wanted_at if d}
        return {"limit": self._share, "in_hand": in_hand, "only_others": full}
