"""Divides the room of one worker among destinations."""

import time
from collections import Counter
from collections.abc import Callable
from scheduler_api.core.store.leases import Share

# A destination counts as wanted for this long after its last begin.
WANTED_S = 10.0
# A full worker has extra room when no delivery has ended for this long.
EXTRA_ROOM_AFTER_S = 0.25
# It has none for this long after a search found no event for another destination.
SEARCH_PAUSE_S = 0.05


class FairShare:
    """Counts a worker's deliveries by destination and limits each to its share.

    The limit applies only while other destinations are wanted; a single destination may
    use the entire capacity. While it does so and no delivery ends, the worker has extra
    room for events of other destinations. It has this room only from time to time,
    because each search for such events costs an envelope.

    Args:
        capacity: of the worker, in deliveries.
        percent: of the capacity, for one destination; 100 turns the limit off.
    """

    def __init__(
        self,
        capacity: int,
        *,
        percent: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = 0 if percent >= 100 else max(1, capacity * percent // 100)
        self._in_flight = Counter[str]()
        self._wanted_at: dict[str, float] = {}
        self._clock = clock
        self._opens_at = clock() + EXTRA_ROOM_AFTER_S

    def add(self, destination: str) -> None:
        """Count a delivery that begins."""
        self._in_flight[destination] += 1
        self._wanted_at[destination] = self._clock()

    def remove(self, destination: str) -> None:
        """Count a delivery that has ended."""
        self._opens_at = self._clock() + EXTRA_ROOM_AFTER_S
        self._in_flight[destination] -= 1
        if self._in_flight[destination] <= 0:
            del self._in_flight[destination]

    def pause_search(self) -> None:
        """Close the extra room for a moment: no other destination has events due."""
        self._opens_at = self._clock() + SEARCH_PAUSE_S

    @property
    def extra_room(self) -> int:
        """Room above the capacity, for other destinations than the largest."""
        if not self._share or self._clock() < self._opens_at:
            return 0
        largest = max((n for d, n in self._in_flight.items() if d), default=0)
        return max(0, largest - self._share)

    def limits(self, *, only_others: bool) -> Share | None:
        """The limits to pass to `WorkerStore.begin`; None if there are none.

        Args:
            only_others: only extra room is left.
        """
        if not self._share:
            return None
        now_s = self._clock()
        self._wanted_at = {
            destination: at_s
            for destination, at_s in self._wanted_at.items()
            if destination in self._in_flight or now_s - at_s < WANTED_S
        }
        in_flight = {d: self._in_flight[d] for d in self._wanted_at if d}
        return {
            "limit": self._share,
            "in_flight": in_flight,
            "only_others": only_others,
        }
