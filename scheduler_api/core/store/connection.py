"""Creates clients of the store, with time-outs and retries.

A Sentinel URL (see core/settings/sentinel_url.py) names Sentinels, which know the
address of the store. A client asks them whenever it connects, so after a failover it
finds the new primary.
"""

import redis
from redis.backoff import NoBackoff
from redis.connection import BlockingConnectionPool, ConnectionPool, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool
from scheduler_api.core.settings import sentinel_url
from typing import Any

TIMEOUT_S = 5.0
# A process that waits for the store repeats a failed call after this time.
RETRY_INTERVAL_S = 1.0
NO_RETRY = Retry(NoBackoff(), 0)
RETRY_ONCE = Retry(NoBackoff(), 1)
# Another Sentinel is asked if one does not answer within this time.
SENTINEL_TIMEOUT_S = 1.0


class StoreClient(redis.Redis):
    """A client that also takes Sentinel URLs."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> redis.Redis:
        """Return a client, which connects on first use.

        Args:
            options: as for `redis.Redis`; they have priority over those in the URL.

        Raises: ValueError.
        """
        if not sentinel_url.is_sentinel(url):
            return super().from_url(url, **options)
        return cls.from_pool(_sentinel_pool(SentinelConnectionPool, url, options))


class _BlockingSentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """A Sentinel's pool in which callers wait for a free connection."""


def connect(
    url: str,
    *,
    timeout_s: float = TIMEOUT_S,
    retry: Retry = NO_RETRY,
    max_connections: int | None = None,
) -> redis.Redis:
    """Return a client, which connects on first use.

    Args:
        timeout_s: how long to wait for connecting, for each reply, and for a free
            connection.
        retry: how the client retries a failed command; retries are not logged.
        max_connections: while all of them are in use, callers wait for a free
            connection. None: no limit.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": retry,
    }
    if max_connections is None:
        return StoreClient.from_url(url, **options)
    options |= {"max_connections": max_connections, "timeout": timeout_s}
    if sentinel_url.is_sentinel(url):
        pool = _sentinel_pool(_BlockingSentinelPool, url, options)
    else:
        pool = BlockingConnectionPool.from_url(url, **options)
    return StoreClient.from_pool(pool)


def sentinel_of(url: sentinel_url.SentinelUrl) -> Sentinel:
    """Return a client of the Sentinels."""
    once: dict[str, Any] = {
        "socket_timeout": SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": SENTINEL_TIMEOUT_S,
        "retry": NO_RETRY,
    }
    secure = {"ssl": True} if url.store_url.startswith("rediss:") else {}
    options = once | url.credentials | secure
    return Sentinel(  # type: ignore[no-untyped-call]
        url.sentinels, sentinel_kwargs=options
    )


def watched_addresses(url: str) -> list[tuple[str, int]]:
    """Return host and port of the primary and its replicas, as the Sentinels know them.

    The list is empty if the URL is not a Sentinel URL, or no Sentinel answers.
    """
    if not sentinel_url.is_sentinel(url):
        return []
    parts = sentinel_url.read(url)
    with sentinel_of(parts) as sentinel:
        try:
            primary = sentinel.discover_master(parts.service)
        except redis.ConnectionError:
            return []
        return [primary, *sentinel.discover_slaves(parts.service)]


def _sentinel_pool(
    kind: type[SentinelConnectionPool], url: str, options: dict[str, Any]
) -> ConnectionPool:
    parts = sentinel_url.read(url)
    of_url = parse_url(parts.store_url)  # type: ignore[no-untyped-call]
    secure = {"ssl": True} if "connection_class" in of_url else {}
    kept = {
        name: value
        for name, value in of_url.items()
        if name not in ("host", "port", "connection_class")
    }
    return kind(parts.service, sentinel_of(parts), **kept | secure | options)
