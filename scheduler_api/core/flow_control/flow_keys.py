"""Administration of flow-control keys: their limits, pauses and counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.flow_control import waiting
from scheduler_api.core.flow_control.gates import Fields, set_gate
from scheduler_api.core.flow_control.rows import Named, Row, rows
from scheduler_api.core.model import Owner
from scheduler_api.core.settings.limits import (
    NO_LIMITS,
    LimitsByDialect,
    limits_of,
)
from scheduler_api.core.store import keys
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.gate_names import (
    decode_name,
    encode_name,
    flow_gate,
    tenant_gate,
)
from scheduler_api.core.store.reads import readable
from scheduler_api.core.store.records import GATE, Record
from typing import cast

FORGOTTEN_AT_ONCE = 500
COUNTED_AT_ONCE = 1_000
# How long a key and its limits are kept after the last event with this key. The same
# as in lib/gates.lua.
KEPT_MS = 14 * 86_400_000
# An attempt counts towards the rate for one period plus this time. Without this time,
# network jitter could bring a receiver more requests in a period than the rate allows.
JITTER_MS = 20


@dataclass(frozen=True)
class Flow:
    """A flow-control key; a limit of 0 means unlimited.

    `running` counts events that hold a slot, including events whose attempt has not
    begun yet. `begun` counts the attempts that began in the current period. The first
    of these attempts began at `since_ms`.
    """

    key: str
    waiting: int
    parallelism: int
    running: int
    rate: int
    begun: int
    period_ms: int
    since_ms: int
    paused: bool
    pinned_parallelism: bool
    pinned_rate: bool


class FlowKeys:
    """The flow-control keys of a cell.

    The methods that change a key call set_gate, which is atomic. If the key does not
    exist, set_gate creates it, but not to resume it.
    """

    def __init__(
        self, cell: Cell, *, owner_limits: LimitsByDialect = NO_LIMITS
    ) -> None:
        self._cell = cell
        self._owner_limits = owner_limits

    def set_paused(
        self, owner: Owner, key: str, *, paused: bool, change: Change | None = None
    ) -> None:
        """Pause or resume a key; after a resume, waiting events proceed, oldest first.

        Raises: LimitReached, NotFound (the key to resume does not exist).
        """
        exists = self._set(owner, key, {}, paused=paused, creates=paused, change=change)
        if not exists:
            raise NotFound

    def pin(
        self,
        owner: Owner,
        key: str,
        *,
        parallelism: int | None = None,
        rate: int | None = None,
        period_ms: int | None = None,
        change: Change | None = None,
    ) -> None:
        """Set limits that events cannot change; setting a rate starts a new period.

        Args:
            period_ms: the period of the rate; None: one second.

        Raises: LimitReached.
        """
        fields: Fields = {}
        if parallelism is not None:
            fields |= {"parallelism": parallelism, "parallelism_pinned": 1}
        if rate is not None:
            fields |= {"rate": rate, "period_ms": period_ms or 1_000, "rate_pinned": 1}
        self._set(owner, key, fields, reset=rate is not None, change=change)

    def unpin(
        self,
        owner: Owner,
        key: str,
        *,
        parallelism: bool,
        rate: bool,
        change: Change | None = None,
    ) -> None:
        """Let events change the limits of a key again.

        The limits keep their values until an event changes them.

        Raises: LimitReached.
        """
        fields: Fields = {}
        if parallelism:
            fields["parallelism_pinned"] = ""
        if rate:
            fields["rate_pinned"] = ""
        self._set(owner, key, fields, change=change)

    def reset_rate(
        self, owner: Owner, key: str, *, change: Change | None = None
    ) -> None:
        """Reset the count of the current period, so that waiting events can begin.

        Raises: LimitReached, if the key is new and the owner has too many keys.
        """
        self._set(owner, key, {}, reset=True, change=change)

    def _drop(self, owner: Owner, names: list[bytes]) -> int:
        options = {"owner": str(owner)}
        return cast(int, self._cell.call("forget_flow_keys", options, names))

    def _set(
        self,
        owner: Owner,
        key: str,
        fields: Fields,
        *,
        paused: bool | None = None,
        reset: bool = False,
        creates: bool = True,
        change: Change | None,
    ) -> bool:
        limit = limits_of(owner.dialect, self._owner_limits).flow_keys
        return set_gate(
            self._cell,
            flow_gate(owner, key),
            fields,
            paused=paused,
            reset=reset,
            limit=limit if creates else None,
            owner=owner,
            name=key,
            change=change,
        )

    def get(self, owner: Owner, key: str) -> Flow:
        """Read one key. Redis: two round trips, not atomic.

        Raises: NotFound, UnreadableRecord.
        """
        for found in self._read(owner, [key]):
            return found
        raise NotFound

    def all_of(self, owner: Owner) -> list[Flow]:
        """All existing keys of an owner.

        Also remove up to 500 expired keys from the owner's index. Redis: three round
        trips, not atomic.

        Raises: UnreadableRecord.
        """
        index = keys.flow_keys(self._cell.prefix, str(owner))
        names = cast(list[bytes], self._cell.client.zrange(index, 0, -1))
        found = self._read(owner, [decode_name(name) for name in names])
        existing = {encode_name(flow.key) for flow in found}
        if expired := [name for name in names if name.decode() not in existing]:
            self._drop(owner, expired[:FORGOTTEN_AT_ONCE])
        return found

    def rows(self, names: Sequence[Named]) -> list[Row[Flow]]:
        """The keys that exist, with what waits for them. Redis: three round trips."""
        found = self._find(names)
        gates = [
            flow_gate(*named)
            for named, flow in zip(names, found, strict=True)
            if isinstance(flow, Flow)
        ]
        return rows(names, found, waiting.of_gates(self._cell, gates))

    def forget(self, owner: Owner) -> int:
        """Remove expired keys from the owner's index; return their number.

        Redis: two round trips for each 500 keys that are older than `KEPT_MS`.
        """
        index, kept, removed = keys.flow_keys(self._cell.prefix, str(owner)), 0, 0
        before_ms = self._cell.now_ms() - KEPT_MS
        while True:
            names = cast(
                list[bytes],
                self._cell.client.zrangebyscore(
                    index, "-inf", before_ms, start=kept, num=FORGOTTEN_AT_ONCE
                ),
            )
            if not names:
                return removed
            dropped = self._drop(owner, names)
            kept, removed = kept + len(names) - dropped, removed + dropped

    def running(self, tenant: str) -> int:
        """The number of running deliveries of a tenant.

        Deliveries are counted only if tenants have a cap; otherwise the result is 0.

        Redis: one read.
        """
        key = keys.holders(self._cell.prefix, tenant_gate(tenant))
        return self._cell.client.scard(key)

    def running_by_key(self, owner: Owner) -> int:
        """The number of running deliveries of an owner that have a flow-control key.

        Redis: one read, and another read for each thousand keys.
        """
        index = keys.flow_keys(self._cell.prefix, str(owner))
        names = cast(list[bytes], self._cell.client.zrange(index, 0, -1))
        running = 0
        for batch in batches(names, COUNTED_AT_ONCE):
            pipe = self._cell.client.pipeline(transaction=False)
            for name in batch:
                gate = flow_gate(owner, decode_name(name))
                pipe.scard(keys.holders(self._cell.prefix, gate))
            running += sum(pipe.execute())
        return running

    def _read(self, owner: Owner, names: Sequence[str]) -> list[Flow]:
        found = self._find([(owner, name) for name in names])
        return [readable(flow) for flow in found if flow is not None]

    def _find(self, names: Sequence[Named]) -> list[Flow | UnreadableRecord | None]:
        now_ms, prefix = self._cell.now_ms(), self._cell.prefix
        pipe = self._cell.client.pipeline(transaction=False)
        for named in names:
            gate = flow_gate(*named)
            pipe.hgetall(keys.gate(prefix, gate))
            pipe.zcard(keys.waiters(prefix, gate))
            pipe.scard(keys.holders(prefix, gate))
            pipe.lrange(keys.begins(prefix, gate), 0, -1)
        replies = pipe.execute()
        records = map(GATE.named, replies[::4])
        found = zip(names, records, *(replies[n::4] for n in (1, 2, 3)), strict=True)
        return [
            _flow(key, record, waiting, running, begins, now_ms=now_ms)
            for (_, key), record, waiting, running, begins in found
        ]


def _flow(
    key: str,
    record: Record,
    waiting: int,
    running: int,
    begins: Sequence[bytes],
    *,
    now_ms: int,
) -> Flow | UnreadableRecord | None:
    """Return a key, None if there is none."""
    if "created_ms" not in record:
        return None
    try:
        period_ms = int(record.get("period_ms", 1_000))
        recent = [at for at in map(int, begins) if at > now_ms - period_ms - JITTER_MS]
        return Flow(
            key=key,
            waiting=waiting,
            parallelism=int(record.get("parallelism", 0)),
            running=running,
            rate=int(record.get("rate", 0)),
            begun=len(recent),
            period_ms=period_ms,
            since_ms=recent[0] if recent else now_ms,
            paused="paused_ms" in record,
            pinned_parallelism="parallelism_pinned" in record,
            pinned_rate="rate_pinned" in record,
        )
    except ValueError:
        return UnreadableRecord(f"flow-control key {key}")
