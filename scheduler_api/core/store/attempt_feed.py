"""The feed of all finished attempts, which exists only while somebody reads it."""

import time
from collections.abc import Callable
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from typing import Any, NamedTuple, cast

TTL_MS = 30_000
RENEW_S = 5.0


class Entry(NamedTuple):
    """An attempt that has finished."""

    event_id: str
    number: int


class AttemptFeed:
    """Reads the feed from now on. An outage of the store may be in between.

    What finishes while nobody can renew the feed for `TTL_MS` is left out.
    """

    def __init__(self, cell: Cell, clock: Callable[[], float] = time.monotonic) -> None:
        self._cell = cell
        self._clock = clock
        self._key = keys.attempt_feed(cell.prefix)
        self._last = b""
        self._renewed_s = 0.0

    def open(self) -> None:
        """Create the feed, so that attempts get into it; or keep it.

        Redis: one write, if the last one is some seconds ago.
        """
        now_s = self._clock()
        if self._last and now_s - self._renewed_s < RENEW_S:
            return
        client = self._cell.client
        if not (self._last and client.pexpire(self._key, TTL_MS)):
            self._create()
        self._renewed_s = now_s

    def read(self, *, wait_ms: int, most: int) -> list[Entry]:
        """Return what has finished since the last call, at most `most` attempts.

        Redis: one read, which waits if there is nothing; every few seconds one write.

        Args:
            wait_ms: less than the client's time-out.
        """
        self.open()
        client = cast(Any, self._cell.client)
        reply = client.xread({self._key: self._last}, count=most, block=wait_ms)
        entries = [entry for _, entries in reply for entry in entries]
        if entries:
            self._last = entries[-1][0]
        return [
            Entry(fields[b"e"].decode(), int(fields[b"n"]))
            for _, fields in entries
            if fields[b"e"]
        ]

    def _create(self) -> None:
        """Create the feed, or join it; also in a full store."""
        added, _ = self._cell.write_small(
            ("XADD", self._key, "*", "e", "", "n", 0), ("PEXPIRE", self._key, TTL_MS)
        )
        self._last = added
