"""Checks at the start of a process that the store keeps what it is given."""

import redis
from collections.abc import Callable, Mapping
from functools import partial
from redis.exceptions import ResponseError
from scheduler_api.core.errors import UnfitStore
from scheduler_api.core.settings import sentinel_url
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.store.connection import sentinel_of
from typing import Any, cast

POLICY = "noeviction"
EVICTS = (
    "maxmemory-policy is {}: the store may evict events; set it to noeviction in the"
    " store"
)
FORGETS = (
    "the store has no persistence: a restart loses everything; set `appendonly yes` in"
    " the store, or accept the loss with SCHED_ALLOW_NO_PERSISTENCE=true"
)
SNAPSHOTS = (
    "the store only saves snapshots: a crash loses everything since the last one; set"
    " `appendonly yes` in the store"
)
NO_LONGER_PERSISTENT = (
    "the store no longer writes an append-only file: set `appendonly yes` in the store"
)
UNVERIFIED = (
    "the certificate of the store is not checked, so whoever controls the network can"
    " read and change everything: set SCHED_STORE_CA in place of"
    " SCHED_STORE_TLS_VERIFY=false"
)
UNKNOWN = "the store does not tell its {}: make sure that it is {}"
SLOW_FAILOVER = (
    "down-after-milliseconds of the Sentinels ({}) is not below SCHED_LEASE_MS ({}):"
    " leases end before a failover begins"
)


class Persistence:
    """Notices that a running store stops to write its append-only file."""

    def __init__(self) -> None:
        self._was_on = False

    def has_ended(self, info: Mapping[str, Any]) -> bool:
        """Whether the store wrote the file at an earlier call, and does not now.

        Args:
            info: the section `persistence` of INFO.
        """
        is_on = bool(info.get("aof_enabled"))
        self._was_on = self._was_on or is_on
        return self._was_on and not is_on


def check(client: redis.Redis, settings: EngineSettings) -> list[str]:
    """Return what an operator should know about the configuration of the store.

    The eviction policy and the append-only file are read from INFO, because many hosted
    stores refuse CONFIG. Redis: one or two round trips, and one to a Sentinel.

    Raises: UnfitStore.
    """
    return [warning for each in _checks(client, settings) for warning in each()]


def faults(client: redis.Redis, settings: EngineSettings) -> list[str]:
    """Return what `check` returns, and all reasons for which it would raise."""
    found = []
    for each in _checks(client, settings):
        try:
            found += each()
        except UnfitStore as err:
            found.append(str(err))
    return found


def _checks(
    client: redis.Redis, settings: EngineSettings
) -> tuple[Callable[[], list[str]], ...]:
    info = client.info()
    may_forget = settings.allow_no_persistence
    return (
        partial(_check_tls, client),
        partial(_check_policy, client, info),
        partial(_check_persistence, client, info, may_forget=may_forget),
        partial(_check_failover, settings),
    )


def _check_tls(client: redis.Redis) -> list[str]:
    options = client.connection_pool.connection_kwargs
    return [UNVERIFIED] if options.get("ssl_cert_reqs") == "none" else []


def _check_policy(client: redis.Redis, info: dict[str, Any]) -> list[str]:
    policy = info.get("maxmemory_policy") or _config(client, "maxmemory-policy")
    if policy is None:
        return [UNKNOWN.format("maxmemory-policy", POLICY)]
    if policy != POLICY:
        raise UnfitStore(EVICTS.format(policy))
    return []


def _check_persistence(
    client: redis.Redis, info: dict[str, Any], *, may_forget: bool
) -> list[str]:
    if info.get("aof_enabled") or may_forget:
        return []
    snapshots = _config(client, "save")
    if snapshots is None:
        return [UNKNOWN.format("persistence", "`appendonly yes`")]
    if not snapshots:
        raise UnfitStore(FORGETS)
    return [SNAPSHOTS]


def _config(client: redis.Redis, name: str) -> str | None:
    """Return a parameter of the store; None if the store does not tell it."""
    try:
        found = cast(dict[str, str], client.config_get(name))
    except ResponseError:
        return None
    return found.get(name)


def _check_failover(settings: EngineSettings) -> list[str]:
    if not sentinel_url.is_sentinel(settings.store_url):
        return []
    url = sentinel_url.read(settings.store_url)
    with sentinel_of(url) as sentinel:
        for each in sentinel.sentinels:
            try:
                state = cast(dict[str, Any], each.sentinel_master(url.service))
            except redis.RedisError:
                continue
            down_after_ms = int(state["down-after-milliseconds"])
            if down_after_ms >= settings.lease_ms:
                return [SLOW_FAILOVER.format(down_after_ms, settings.lease_ms)]
            return []
    return []
