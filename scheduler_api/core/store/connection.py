"""Creates clients of the store, with time-outs and retries."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from typing import Any

TIMEOUT_S = 5.0
# A process that waits for the store repeats a failed call after this time.
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
        return redis.Redis.from_url(url, **options)
    pool = redis.BlockingConnectionPool.from_url(
        url, max_connections=max_connections, timeout=timeout_s, **options
    )
    return redis.Redis.from_pool(pool)
