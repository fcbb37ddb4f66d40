"""Divides the capacity of one worker among destinations."""

import time
from collections import Counter
from collections.abc import Callable
from scheduler_api.core.store.leases import Share

# A destination is wanted while it has deliveries in flight, and for this long after its
# last delivery began.
WANTED_S = 10.0
# If no delivery of a full worker has ended for this long, the worker gets extra room.
EXTRA_ROOM_AFTER_S = 0.25
# A full worker with extra room searches for events of other destinations. If it finds
# none, it gets no extra room for this long.
SEARCH_PAUSE_S = 0.05


class FairShare:
    """Counts a worker's deliveries by destination and limits each to its share.

    The limit applies only while events for several destinations are due; a single
    destination may use the entire capacity. If one destination fills the worker and no
    delivery ends, the worker gets extra room for events of other destinations. To find
    such events, the worker has to fetch envelopes. The extra room opens only from time
    to time, so that the worker does not fetch envelopes in vain all the time.

    Args:
        capacity: the maximum number of deliveries without the extra room.
        percent: the share of one destination; 100 turns the limit off.
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
        """Close the extra room for a moment, after a search that found no events."""
        self._opens_at = self._clock() + SEARCH_PAUSE_S

    @property
    def extra_room(self) -> int:
        """How many events of other destinations may begin beyond the capacity now."""
        if not self._share or self._clock() < self._opens_at:
            return 0
        largest = max((n for d, n in self._in_flight.items() if d), default=0)
        return max(0, largest - self._share)

    def limits(self, *, only_others: bool) -> Share | None:
        """Return the limits for `WorkerStore.begin`; None if the limit is off.

        Args:
            only_others: True if the worker is full. Then it begins only events of
                destinations that have not reached their share.
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
