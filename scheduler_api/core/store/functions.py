"""The Lua functions of the store: one Redis Functions library per cell and version.

The server compiles the library when it is loaded, replicates the library to replicas,
and persists it with the data. FLUSHALL does not delete the library. The names of the
library and its functions end in digests of the database, the prefix and the source, so
that several versions and cells can share one server.
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

# Each file fills the table of its module. `records` comes first, because other files
# use `records` while they are loaded. All other modules are used only during calls.
MODULES = (
    *("records", "context", "errors", "keys", "servers", "due", "journal"),
    *("deduplication", "gates", "slots", "gate_binding", "gate_checks"),
    *("worker_room", "fair_share", "new_events", "shared_bodies", "endings"),
    *("fire_times", "schedule_index", "occurrences", "withdrawal", "rq", "routes"),
    *("callbacks", "breaker_health", "breaker", "audit", "tenant_limits"),
)
NAME = "scheduler"
DIGEST_LENGTH = 12
MISSING, EXISTS = "Function not found", "already exists"
# A full store refuses the library. After a refusal, the library is not sent again for
# this long.
REFUSED_FOR_S = 1.0
# The maximum number of calls of a function. If a call does not find the library, the
# library is loaded, and the function is called again. The second call may fail too,
# because another process may have deleted the library again.
TRIES = 3

Arg = str | bytes | int
Options = Mapping[str, object]


class AsyncClient(Protocol):
    """An asynchronous client that can call and load functions."""

    async def fcall(self, function: str, numkeys: int, /, *args: Arg) -> object: ...

    async def function_load(self, source: str, /) -> object: ...


class Library:
    """The function library of one cell, in this version of the code."""

    def __init__(self, prefix: str, database: int) -> None:
        self._prefix = prefix
        self.cell = _digest(f"{database} {prefix}")
        self.version = f"{self.cell}_{_digest(_body())}"
        self._refusal = ""
        self._refused_at = 0.0

    @property
    def name(self) -> str:
        """The name of the library on the server."""
        return f"{NAME}_{self.version}"

    @property
    def source(self) -> str:
        """The source code for FUNCTION LOAD."""
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
        """Call a function. One round trip, or three if the library is not loaded.

        Raises: OutOfMemoryError: the store is full. A full store refuses to load the
            library, and to run functions that store new events.
        """
        command = self.command(function, options, args)
        for _ in range(TRIES - 1):
            try:
                return client.fcall(*command)
            except ResponseError as err:
                self._check_missing(err)
            try:
                client.function_load(self.source)
            except ResponseError as err:
                self._check_loaded(err)
        return client.fcall(*command)

    async def call_async(
        self, client: AsyncClient, function: str, options: Options, args: Iterable[Arg]
    ) -> Any:
        """Like `call`, with an asynchronous client.

        Raises: OutOfMemoryError.
        """
        command = self.command(function, options, args)
        for _ in range(TRIES - 1):
            try:
                return await client.fcall(*command)
            except ResponseError as err:
                self._check_missing(err)
            try:
                await client.function_load(self.source)
            except ResponseError as err:
                self._check_loaded(err)
        return await client.fcall(*command)

    def command(self, function: str, options: Options, args: Iterable[Arg] = ()) -> Any:
        """Return the arguments of FCALL, which does not load the library."""
        name, encoded = f"{function}_{self.version}", orjson.dumps(options)
        return name, 1, self._prefix, encoded, *args

    def _check_missing(self, err: ResponseError) -> None:
        """Raise `err` unless it means that the library is not loaded.

        If a full store refused the library less than a second ago, raise the error of
        this refusal again. Otherwise, every call would send the library (about 150 KB).
        """
        if MISSING not in str(err):
            raise err
        if self._refusal and time.monotonic() - self._refused_at < REFUSED_FOR_S:
            raise OutOfMemoryError(self._refusal) from err

    def _check_loaded(self, err: ResponseError) -> None:
        """Raise `err` unless another process has loaded the library in the meantime."""
        if EXISTS in str(err):
            return
        if isinstance(err, OutOfMemoryError):
            self._refusal, self._refused_at = str(err), time.monotonic()
            log.error(logfmt.line("library.refused", library=self.name, problem=err))
        raise err


@cache
def _body() -> str:
    """The text of all Lua files: the modules in order, then the functions.

    Each file is wrapped in a block, so that its locals stay private.
    """
    folder = files(__package__).joinpath("lua")
    modules = [folder.joinpath("lib", f"{name}.lua") for name in MODULES]
    functions = [folder.joinpath("functions", f"{name}.lua") for name in names()]
    texts = [file.read_text() for file in (*modules, *functions)]
    return "".join(f"do\n{text}end\n" for text in texts)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def names() -> list[str]:
    """The names of all Lua functions, without digests."""
    found = files(__package__).joinpath("lua", "functions").iterdir()
    return sorted(file.name.removesuffix(".lua") for file in found)


def delete(client: redis.Redis, library: Library, *, others_only: bool) -> list[str]:
    """Delete the cell's libraries and return their names.

    If a process still uses a deleted library, the process loads the library again.

    Args:
        others_only: keep the library of this version.
    """
    names = listed(client, f"{NAME}_{library.cell}_*")
    deleted = [name for name in names if name != library.name or not others_only]
    for name in deleted:
        # Another process may have deleted the library in the meantime.
        with suppress(ResponseError):
            client.function_delete(name)
    return deleted


def listed(client: redis.Redis, pattern: str) -> list[str]:
    """Return the names of the server's libraries that match a pattern."""
    found: Any = client.function_list(pattern)
    return [_as_dict(each)[b"library_name"].decode() for each in found]


def _as_dict(library: Any) -> dict[bytes, Any]:
    """Convert an entry of FUNCTION LIST, which is a flat list in RESP2, to a dict."""
    if isinstance(library, dict):
        return library
    return dict(zip(library[::2], library[1::2], strict=True))
