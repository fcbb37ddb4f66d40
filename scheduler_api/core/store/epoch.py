"""Detects by the epoch of a store that the store was emptied or replaced.

When a store is first used, it gets an epoch, which is a nonce. If a process later finds
a different epoch or no epoch, stored events were lost. Then an operator must decide to
accept the store without these events.
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
        """Return whether the store has the expected epoch.

        The first epoch that the process finds becomes the expected epoch. A different
        epoch that the process finds later becomes the expected epoch only if an
        operator has accepted this different epoch.

        Args:
            found: the epoch of the store.
            accepted: the epoch that an operator accepted last.
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
    """Record that an operator accepts the store's epoch; return this epoch."""
    epoch = establish(client, prefix)
    client.set(keys.accepted_epoch(prefix), epoch)
    return epoch.decode()


def claim_database(client: redis.Redis, prefix: str) -> None:
    """Reserve this database for the cell, and check its layout.

    Every process does this before its first write. Redis: GET, SET NX if no cell has
    the database, and the commands of `layout.ensure`.

    Raises: ForeignDatabase, UnknownLayout.
    """
    # The GET avoids a useless SET NX, which a full store or a replica would refuse.
    if client.get(keys.DATABASE_CELL) is None:
        client.set(keys.DATABASE_CELL, prefix, nx=True)
    if cast(bytes, client.get(keys.DATABASE_CELL)) != prefix.encode():
        raise ForeignDatabase(ForeignDatabase.__doc__)
    layout.ensure(client, prefix)
