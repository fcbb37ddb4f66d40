"""Administration of queues."""

from collections.abc import Sequence
from dataclasses import dataclass
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.flow_control import waiting
from scheduler_api.core.flow_control.gates import Fields, set_gate
from scheduler_api.core.flow_control.rows import Named, Row, rows
from scheduler_api.core.ids import nonce
from scheduler_api.core.model import Owner
from scheduler_api.core.settings.limits import (
    NO_LIMITS,
    LimitsByDialect,
    limits_of,
)
from scheduler_api.core.store import audit, keys
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.gate_names import decode_name, encode_name, queue_gate
from scheduler_api.core.store.reads import readable
from scheduler_api.core.store.records import GATE, Record
from typing import cast

# The maximum number of events that one call cancels, so that no call blocks the store
# for long.
DROPPED_AT_ONCE = 100


@dataclass(frozen=True)
class Queue:
    """A queue; `lag` counts its unfinished events, including those in progress."""

    name: str
    parallelism: int
    paused: bool
    created_ms: int
    updated_ms: int
    lag: int


class Queues:
    """The queues of a cell."""

    def __init__(
        self, cell: Cell, *, owner_limits: LimitsByDialect = NO_LIMITS
    ) -> None:
        self._cell = cell
        self._owner_limits = owner_limits

    def put(
        self,
        owner: Owner,
        name: str,
        *,
        parallelism: int,
        paused: bool,
        change: Change | None = None,
    ) -> None:
        """Create or change a queue; events that the queue now admits proceed at once.

        Redis: set_gate, atomic.

        Raises: LimitReached.
        """
        set_gate(
            self._cell,
            queue_gate(owner, name),
            {"parallelism": parallelism},
            paused=paused,
            limit=limits_of(owner.dialect, self._owner_limits).queues,
            owner=owner,
            name=name,
            change=change,
        )

    def set_paused(
        self, owner: Owner, name: str, *, paused: bool, change: Change | None = None
    ) -> None:
        """Pause or resume a queue.

        After a resume, the waiting events proceed, oldest first.

        Redis: set_gate, atomic.

        Raises: NotFound.
        """
        self._change(owner, name, {}, paused=paused, change=change)

    def set_parallelism(
        self, owner: Owner, name: str, parallelism: int, *, change: Change | None = None
    ) -> None:
        """Change how many events of a queue may be sent at the same time.

        Events that the queue now admits proceed at once. Redis: set_gate, atomic.

        Raises: NotFound.
        """
        self._change(owner, name, {"parallelism": parallelism}, change=change)

    def _change(
        self,
        owner: Owner,
        name: str,
        fields: Fields,
        *,
        paused: bool | None = None,
        change: Change | None,
    ) -> None:
        exists = set_gate(
            self._cell,
            queue_gate(owner, name),
            fields,
            paused=paused,
            limit=None,
            owner=owner,
            name=name,
            change=change,
        )
        if not exists:
            raise NotFound

    def delete(self, owner: Owner, name: str, *, change: Change | None = None) -> int:
        """Delete a queue and cancel its events; return the number of cancelled events.

        Attempts in progress are asked to stop. Callbacks of finished attempts are still
        sent. Each call of delete_queue cancels up to 100 events and is atomic. If this
        process stops between two calls, workers cancel the remaining events when they
        claim events.
        """
        dropped, more = 0, 1
        options = {
            "gate": queue_gate(owner, name),
            "owner": str(owner),
            "name": encode_name(name),
            "limit": DROPPED_AT_ONCE,
            "nonce": nonce(),
            **audit.options(change),
        }
        while more:
            _, done, more = self._cell.call("delete_queue", options)
            dropped += done
        return dropped

    def get(self, owner: Owner, name: str) -> Queue:
        """Read one queue. Redis: one round trip.

        Raises: NotFound, UnreadableRecord.
        """
        for found in self._read(owner, [name]):
            return found
        raise NotFound

    def all_of(self, owner: Owner) -> list[Queue]:
        """All queues of an owner, oldest first. Redis: two round trips, not atomic.

        Raises: UnreadableRecord.
        """
        key = keys.queues(self._cell.prefix, str(owner))
        names = cast(list[bytes], self._cell.client.zrange(key, 0, -1))
        return self._read(owner, [decode_name(name) for name in names])

    def rows(self, names: Sequence[Named]) -> list[Row[Queue]]:
        """The queues that exist, with what waits in them. Redis: four round trips."""
        found = self._find(names)
        limits = {
            queue_gate(*named): queue.parallelism
            for named, queue in zip(names, found, strict=True)
            if isinstance(queue, Queue)
        }
        return rows(names, found, waiting.of_queues(self._cell, limits))

    def _read(self, owner: Owner, names: Sequence[str]) -> list[Queue]:
        found = self._find([(owner, name) for name in names])
        return [readable(queue) for queue in found if queue is not None]

    def _find(self, names: Sequence[Named]) -> list[Queue | UnreadableRecord | None]:
        pipe = self._cell.client.pipeline(transaction=False)
        for named in names:
            gate = queue_gate(*named)
            pipe.hgetall(keys.queue(self._cell.prefix, gate))
            pipe.zcard(keys.order(self._cell.prefix, gate))
        replies = pipe.execute()
        records = map(GATE.named, replies[::2])
        return [
            _queue(name, record, lag)
            for (_, name), record, lag in zip(
                names, records, replies[1::2], strict=True
            )
        ]


def _queue(name: str, record: Record, lag: int) -> Queue | UnreadableRecord | None:
    """Return a queue, None if there is none."""
    if "created_ms" not in record:
        return None
    try:
        return Queue(
            name=name,
            parallelism=int(record["parallelism"]),
            paused="paused_ms" in record,
            created_ms=int(record["created_ms"]),
            updated_ms=int(record["updated_ms"]),
            lag=lag,
        )
    except (KeyError, ValueError):
        return UnreadableRecord(f"queue {name}")
