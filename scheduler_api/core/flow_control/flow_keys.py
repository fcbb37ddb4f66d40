"""Gates by hand: queues, flow-control keys, destinations; limits, pauses and counts.

What holds an event back, and when it goes, is decided by the scripts alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from scheduler_api.core.delivery.destinations import Destination
from scheduler_api.core.errors import NoRoom, NotFound, UnreadableRecord
from scheduler_api.core.ids import nonce
from scheduler_api.core.model import Owner
from scheduler_api.core.store import gate_names, keys
from scheduler_api.core.store.events import Store
from scheduler_api.core.store.gate_names import (
    decoded,
    encoded,
    flow_gate,
    queue_gate,
    tenant_gate,
)
from typing import cast

# Few enough that one script holds up nobody else for long.
DROPPED_AT_ONCE = 100
FORGOTTEN_AT_ONCE = 500
COUNTED_AT_ONCE = 1_000
# A key and its limits outlast its events by this, as the scripts have it.
KEPT_MS = 14 * 86_400_000
# A sliding log holds a begin for a period and this, so that jitter on the way to the
# receiver does not show.
JITTER_MS = 20
# What gate_set.lua answers, besides 0: there is no such gate.
DONE, NO_ROOM = 1, 2
Fields = dict[str, str | int]


@dataclass(frozen=True)
class Queue:
    """A queue; `lag` counts its unfinished events, those being sent included."""

    name: str
    parallelism: int
    paused: bool
    created_ms: int
    updated_ms: int
    lag: int


@dataclass(frozen=True)
class Flow:
    """A flow-control key; a limit of 0 is none.

    `running` counts events let through and not ended; `begun` those begun within the
    period that ends now, the oldest of them at `since_ms`.
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


class GateKeeper:
    """The gates of one cell, as people see and change them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._prefix = store.prefix

    def put_queue(
        self, owner: Owner, name: str, *, parallelism: int, paused: bool
    ) -> None:
        """Makes a queue, or changes one; whoever may go now goes.

        Redis: gate_set.lua, atomic.

        Raises: NoRoom, redis.RedisError.
        """
        pause: Fields = {"p": parallelism, "pz": "1" if paused else ""}
        self._set_queue(owner, name, pause, make=True)

    def turn_queue(self, owner: Owner, name: str, *, paused: bool) -> None:
        """Pauses a queue, or lets it go on with the oldest.

        Redis: gate_set.lua, atomic.

        Raises: NotFound, redis.RedisError.
        """
        if not self._set_queue(owner, name, {"pz": "1" if paused else ""}):
            raise NotFound

    def delete_queue(self, owner: Owner, name: str) -> int:
        """Deletes a queue and cancels what stands in it; answers how much that was.

        What is being sent is asked to stop; callbacks of what was sent go out. Should
        this end half-way, claims go on.
        Redis: queue_delete.lua, atomic for each 100.

        Raises: redis.RedisError.
        """
        gate, dropped, more = queue_gate(owner, name), 0, 1
        words = (gate, str(owner), encoded(name), DROPPED_AT_ONCE, nonce())
        while more:
            reply = self._store.run("queue_delete", *words)
            _, done, more = cast(tuple[int, int, int], reply)
            dropped += done
        return dropped

    def queue(self, owner: Owner, name: str) -> Queue:
        """One queue. Redis: one round trip.

        Raises: NotFound, UnreadableRecord, redis.RedisError.
        """
        for found in self._queues(owner, [name]):
            return found
        raise NotFound

    def queues(self, owner: Owner) -> list[Queue]:
        """All queues of an owner, oldest first. Redis: two round trips, not atomic.

        Raises: UnreadableRecord, redis.RedisError.
        """
        key = keys.queues(self._prefix, str(owner))
        names = cast(list[bytes], self._store.client.zrange(key, 0, -1))
        return self._queues(owner, [decoded(name) for name in names])

    def _queues(self, owner: Owner, names: Sequence[str]) -> list[Queue]:
        pipe = self._store.client.pipeline(transaction=False)
        for name in names:
            gate = queue_gate(owner, name)
            pipe.hgetall(keys.queue(self._prefix, gate))
            pipe.zcard(keys.order(self._prefix, gate))
        replies = pipe.execute()
        found = zip(names, replies[::2], replies[1::2], strict=True)
        return [
            _queue(name, record, lag) for name, record, lag in found if b"c" in record
        ]

    def turn_flow(self, owner: Owner, key: str, *, paused: bool) -> None:
        """Pauses a flow-control key, whether it is in use or not, or lets it go on.

        Redis: gate_set.lua, atomic.

        Raises: NoRoom, redis.RedisError.
        """
        self._set_flow(owner, key, {"pz": "1" if paused else ""})

    def pin_flow(
        self,
        owner: Owner,
        key: str,
        *,
        parallelism: int | None = None,
        rate: int | None = None,
        period_ms: int | None = None,
    ) -> None:
        """Sets limits that no event changes; with a rate its period begins anew.

        Redis: gate_set.lua, atomic.

        Raises: NoRoom, redis.RedisError.
        """
        fields: Fields = {}
        if parallelism is not None:
            fields |= {"p": parallelism, "pp": "1"}
        if rate is not None:
            fields |= {"r": rate, "t": period_ms or 1_000, "pr": "1", "reset": "1"}
        self._set_flow(owner, key, fields)

    def unpin_flow(
        self, owner: Owner, key: str, *, parallelism: bool, rate: bool
    ) -> None:
        """Lets the next event set limits again; until then the pinned ones stay.

        Redis: gate_set.lua, atomic.

        Raises: NoRoom, redis.RedisError.
        """
        fields: Fields = {}
        if parallelism:
            fields["pp"] = ""
        if rate:
            fields["pr"] = ""
        self._set_flow(owner, key, fields)

    def reset_rate(self, owner: Owner, key: str) -> None:
        """Forgets what has begun in this period; what waits goes as far as it may.

        Redis: gate_set.lua, atomic.

        Raises: NoRoom, redis.RedisError.
        """
        self._set_flow(owner, key, {"reset": "1"})

    def turn_destination(
        self, tenant: str, destination: Destination, *, paused: bool
    ) -> None:
        """Pauses what a tenant sends to a destination, or lets the oldest go on.

        What is being sent runs on; what is offered or falls due waits, and is counted
        by `held_destinations`. Redis: gate_set.lua, atomic.

        Raises: NotFound (nothing is held back there), redis.RedisError.
        """
        origin = str(destination.origin)
        gate = gate_names.destination_gate(tenant, gate_names.destination(origin))
        fields: Fields = {"pz": "1", "og": origin} if paused else {"pz": ""}
        if not self._set(gate, fields, most=0 if paused else None):
            raise NotFound

    def flow(self, owner: Owner, key: str) -> Flow:
        """One flow-control key. Redis: two round trips, not atomic.

        Raises: NotFound, UnreadableRecord, redis.RedisError.
        """
        for found in self._flows(owner, [key]):
            return found
        raise NotFound

    def flows(self, owner: Owner) -> list[Flow]:
        """The flow-control keys of an owner that are not forgotten.

        Redis: three round trips, not atomic; some of those forgotten leave the index.

        Raises: UnreadableRecord, redis.RedisError.
        """
        index = keys.flows(self._prefix, str(owner))
        names = cast(list[bytes], self._store.client.zrange(index, 0, -1))
        found = self._flows(owner, [decoded(name) for name in names])
        known = {encoded(each.key) for each in found}
        if gone := [name for name in names if name.decode() not in known]:
            self._store.run("flows_forget", str(owner), *gone[:FORGOTTEN_AT_ONCE])
        return found

    def forget_flows(self, owner: Owner) -> int:
        """Takes all keys out of the index that are forgotten; answers how many.

        Redis: two round trips for each 500 that have had their limits for long.

        Raises: redis.RedisError.
        """
        index, kept, gone = keys.flows(self._prefix, str(owner)), 0, 0
        before_ms = self._store.now_ms() - KEPT_MS
        while True:
            names = cast(
                list[bytes],
                self._store.client.zrangebyscore(
                    index, "-inf", before_ms, start=kept, num=FORGOTTEN_AT_ONCE
                ),
            )
            if not names:
                return gone
            taken = cast(int, self._store.run("flows_forget", str(owner), *names))
            kept, gone = kept + len(names) - taken, gone + taken

    def running(self, tenant: str) -> int:
        """How many deliveries of a tenant run at once, where these have a limit.

        Redis: one read.

        Raises: redis.RedisError.
        """
        key = keys.holders(self._prefix, tenant_gate(tenant))
        return self._store.client.scard(key)

    def running_by_key(self, owner: Owner) -> int:
        """How many deliveries run at once through any flow-control key of an owner.

        Redis: one read, and one for each thousand keys.

        Raises: redis.RedisError.
        """
        index = keys.flows(self._prefix, str(owner))
        names = cast(list[bytes], self._store.client.zrange(index, 0, -1))
        running = 0
        for at in range(0, len(names), COUNTED_AT_ONCE):
            pipe = self._store.client.pipeline(transaction=False)
            for name in names[at : at + COUNTED_AT_ONCE]:
                gate = flow_gate(owner, decoded(name))
                pipe.scard(keys.holders(self._prefix, gate))
            running += sum(pipe.execute())
        return running

    def _flows(self, owner: Owner, names: Sequence[str]) -> list[Flow]:
        now_ms = self._store.now_ms()
        pipe = self._store.client.pipeline(transaction=False)
        for name in names:
            gate = flow_gate(owner, name)
            pipe.hgetall(keys.gate(self._prefix, gate))
            pipe.zcard(keys.waiters(self._prefix, gate))
            pipe.scard(keys.holders(self._prefix, gate))
            pipe.lrange(keys.begins(self._prefix, gate), 0, -1)
        replies = pipe.execute()
        rows = zip(names, *(replies[n::4] for n in range(4)), strict=True)
        return [
            _flow(name, record, waiting, running, begins, now_ms=now_ms)
            for name, record, waiting, running, begins in rows
            if b"c" in record
        ]

    def _set_queue(
        self, owner: Owner, name: str, fields: Fields, *, make: bool = False
    ) -> bool:
        gate, most = queue_gate(owner, name), self._store.room.queues if make else None
        return self._set(gate, fields, most=most, owner=owner, name=name)

    def _set_flow(self, owner: Owner, key: str, fields: Fields) -> bool:
        gate, most = flow_gate(owner, key), self._store.room.flows
        return self._set(gate, fields, most=most, owner=owner, name=key)

    def _set(
        self,
        gate: str,
        fields: Fields,
        *,
        most: int | None,
        owner: Owner | str = "",
        name: str = "",
    ) -> bool:
        pairs = [word for pair in fields.items() for word in pair]
        made = "" if most is None else most
        words = (gate, str(owner), encoded(name), made, *pairs)
        code = cast(int, self._store.run("gate_set", *words))
        if code == NO_ROOM:
            raise NoRoom(gate)
        return code == DONE


def _queue(name: str, record: dict[bytes, bytes], lag: int) -> Queue:
    try:
        return Queue(
            name=name,
            parallelism=int(record[b"p"]),
            paused=b"pz" in record,
            created_ms=int(record[b"c"]),
            updated_ms=int(record[b"u"]),
            lag=lag,
        )
    except (KeyError, ValueError) as err:
        raise UnreadableRecord(f"queue {name}") from err


def _flow(
    key: str,
    record: dict[bytes, bytes],
    waiting: int,
    running: int,
    begins: Sequence[bytes],
    *,
    now_ms: int,
) -> Flow:
    try:
        period_ms = int(record.get(b"t", 1_000))
        recent = [at for at in map(int, begins) if at > now_ms - period_ms - JITTER_MS]
        return Flow(
            key=key,
            waiting=waiting,
            parallelism=int(record.get(b"p", 0)),
            running=running,
            rate=int(record.get(b"r", 0)),
            begun=len(recent),
            period_ms=period_ms,
            since_ms=recent[0] if recent else now_ms,
            paused=b"pz" in record,
            pinned_parallelism=b"pp" in record,
            pinned_rate=b"pr" in record,
        )
    except ValueError as err:
        raise UnreadableRecord(f"flow-control key {key}") from err
