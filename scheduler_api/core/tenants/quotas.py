"""Counts requests and events, and compares the counts with limits.

A limit of 0 means unlimited; then nothing is counted.
"""

from datetime import UTC, datetime
from redis.exceptions import OutOfMemoryError
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.model import Owner
from scheduler_api.core.settings.limits import OwnerQuotas
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from typing import cast

MINUTE_MS = 60_000
TWO_MINUTES_S = 120
# How long the count of a month is kept after a fire time in that month. This is longer
# than any month, so the count is kept at least until the month has ended.
KEPT_AFTER_MS = 32 * 86_400_000


class OverQuota(SchedulerError):
    """The limit is reached."""


class Quotas:
    """The counts of one cell."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def count_request(self, owner: Owner, *, limit: int) -> None:
        """Count a request in the current minute.

        Raises: OverQuota.
        """
        if not limit:
            return
        key = self._minute_key(owner, self._cell.now_ms())
        try:
            count = self._add_to_minute(key)
        except OutOfMemoryError:
            # A full store counts nothing, but it must still cancel and read.
            return
        if count > limit:
            raise OverQuota

    def count_event(self, owner: Owner, at_ms: int, *, limit: int) -> None:
        """Count an event in the month of its fire time, also in a full store.

        The store itself refuses the event then. Redis: write_small.

        Raises: OverQuota; then the event is not counted.
        """
        if not limit:
            return
        key = self._month_key(owner, at_ms)
        until_ms = at_ms + KEPT_AFTER_MS
        if self._add_to_month(key, 1, until_ms) > limit:
            self._add_to_month(key, -1, until_ms)
            raise OverQuota

    def uncount_event(self, owner: Owner, at_ms: int, *, limit: int) -> None:
        """Undo `count_event`, after the event was refused or moved to another month."""
        if limit:
            key, until_ms = self._month_key(owner, at_ms), at_ms + KEPT_AFTER_MS
            self._add_to_month(key, -1, until_ms)

    def counted(self, owner: Owner) -> OwnerQuotas:
        """Return the requests of this minute and the events of this month.

        What has no limit is not counted. One round trip.
        """
        now_ms = self._cell.now_ms()
        key_of = (self._minute_key, self._month_key)
        found = self._cell.client.mget([make(owner, now_ms) for make in key_of])
        return OwnerQuotas(*(int(count or 0) for count in found))

    def _minute_key(self, owner: Owner, at_ms: int) -> str:
        return keys.requests(self._cell.prefix, str(owner), at_ms // MINUTE_MS)

    def _month_key(self, owner: Owner, at_ms: int) -> str:
        return keys.month(self._cell.prefix, str(owner), _month(at_ms))

    def _add_to_minute(self, key: str) -> int:
        pipe = self._cell.client.pipeline(transaction=True)
        pipe.incr(key)
        pipe.expire(key, TWO_MINUTES_S)
        return cast(int, pipe.execute()[0])

    def _add_to_month(self, key: str, count: int, until_ms: int) -> int:
        counted, *_ = self._cell.write_small(
            ("INCRBY", key, count),
            ("PEXPIREAT", key, until_ms, "GT"),
            ("PEXPIREAT", key, until_ms, "NX"),
        )
        return cast(int, counted)


def same_month(one_ms: int, other_ms: int) -> bool:
    """Whether two instants are in the same month in UTC."""
    return _month(one_ms) == _month(other_ms)


def _month(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m")
