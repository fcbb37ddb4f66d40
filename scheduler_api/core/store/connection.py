"""Creates clients of the store, with time-outs and retries.

A Sentinel URL (see core/settings/sentinel_url.py) names Sentinels, which know the
address of the store. A client asks them whenever it connects, so after a failover it
finds the new primary.
"""

import redis
import ssl
from redis.backoff import NoBackoff
from redis.connection import (
    BlockingConnectionPool,
    ConnectionPool,
    SSLConnection,
    parse_url,
)
from redis.retry import Retry
from redis.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from scheduler_api.core.errors import UnfitStore
from scheduler_api.core.settings import sentinel_url, store_tls
from typing import Any

TIMEOUT_S = 5.0
# A process that waits for the store repeats a failed call after this time.
RETRY_INTERVAL_S = 1.0
NO_RETRY = Retry(NoBackoff(), 0)
RETRY_ONCE = Retry(NoBackoff(), 1)
# Another Sentinel is asked if one does not answer within this time.
SENTINEL_TIMEOUT_S = 1.0


class RefusedCertificate(redis.ConnectionError, UnfitStore):
    """The store's certificate is not valid; the message names the settings."""

    def __init__(self, cause: ssl.SSLCertVerificationError) -> None:
        problem = cause.verify_message.rstrip(".")
        super().__init__(
            f"the certificate of the store is refused: {problem};"
            " set SCHED_STORE_CA to a PEM file of the authority that signed it, or"
            " SCHED_STORE_TLS_VERIFY=false to take any"
        )


class _TlsConnection(SSLConnection):
    def _connect(self) -> Any:
        try:
            return super()._connect()  # type: ignore[no-untyped-call]
        except ssl.SSLCertVerificationError as err:
            raise RefusedCertificate(err) from err


class _SentinelConnection(SentinelManagedConnection):
    """A connection to the store that the Sentinels name.

    It is closed if a signal interrupts the reading of a reply, as other connections
    are: otherwise, the next command would get the rest of this reply.
    """

    def read_response(self, *args: Any, **options: Any) -> Any:
        options = {"disconnect_on_error": True} | options
        return super().read_response(*args, **options)


class _SentinelTlsConnection(
    _SentinelConnection, SentinelManagedSSLConnection, _TlsConnection
):
    """A connection with TLS to the store that the Sentinels name."""


class StoreClient(redis.Redis):
    """A client that also takes Sentinel URLs, and names the settings for TLS."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> redis.Redis:
        """Return a client, which connects on first use.

        Args:
            options: as for `redis.Redis`; they have priority over those in the URL.

        Raises: ValueError.
        """
        if not sentinel_url.is_sentinel(url):
            return super().from_url(url, **_of_scheme(url), **options)
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
        pool = BlockingConnectionPool.from_url(url, **_of_scheme(url), **options)
    return StoreClient.from_pool(pool)


def _of_scheme(url: str) -> dict[str, Any]:
    return {"connection_class": _TlsConnection} if store_tls.uses_tls(url) else {}


def sentinel_of(url: sentinel_url.SentinelUrl) -> Sentinel:
    """Return a client of the Sentinels."""
    once: dict[str, Any] = {
        "socket_timeout": SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": SENTINEL_TIMEOUT_S,
        "retry": NO_RETRY,
    }
    secure = {}
    if store_tls.uses_tls(url.store_url):
        of_url = parse_url(url.store_url)  # type: ignore[no-untyped-call]
        of_tls = {name: of_url[name] for name in of_url if name.startswith("ssl_")}
        secure = {"ssl": True} | of_tls
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
    tls = store_tls.uses_tls(parts.store_url)
    connection = _SentinelTlsConnection if tls else _SentinelConnection
    kept = {
        name: value
        for name, value in of_url.items()
        if name not in ("host", "port", "connection_class")
    }
    with_class = kept | {"connection_class": connection}
    return kind(parts.service, sentinel_of(parts), **with_class | options)
