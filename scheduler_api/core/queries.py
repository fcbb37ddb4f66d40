"""Reads for people: lists, histories. Workers never import it."""

from scheduler_api.core import codec, keys
from scheduler_api.core.model import Attempt
from scheduler_api.core.store import Store
from typing import cast


class Queries:
    """Reads of one cell; nothing here writes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def attempts(self, event_id: str) -> list[Attempt]:
        """The attempts of an event, oldest first. Redis: one read.

        Raises: UnreadableRecord, redis.RedisError.
        """
        key = keys.log(self._store.prefix, event_id)
        lines = cast(dict[bytes, bytes], self._store.client.hgetall(key))
        found = [codec.decode_attempt(event_id, n, line) for n, line in lines.items()]
        return sorted(found, key=lambda attempt: attempt.number)
