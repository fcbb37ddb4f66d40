"""The Lua scripts of the store: loaded from files, run by their SHA-1."""

import hashlib
import redis
from dataclasses import dataclass
from functools import cache
from redis.exceptions import NoScriptError
from scheduler_api.core.store.script_source import assemble
from typing import Any, Protocol, cast

# A store that is full refuses a script with this line: it loses the prelude's first
# write, which lets all others through.
REFUSED = "--# refused when full\n"
LET_THROUGH = "redis.call('DEL', P .. 'never')\n"

Arg = str | bytes | int


class AsyncClient(Protocol):
    """What it takes to run scripts."""

    async def evalsha(self, sha1: str, numkeys: int, /, *words: Arg) -> object: ...

    async def script_load(self, source: str, /) -> object: ...


@dataclass(frozen=True)
class Script:
    """A script's source, prelude included, and the name that the store knows it by."""

    source: str
    sha1: str


@cache
def load(name: str) -> Script:
    """The script of that file name, with the prelude and its parts put in."""
    source = assemble(name)
    if REFUSED in source:
        source = source.replace(LET_THROUGH, "")
    return Script(source, hashlib.sha1(source.encode()).hexdigest())


def run(client: redis.Redis, name: str, *args: Arg, prefix: str) -> Any:
    """Runs a script in one round trip (two more where the store does not know it yet).

    Raises: redis.RedisError.
    """
    script = load(name)
    try:
        return client.evalsha(script.sha1, 1, prefix, *cast(tuple[str, ...], args))
    except NoScriptError:
        client.script_load(script.source)
        return client.evalsha(script.sha1, 1, prefix, *cast(tuple[str, ...], args))


async def run_async(client: AsyncClient, name: str, *args: Arg, prefix: str) -> object:
    """As `run`, for an asynchronous client.

    Raises: redis.RedisError.
    """
    script = load(name)
    try:
        return await client.evalsha(script.sha1, 1, prefix, *args)
    except NoScriptError:
        await client.script_load(script.source)
        return await client.evalsha(script.sha1, 1, prefix, *args)
