"""The layout of keys and records: a store has a number, a version reads one number."""

import redis
from itertools import islice
from scheduler_api.core.errors import UnknownLayout
from scheduler_api.core.store import functions, keys
from scheduler_api.core.store.cell import Cell
from typing import cast

# Goes up when this version cannot read what an older one wrote, or the other way round.
LAYOUT = 2
DELETED_AT_ONCE = 500


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


def empty(cell: Cell) -> int:
    """Deletes all that a cell holds, its functions too; returns how many keys.

    Then it marks the cell with this layout. Redis: SCAN, and an UNLINK for each 500
    keys, not atomic; a repeat goes on.

    Raises: redis.RedisError.
    """
    client, deleted = cell.client, 0
    found = client.scan_iter(match=f"{cell.prefix}*", count=DELETED_AT_ONCE)
    while names := list(islice(found, DELETED_AT_ONCE)):
        deleted += client.unlink(*names)
    functions.delete(client, cell.library, others_only=False)
    client.set(keys.layout(cell.prefix), LAYOUT)
    return deleted


def _holds_data(client: redis.Redis, prefix: str) -> bool:
    written_first = (keys.epoch(prefix), keys.tenants(prefix), keys.sequence(prefix))
    return bool(client.exists(*written_first))
