"""The layout of keys and records: this version reads one, a store has its number."""

import redis
from scheduler_api.core.errors import UnknownLayout
from scheduler_api.core.store import keys
from typing import cast

# Counts changes after which an older version could not read the store, or it the older.
LAYOUT = 2


def take(client: redis.Redis, prefix: str) -> None:
    """Marks an empty cell with this version's layout; accepts one that has it.

    A process that starts calls this before it writes anything else, so a cell that
    holds data but no number was written by a version before layouts had one.

    Redis: up to four commands, not atomic; processes may start at the same moment.

    Raises: UnknownLayout, redis.RedisError.
    """
    key = keys.layout(prefix)
    if client.get(key) is None and not _holds_data(client, prefix):
        client.set(key, LAYOUT, nx=True)
    # Another process may have taken it and written since.
    found = cast(bytes | None, client.get(key))
    if found != str(LAYOUT).encode():
        raise UnknownLayout(found.decode() if found else "none", LAYOUT)


def empty(client: redis.Redis, prefix: str) -> int:
    """Deletes all that a cell holds and marks it with this layout; how many keys.

    Redis: SCAN and UNLINK in chunks, not atomic; a repeat goes on.

    Raises: redis.RedisError.
    """
    deleted = 0
    for key in client.scan_iter(match=f"{prefix}*", count=1_000):
        deleted += client.unlink(key)
    client.set(keys.layout(prefix), LAYOUT)
    return deleted


def _holds_data(client: redis.Redis, prefix: str) -> bool:
    written_first = (keys.epoch(prefix), keys.tenants(prefix), keys.sequence(prefix))
    return bool(client.exists(*written_first))
