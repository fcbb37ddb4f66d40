"""Checks the number of the layout of keys and records.

A cell stores the number of its layout. Each version of the code works with one layout.
"""

import redis
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import UnknownLayout
from scheduler_api.core.store import functions, keys
from scheduler_api.core.store.cell import Cell
from typing import cast

# Increase this number when this version cannot read the records of older versions, or
# when older versions cannot read the records of this version.
LAYOUT = 3
# The oldest versions of the code stored no layout number. Their first event or claim
# wrote one of these keys.
OLDER_KEYS = ("next", "beat")
BATCH_SIZE = 500


def ensure(client: redis.Redis, prefix: str) -> None:
    """Check a cell's layout; write this version's number if the cell has none.

    Normally, a cell without a number is empty. But the oldest versions of the code
    stored no number. If a cell contains keys of these versions, its layout is unknown.

    Redis: up to four commands, not atomic. Several processes may call this at once.

    Raises: UnknownLayout.
    """
    key = keys.layout(prefix)
    if client.get(key) is None:
        if client.exists(*(f"{prefix}{name}" for name in OLDER_KEYS)):
            raise UnknownLayout("none", LAYOUT)
        client.set(key, LAYOUT, nx=True)
    found = cast(bytes | None, client.get(key)) or b"none"
    if found != str(LAYOUT).encode():
        raise UnknownLayout(found.decode(), LAYOUT)


def delete_all(cell: Cell) -> int:
    """Delete all keys and Lua functions of a cell; return the number of keys.

    Then write this version's layout number. Redis: SCAN, and one UNLINK per 500 keys,
    not atomic. If the call is interrupted, a second call deletes the remaining keys.
    """
    client, deleted = cell.client, 0
    found = client.scan_iter(match=f"{cell.prefix}*", count=BATCH_SIZE)
    for names in batches(found, BATCH_SIZE):
        deleted += client.unlink(*names)
    functions.delete(client, cell.library, others_only=False)
    client.set(keys.layout(cell.prefix), LAYOUT)
    return deleted
