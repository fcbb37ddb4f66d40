"""Clients of the store: how long a process waits for a reply, and when it retries."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from typing import Any

TIMEOUT_S = 5.0
# Between a failed call and the next attempt of a process that waits for the store.
RETRY_INTERVAL_S = 1.0
NO_RETRY = Retry(NoBackoff(), 0)
RETRY_ONCE = Retry(NoBackoff(), 1)


def connect(
    url: str,
    *,
    timeout_s: float = TIMEOUT_S,
    retry: Retry = NO_RETRY,
    max_connections: int | None = None,
) -> redis.Redis:
    """Return a client, which connects on first use.

    Args:
        timeout_s: for connecting, for each reply, and for a free connection.
        retry: applied to each command, without a log entry.
        max_connections: callers wait for a free one; default: as many as are needed.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": retry,
    }
    if max_connections is None:
        return redis.Redis.from_url(url, **options)
    pool = redis.BlockingConnectionPool.from_url(
        url, max_connections=max_connections, timeout=timeout_s, **options
    )
    return redis.Redis.from_pool(pool)
