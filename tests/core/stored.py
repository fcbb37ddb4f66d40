"""A helper that reads the contents of a store, for comparisons."""

import redis
from collections.abc import Callable
from typing import Any, cast

READERS: dict[bytes, Callable[[redis.Redis, bytes], Any]] = {
    b"string": lambda client, key: client.get(key),
    b"hash": lambda client, key: client.hgetall(key),
    b"set": lambda client, key: client.smembers(key),
    b"list": lambda client, key: client.lrange(key, 0, -1),
    b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    b"stream": lambda client, key: client.xrange(key),
}
EXPIRED = b"none"


def everything(client: redis.Redis) -> dict[str, Any]:
    """Return the contents of each key, without the TTLs."""
    contents: dict[str, Any] = {}
    for key in client.scan_iter(count=1_000):
        kind = cast(bytes, client.type(key))
        if kind != EXPIRED:
            contents[key.decode()] = READERS[kind](client, key)
    return contents
