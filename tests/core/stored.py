"""All that a store holds, for comparing before and after."""

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


def everything(client: redis.Redis) -> dict[str, Any]:
    """Each key with what stands under it; how long that is kept is left out."""
    kept: dict[str, Any] = {}
    for key in client.scan_iter(count=1_000):
        kind = cast(bytes, client.type(key))
        kept[key.decode()] = READERS[kind](client, key)
    return kept
