"""Detects that a store was emptied or replaced, by comparing epochs.

A new store gets an epoch, which is a nonce. If a process later finds a different epoch
or none, the store has lost its events. Then an operator must accept the store as it is.
"""

import redis
import time
from contextlib import suppress
from scheduler_api.core.errors import ForeignDatabase, StoreLost
from scheduler_api.core.ids import nonce
from scheduler_api.core.store import audit, keys, layout
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.epoch_memory import Memory, StoreMemory
from typing import cast

INTERVAL_S = 1.0
# More ids than a store can have lost.
ID_MARGIN = 1_000_000


class Epoch:
    """The epoch that one process expects its store to have."""

    def __init__(self, expected: str = "") -> None:
        self._expected = expected

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


class EpochWatch:
    """Knows whether the store still is the one that this process, or one before, knew.

    Attributes:
        is_lost: whether it was emptied or replaced, as far as this process has seen.
    """

    def __init__(self, cell: Cell, memory: StoreMemory | None = None) -> None:
        """
        Args:
            cell: creations on this cell are refused if the store is another one.
            memory: None: only what this process itself has seen counts.
        """
        self._cell = cell
        self._memory = memory
        self._epoch: Epoch | None = None
        self.is_lost = False

    @property
    def expected(self) -> str:
        """The expected epoch; '' if no epoch is known yet."""
        return self._epoch.expected if self._epoch else ""

    def load(self) -> Memory:
        """Expect the remembered epoch, and return what is remembered."""
        found = self._memory.load() if self._memory else Memory()
        self._epoch = Epoch(found.epoch)
        return found

    def judge(self, found: bytes | None, accepted: bytes | None) -> bool:
        """Return whether the store has the expected epoch; see `Epoch.matches`."""
        if self._epoch is None:
            self.load()
        assert self._epoch
        self.is_lost = not self._epoch.matches(found, accepted)
        self._cell.expected_epoch = self._epoch.expected
        return not self.is_lost

    def keep(self, *, newest_id: int, server: str, claimed_ms: int) -> None:
        """Let later processes remember the expected epoch, and what else is known."""
        if self._memory and self.expected:
            memory = Memory(self.expected, newest_id, server, claimed_ms)
            self._memory.keep(memory, is_lost=self.is_lost)

    def require_same_store(self) -> None:
        """Check the store now. Redis: one MGET.

        Raises: StoreLost.
        """
        prefix = self._cell.prefix
        found, accepted = cast(
            list[bytes | None],
            self._cell.client.mget(keys.epoch(prefix), keys.accepted_epoch(prefix)),
        )
        if not self.judge(found, accepted):
            raise StoreLost

    def run_forever(self) -> None:
        """Check the store every second."""
        while True:
            with suppress(redis.RedisError, StoreLost):
                self.require_same_store()
            time.sleep(INTERVAL_S)


def establish(client: redis.Redis, prefix: str) -> bytes:
    """Return the store's epoch; create it if there is none.

    Works in a full store, too. Redis: GET; if there is none, write_small and GET.
    """
    key = keys.epoch(prefix)
    if client.get(key) is None:
        Cell(client, prefix).write_small(("SET", key, nonce(), "NX"))
    return cast(bytes, client.get(key))


def accept(
    client: redis.Redis, prefix: str, *, by: str | None = None, newest_id: int = 0
) -> str:
    """Record that an operator accepts the store, and return its epoch, a new one.

    The new epoch tells all processes to forget what they knew of the store before.
    Works in a full store, too. Atomic, write_small.

    Args:
        by: who accepts it, for the audit log; None: not a person.
        newest_id: the newest id that the lost data may have had.
    """
    epoch = nonce()
    change = audit.change(by, None, "store.accept", epoch)
    newest = int(cast(bytes | None, client.get(keys.sequence(prefix))) or 0)
    # The lost data had ids that must not be issued again.
    skipped = max(0, newest_id - newest) + ID_MARGIN
    Cell(client, prefix).write_small(
        ("SET", keys.epoch(prefix), epoch),
        ("SET", keys.accepted_epoch(prefix), epoch),
        ("INCRBY", keys.sequence(prefix), skipped),
        ("DEL", keys.lost_tail(prefix)),
        *audit.commands(prefix, change, before=None, after={"accepted": True}),
    )
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
