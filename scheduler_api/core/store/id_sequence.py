"""The sequence that ids are taken from: one by one, or in blocks by each process."""

import redis
import threading
from scheduler_api.core.ids import to_id
from scheduler_api.core.store import keys

BLOCK = 100


class IdSequence:
    """Hands out ids; safe to share between threads."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._key = keys.sequence(prefix)
        self._lock = threading.Lock()
        self._next = 0
        self._end = 0

    def next(self) -> str:
        """An id after all that were given out so far; one round trip.

        Raises: redis.RedisError.
        """
        return to_id(self._client.incr(self._key))

    def take(self) -> str:
        """An id that no other process takes, unless the store lost its latest writes.

        Those of one process ascend, those of several do not.

        Raises: redis.RedisError.
        """
        with self._lock:
            if self._next >= self._end:
                self._end = self._client.incrby(self._key, BLOCK) + 1
                self._next = self._end - BLOCK
            number, self._next = self._next, self._next + 1
        return to_id(number)
