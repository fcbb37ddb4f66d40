"""Whether the store is still the one that was first met.

A store that comes back empty, or as another one, must not pass for the old one in
silence: what was accepted is gone. Its epoch is made when it is first used.
"""

import redis
from scheduler_api.core.errors import ForeignDatabase
from scheduler_api.core.ids import nonce
from scheduler_api.core.store import keys, layout
from typing import cast


class Epoch:
    """One process's memory of its store."""

    def __init__(self) -> None:
        self._known = ""

    def holds(self, found: bytes | None, accepted: bytes | None) -> bool:
        """Whether that is the store first met, or one accepted since."""
        epoch = (found or b"").decode()
        if not self._known or (epoch and found == accepted):
            self._known = epoch
        return epoch == self._known

    @property
    def known(self) -> str:
        """The epoch first met, or accepted since; empty before either."""
        return self._known


def establish(client: redis.Redis, prefix: str) -> bytes:
    """The store's epoch, made now if it has none. Redis: SET NX, then GET.

    Raises: redis.RedisError.
    """
    client.set(keys.epoch(prefix), nonce(), nx=True)
    return cast(bytes, client.get(keys.epoch(prefix)))


def accept(client: redis.Redis, prefix: str) -> str:
    """Declares the store as it is now to be the right one; answers its epoch.

    Raises: redis.RedisError.
    """
    epoch = establish(client, prefix)
    client.set(keys.accepted_epoch(prefix), epoch)
    return epoch.decode()


def take_database(client: redis.Redis, prefix: str) -> None:
    """Makes this database the cell's own, if it is nobody's, and checks its layout.

    Every process does it before it writes anything else. Redis: GET, SET NX
    if nobody has it, and what `layout.take` asks.

    Raises: ForeignDatabase, UnknownLayout, redis.RedisError.
    """
    # A full store, and a replica, refuse a SET even where it would change nothing.
    if client.get(keys.DATABASE_CELL) is None:
        client.set(keys.DATABASE_CELL, prefix, nx=True)
    if cast(bytes, client.get(keys.DATABASE_CELL)) != prefix.encode():
        raise ForeignDatabase(ForeignDatabase.__doc__)
    layout.take(client, prefix)
