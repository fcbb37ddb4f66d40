"""The store's functions: one Redis Functions library for each cell and version.

The server compiles the library once, replicates it, and keeps it with its data, also
through FLUSHALL. Its name and those of its functions end in digests of database,
prefix and source, so versions and cells run side by side on one server.
"""

import hashlib
import logging
import orjson
import redis
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.resources import files
from redis.exceptions import OutOfMemoryError, ResponseError
from scheduler_api.core import logfmt
from typing import Any, Protocol

log = logging.getLogger("scheduler.store")

# A file fills the table of its name. Only `records` is used while others are loaded.
MODULES = (
    *("records", "context", "errors", "keys", "due", "journal", "deduplication"),
    *("gates", "slots", "gate_binding", "gate_checks", "fair_share"),
    *("new_events", "endings", "callbacks", "fire_times", "schedule_index"),
    *("occurrences", "withdrawal", "rq", "breaker_health"),
)
NAME = "scheduler"
DIGEST_LENGTH = 12
MISSING, EXISTS = "Function not found", "already exists"
# For so long after a full store refused the library, a process does not send it again.
REFUSED_FOR_S = 1.0
# Between a load and the call, another process may delete the library.
TRIES = 3

Arg = str | bytes | int
Options = Mapping[str, object]


class AsyncClient(Protocol):
    """What it takes to call functions."""

    async def fcall(self, function: str, numkeys: int, /, *words: Arg) -> object: ...

    async def function_load(self, source: str, /) -> object: ...


class Library:
    """The functions of one cell, as this version of the code has them."""

    def __init__(self, prefix: str, database: int) -> None:
        self._prefix = prefix
        self.cell = _digest(f"{database} {prefix}")
        self.version = f"{self.cell}_{_digest(_body())}"
        self._refusal = ""
        self._refused_at = 0.0

    @property
    def name(self) -> str:
        """What the server calls the library."""
        return f"{NAME}_{self.version}"

    @property
    def source(self) -> str:
        """The library as the server loads it."""
        tables = ", ".join(MODULES)
        empty = ", ".join("{}" for _ in MODULES)
        return (
            f"#!lua name={self.name}\n"
            f"local VERSION = '{self.version}'\n"
            f"local {tables} = {empty}\n{_body()}"
        )

    def call(
        self, client: redis.Redis, function: str, options: Options, args: Iterable[Arg]
    ) -> Any:
        """Calls a function in one round trip, or three if the server lacks the library.

        Raises: OutOfMemoryError (the store is too full for the library or for what the
            function takes), redis.RedisError.
        """
        words = self._words(function, options, args)
        for _ in range(TRIES - 1):
            try:
                return client.fcall(*words)
            except ResponseError as err:
                self._check_missing(err)
            try:
                client.function_load(self.source)
            except ResponseError as err:
                self._check_loaded(err)
        return client.fcall(*words)

    async def call_async(
        self, client: AsyncClient, function: str, options: Options, args: Iterable[Arg]
    ) -> Any:
        """As `call`, for an asynchronous client.

        Raises: OutOfMemoryError, redis.RedisError.
        """
        words = self._words(function, options, args)
        for _ in range(TRIES - 1):
            try:
                return await client.fcall(*words)
            except ResponseError as err:
                self._check_missing(err)
            try:
                await client.function_load(self.source)
            except ResponseError as err:
                self._check_loaded(err)
        return await client.fcall(*words)

    def _words(self, function: str, options: Options, args: Iterable[Arg]) -> Any:
        name, encoded = f"{function}_{self.version}", orjson.dumps(options)
        return name, 1, self._prefix, encoded, *args

    def _check_missing(self, err: ResponseError) -> None:
        """Raises `err` unless it says that the server lacks the library.

        While a full store refuses the library, raises that refusal for a second instead
        of sending 130 KB with each call.
        """
        if MISSING not in str(err):
            raise err
        if self._refusal and time.monotonic() - self._refused_at < REFUSED_FOR_S:
            raise OutOfMemoryError(self._refusal) from err

    def _check_loaded(self, err: ResponseError) -> None:
        """Raises `err` unless another process has loaded the library meanwhile."""
        if EXISTS in str(err):
            return
        if isinstance(err, OutOfMemoryError):
            self._refusal, self._refused_at = str(err), time.monotonic()
            log.error(logfmt.line("library.refused", library=self.name, problem=err))
        raise err


@cache
def _body() -> str:
    """All files: the modules in their order, then the functions.

    Each is a block of its own, so its locals are seen nowhere else.
    """
    folder = files(__package__).joinpath("lua")
    modules = [folder.joinpath("lib", f"{name}.lua") for name in MODULES]
    functions = [folder.joinpath("functions", f"{name}.lua") for name in names()]
    texts = [file.read_text() for file in (*modules, *functions)]
    return "".join(f"do\n{text}end\n" for text in texts)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def names() -> list[str]:
    """The names of all functions, without their digests."""
    found = files(__package__).joinpath("lua", "functions").iterdir()
    return sorted(file.name.removesuffix(".lua") for file in found)


def delete(client: redis.Redis, library: Library, *, others_only: bool) -> list[str]:
    """Deletes the cell's libraries, or those of other versions; returns their names.

    A process of another version that still runs loads its own again.

    Raises: redis.RedisError.
    """
    found = client.function_list(f"{NAME}_{library.cell}_*")
    names = [_named(each)[b"library_name"].decode() for each in found]
    deleted = [name for name in names if name != library.name or not others_only]
    for name in deleted:
        # Another process may have deleted it meanwhile.
        with suppress(ResponseError):
            client.function_delete(name)
    return deleted


def _named(library: Any) -> dict[bytes, Any]:
    """A library of FUNCTION LIST by names: RESP3 has a map, RESP2 a flat list."""
    if isinstance(library, dict):
        return library
    return dict(zip(library[::2], library[1::2], strict=True))
