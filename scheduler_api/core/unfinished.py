"""Walks over what an owner has unfinished, while others and the walker finish it."""

from collections.abc import Iterator
from scheduler_api.core import keys
from scheduler_api.core.model import Owner, State
from scheduler_api.core.store import Store
from typing import cast

AT_ONCE = 500


def unfinished(store: Store, owner: Owner) -> Iterator[list[str]]:
    """Ids of unfinished events, some hundred at a time, in no order.

    Whatever is unfinished from the beginning to the end of the walk is met, maybe
    twice. Redis: ZSCAN.

    Raises: redis.RedisError.
    """
    key, cursor = keys.by_time(store.prefix, str(owner), State.ACTIVE), 0
    while True:
        cursor, found = cast(
            tuple[int, list[tuple[bytes, float]]],
            store.client.zscan(key, cursor, count=AT_ONCE),
        )
        ids = [member.decode() for member, _ in found]
        for at in range(0, len(ids), AT_ONCE):
            yield ids[at : at + AT_ONCE]
        if not cursor:
            return
