"""Destinations before which events wait: what is held is visible, and counted."""

from dataclasses import dataclass
from scheduler_api.core import keys
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Owner
from scheduler_api.core.store import Store
from typing import cast


@dataclass(frozen=True)
class HeldDestination:
    """A destination of a tenant's that is broken, or wanted beyond its share.

    `url` is where the first who waits goes, None if nobody waits just now; `probe_ms`
    when an open breaker lets the next attempt through.
    """

    tenant: str
    url: str | None
    waiting: int
    running: int
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
    pipe.hget(keys.gate(store.prefix, gate), "sh")
    first, waiting, running, probe = pipe.execute()
    return HeldDestination(
        tenant=gate.split(":")[1],
        url=_url_of(store, first[0].decode()) if first else None,
        waiting=waiting,
        running=running,
        probe_ms=int(probe) if probe and probe.isdigit() else None,
    )


def _url_of(store: Store, event_id: str) -> str | None:
    key = keys.event(store.prefix, event_id)
    owner = cast(bytes | None, store.client.hget(key, "o"))
    if owner is None:
        return None
    try:
        return store.get(Owner.parse(owner.decode()), event_id).content.url
    except (NotFound, UnreadableRecord):
        return None
