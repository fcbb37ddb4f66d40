"""Issues ids from a sequence in the store: one by one, or from reserved blocks."""

import threading
from scheduler_api.core.errors import StoreLost
from scheduler_api.core.ids import to_id
from scheduler_api.core.store.cell import Cell
from typing import cast

BLOCK = 100


class IdSequence:
    """Issues the ids of a cell; thread-safe.

    No id is issued twice, even if the store loses its latest writes: another server of
    the store skips a million ids.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._lock = threading.Lock()
        self._next = 0
        self._end = 0

    def next(self) -> str:
        """Return an id higher than all ids issued before. Redis: reserve_ids."""
        return to_id(self._reserve(1))

    def take(self) -> str:
        """Return a unique id from a block of ids that this process has reserved.

        The ids of one process ascend; the ids of several processes interleave. Redis:
        one reserve_ids per block.
        """
        with self._lock:
            if self._next >= self._end:
                self._end = self._reserve(BLOCK) + 1
                self._next = self._end - BLOCK
            number, self._next = self._next, self._next + 1
        return to_id(number)

    def _reserve(self, count: int) -> int:
        """Reserve ids; return the number of the last one.

        Raises: StoreLost.
        """
        options = self._cell.with_epoch({"count": count})
        last = cast(int, self._cell.call("reserve_ids", options))
        if not last:
            raise StoreLost
        return last
