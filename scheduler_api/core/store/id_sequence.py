"""Issues ids from a sequence in the store: one by one, or from reserved blocks."""

import redis
import threading
from scheduler_api.core.ids import to_id
from scheduler_api.core.store import keys

BLOCK = 100


class IdSequence:
    """Issues the ids of a cell; thread-safe."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._key = keys.sequence(prefix)
        self._lock = threading.Lock()
        self._next = 0
        self._end = 0

    def next(self) -> str:
        """Return an id higher than all ids issued before. Redis: one INCR."""
        return to_id(self._client.incr(self._key))

    def take(self) -> str:
        """Return a unique id from a block of ids that this process has reserved.

        The ids of one process ascend; the ids of several processes interleave. If the
        store loses its latest writes, an id may be issued twice. Redis: one INCRBY per
        block.
        """
        with self._lock:
            if self._next >= self._end:
                self._end = self._client.incrby(self._key, BLOCK) + 1
                self._next = self._end - BLOCK
            number, self._next = self._next, self._next + 1
        return to_id(number)
