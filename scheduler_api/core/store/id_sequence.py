"""The sequence of ids: one id at a time, or blocks of ids per process."""

import redis
import threading
from scheduler_api.core.ids import to_id
from scheduler_api.core.store import keys

BLOCK = 100


class IdSequence:
    """Hands out ids; thread-safe."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._key = keys.sequence(prefix)
        self._lock = threading.Lock()
        self._next = 0
        self._end = 0

    def next(self) -> str:
        """Return an id higher than all ids handed out before. Redis: one INCR."""
        return to_id(self._client.incr(self._key))

    def take(self) -> str:
        """Return a unique id from this process's block of ids.

        The ids of one process ascend; those of several processes interleave. An id may
        repeat after the store has lost its latest writes. Redis: one INCRBY per block.
        """
        with self._lock:
            if self._next >= self._end:
                self._end = self._client.incrby(self._key, BLOCK) + 1
                self._next = self._end - BLOCK
            number, self._next = self._next, self._next + 1
        return to_id(number)
