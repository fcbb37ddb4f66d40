"""The version number of the layout of keys and records.

The store of a cell has one layout number, and a version of the code reads one number.
"""

import redis
from itertools import islice
from scheduler_api.core.errors import UnknownLayout
from scheduler_api.core.store import functions, keys
from scheduler_api.core.store.cell import Cell
from typing import cast

# Increase it when this version cannot read what an older one wrote, or the reverse.
LAYOUT = 3
# Versions without a layout number wrote one of these with their first event or claim.
OLDER_KEYS = ("next", "beat")
BATCH_SIZE = 500


def ensure(client: redis.Redis, prefix: str) -> None:
    """Check a cell's layout; write this version's number if the cell has none.

    A cell without a number is new or has lost its data, unless it has keys that only
    older versions wrote.

    Redis: up to four commands, not atomic; processes may do this at the same time.

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

    Afterwards the cell has this version's layout number. Redis: SCAN, and one UNLINK
    per 500 keys, not atomic; a repeat deletes the rest.
    """
    client, deleted = cell.client, 0
    found = client.scan_iter(match=f"{cell.prefix}*", count=BATCH_SIZE)
    while names := list(islice(found, BATCH_SIZE)):
        deleted += client.unlink(*names)
    functions.delete(client, cell.library, others_only=False)
    client.set(keys.layout(cell.prefix), LAYOUT)
    return deleted
