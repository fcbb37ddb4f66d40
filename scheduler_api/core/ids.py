"""Internal ids: base 36 of numbers, taken one by one, or in blocks by each process."""

import redis
import secrets
import threading
from scheduler_api.core.store import keys

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
BLOCK = 100


def to_id(number: int) -> str:
    """The id of a number: base 36, lower case."""
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = DIGITS[rest] + digits
    return digits or "0"


def to_number(event_id: str) -> int:
    """The number of an id.

    Raises: ValueError.
    """
    return int(event_id, 36)


def nonce() -> str:
    """Names one creation or change, so that a repeated script recognises its own."""
    return secrets.token_urlsafe(6)


def by_hand_id(schedule_id: str, now_ms: int) -> str:
    """The id of an occurrence that somebody asks for: no fire time of its own.

    What is drawn tells apart those of one second; behind the dot stand at most 16
    letters, as many as dialects read there.
    """
    drawn = to_id(secrets.randbelow(len(DIGITS) ** 5))
    return f"{schedule_id}.{now_ms // 1000}r{drawn}"


class Ids:
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
