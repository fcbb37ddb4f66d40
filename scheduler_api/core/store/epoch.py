"""Detects that a store was emptied or replaced, by comparing epochs.

A new store gets an epoch, which is a nonce. If a process later finds a different epoch
or none, the store has lost its events. Then an operator must accept the store as it is.
"""

import redis
from scheduler_api.core.errors import ForeignDatabase
from scheduler_api.core.ids import nonce
from scheduler_api.core.store import audit, keys, layout
from typing import cast

# More ids than a store can have lost.
ID_MARGIN = 1_000_000


class Epoch:
    """The epoch that one process expects its store to have."""

    def __init__(self) -> None:
        self._expected = ""

    def matches(self, found: bytes | None, accepted: bytes | None) -> bool:
        """Return whether the store has the expected epoch.

        The first epoch that the process finds becomes the expected epoch. Afterwards,
        the expected epoch changes only if an operator accepts the store's new epoch.

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
    """Return the store's epoch; create it if there is none.

    Redis: GET; if there is none, SET NX and GET.
    """
    key = keys.epoch(prefix)
    # A full store refuses every SET NX; see `claim_database`.
    if client.get(key) is None:
        client.set(key, nonce(), nx=True)
    return cast(bytes, client.get(key))


def accept(client: redis.Redis, prefix: str, *, by: str | None = None) -> str:
    """Record that an operator accepts the store, and return its epoch, a new one.

    The new epoch tells all processes to forget what they knew of the store before.
    Atomic, one MULTI.

    Args:
        by: who accepts it, for the audit log; None: not a person.
    """
    epoch = nonce()
    change = audit.change(by, None, "store.accept", epoch)
    with client.pipeline(transaction=True) as pipe:
        pipe.mset({keys.epoch(prefix): epoch, keys.accepted_epoch(prefix): epoch})
        # The lost data had ids that must not be issued again.
        pipe.incrby(keys.sequence(prefix), ID_MARGIN)
        pipe.delete(keys.lost_tail(prefix))
        audit.add(pipe, prefix, change, before=None, after={"accepted": True})
        pipe.execute()
    return epoch


def claim_database(client: redis.Redis, prefix: str) -> None:
    """Reserve this database for the cell, and check its layout.

    Every process calls this before its first write. Redis: two GETs, one SET NX if the
    database is not yet reserved, and the commands of `layout.ensure`.

    Raises: ForeignDatabase, UnknownLayout.
    """
    # A full store and a replica refuse every SET NX, even if the key exists and nothing
    # would be written. So read the key first.
    if client.get(keys.DATABASE_CELL) is None:
        client.set(keys.DATABASE_CELL, prefix, nx=True)
    if cast(bytes, client.get(keys.DATABASE_CELL)) != prefix.encode():
        raise ForeignDatabase(ForeignDatabase.__doc__)
    layout.ensure(client, prefix)
