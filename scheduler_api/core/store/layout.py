"""The layout of keys and records: a store has a number, a version reads one number."""

import redis
from itertools import islice
from scheduler_api.core.errors import UnknownLayout
from scheduler_api.core.store import functions, keys
from scheduler_api.core.store.cell import Cell
from typing import cast

# Goes up when this version cannot read what an older one wrote, or the other way round.
LAYOUT = 2
# Versions before the number wrote one of these with the first event or claim.
OLDER = ("next", "beat")
DELETED_AT_ONCE = 500


def take(client: redis.Redis, prefix: str) -> None:
    """Marks a cell with this version's layout if it has no number; accepts its own.

    A cell without a number is new, or was lost under this version's processes, unless
    it holds what only older versions wrote.

    Redis: up to four commands, not atomic; processes may start at the same moment.

    Raises: UnknownLayout, redis.RedisError.
    """
    key = keys.layout(prefix)
    if client.get(key) is None:
        if client.exists(*(f"{prefix}{name}" for name in OLDER)):
            raise UnknownLayout("none", LAYOUT)
        client.set(key, LAYOUT, nx=True)
    found = cast(bytes | None, client.get(key)) or b"none"
    if found != str(LAYOUT).encode():
        raise UnknownLayout(found.decode(), LAYOUT)


def empty(cell: Cell) -> int:
    """Deletes all that a cell holds, its functions too; returns how many keys.

    Then it marks the cell with this layout. Redis: SCAN, and an UNLINK for each 500
    keys, not atomic; a repeat deletes the rest.

    Raises: redis.RedisError.
    """
    client, deleted = cell.client, 0
    found = client.scan_iter(match=f"{cell.prefix}*", count=DELETED_AT_ONCE)
    while names := list(islice(found, DELETED_AT_ONCE)):
        deleted += client.unlink(*names)
    functions.delete(client, cell.library, others_only=False)
    client.set(keys.layout(cell.prefix), LAYOUT)
    return deleted
