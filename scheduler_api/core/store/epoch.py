"""The epoch of a store: detects that the store was emptied or replaced.

A store gets an epoch, a nonce, when it is first used. If a process later finds another
epoch or none, accepted events were lost, and an operator must accept the new store.
"""

import redis
from scheduler_api.core.errors import ForeignDatabase
from scheduler_api.core.ids import nonce
from scheduler_api.core.store import keys, layout
from typing import cast


class Epoch:
    """The epoch that one process expects its store to have."""

    def __init__(self) -> None:
        self._expected = ""

    def matches(self, found: bytes | None, accepted: bytes | None) -> bool:
        """Whether the store has the expected epoch.

        The first epoch found becomes the expected one; so does any later epoch that an
        operator has accepted.
        """
        epoch = (found or b"").decode()
        if not self._expected or (epoch and found == accepted):
            self._expected = epoch
        return epoch == self._expected

    @property
    def expected(self) -> str:
        """The expected epoch; '' before the first match."""
        return self._expected


def establish(client: redis.Redis, prefix: str) -> bytes:
    """Return the store's epoch; create it if there is none. Redis: SET NX, then GET."""
    client.set(keys.epoch(prefix), nonce(), nx=True)
    return cast(bytes, client.get(keys.epoch(prefix)))


def accept(client: redis.Redis, prefix: str) -> str:
    """Accept the store in its present state; return its epoch."""
    epoch = establish(client, prefix)
    client.set(keys.accepted_epoch(prefix), epoch)
    return epoch.decode()


def claim_database(client: redis.Redis, prefix: str) -> None:
    """Reserve this database for the cell, and check its layout.

    Every process does this before its first write. Redis: GET, SET NX if no cell has
    the database, and the commands of `layout.ensure`.

    Raises: ForeignDatabase, UnknownLayout.
    """
    # A full store or a replica refuses every SET, even one that would change nothing.
    if client.get(keys.DATABASE_CELL) is None:
        client.set(keys.DATABASE_CELL, prefix, nx=True)
    if cast(bytes, client.get(keys.DATABASE_CELL)) != prefix.encode():
        raise ForeignDatabase(ForeignDatabase.__doc__)
    layout.ensure(client, prefix)
