"""Destinations before which events wait: what is held is visible, and counted."""

from dataclasses import dataclass
from scheduler_api.core.delivery.destinations import BadDestination, parse
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.events import Store
from typing import cast


@dataclass(frozen=True)
class HeldDestination:
    """A destination of a tenant's that is paused, broken, or wanted beyond its share.

    `origin` is None if nobody waits there whose URL would tell it; `paused_ms` when it
    was paused by hand; `probe_ms` when an open breaker lets the next attempt through.
    """

    tenant: str
    origin: str | None
    waiting: int
    running: int
    paused_ms: int | None
    probe_ms: int | None


def held_destinations(store: Store) -> list[HeldDestination]:
    """All of a cell. Redis: some reads, not atomic.

    Raises: redis.RedisError.
    """
    found = cast(dict[bytes, bytes], store.client.hgetall(keys.shut(store.prefix)))
    return [_look_at(store, gate.decode()) for gate in found]


def _look_at(store: Store, gate: str) -> HeldDestination:
    pipe = store.client.pipeline(transaction=False)
    pipe.zrange(keys.waiters(store.prefix, gate), 0, 0)
    pipe.zcard(keys.waiters(store.prefix, gate))
    pipe.scard(keys.holders(store.prefix, gate))
    pipe.hmget(keys.gate(store.prefix, gate), "og", "pz", "sh")
    first, waiting, running, (origin, paused, probe) = pipe.execute()
    known = origin.decode() if origin else None
    return HeldDestination(
        tenant=gate.split(":")[1],
        origin=known or (_origin_of(store, first[0].decode()) if first else None),
        waiting=waiting,
        running=running,
        paused_ms=int(paused) if paused and paused.isdigit() else None,
        probe_ms=int(probe) if probe and probe.isdigit() else None,
    )


def _origin_of(store: Store, event_id: str) -> str | None:
    key = keys.event(store.prefix, event_id)
    owner = cast(bytes | None, store.client.hget(key, "o"))
    if owner is None:
        return None
    try:
        url = store.get(Owner.parse(owner.decode()), event_id).content.url
        return str(parse(url).origin)
    except (BadDestination, NotFound, UnreadableRecord):
        return None
