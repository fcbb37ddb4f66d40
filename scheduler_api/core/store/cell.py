"""One cell: a Redis database, the prefix of its keys, and its clock."""

import redis
from collections.abc import Iterable, Sequence
from redis.client import Pipeline
from scheduler_api.core.store.content_encryption import ContentCipher
from scheduler_api.core.store.functions import Arg, Library, Options
from typing import Any

NO_OPTIONS: Options = {}
# A command, the key, and further arguments.
Command = Sequence[str | int]


class Cell:
    """A connection of one process to a cell.

    Args:
        clock_ms: a fixed time, which tests set. None: the time of the Redis server.
        cipher: encrypts what this process stores as content. None: not encrypted.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        *,
        clock_ms: int | None = None,
        cipher: ContentCipher | None = None,
    ) -> None:
        self.client = client
        self.prefix = prefix
        self.clock_ms = clock_ms
        # If set, calls that create anything are refused in a store of another epoch.
        self.expected_epoch = ""
        self.cipher = cipher
        database = client.connection_pool.connection_kwargs.get("db") or 0
        self.library = Library(prefix, database)

    def now_ms(self) -> int:
        """Return the present time of the cell in epoch ms. Redis: one TIME."""
        if self.clock_ms is not None:
            return self.clock_ms
        seconds, micros = self.client.time()
        return seconds * 1000 + micros // 1000

    def with_clock(self, options: Options) -> Options:
        """Return the options of a function, with `clock_ms` added if it is set."""
        if self.clock_ms is None:
            return options
        return {**options, "now_ms": self.clock_ms}

    def with_epoch(self, options: Options) -> Options:
        """Return the options of a function, with `epoch` added if one is expected."""
        if not self.expected_epoch:
            return options
        return {**options, "epoch": self.expected_epoch}

    def call(
        self, function: str, options: Options = NO_OPTIONS, args: Iterable[Arg] = ()
    ) -> Any:
        """Call a Lua function of the store. Redis: one round trip, atomic."""
        return self.library.call(self.client, function, self.with_clock(options), args)

    def write_small(self, *commands: Command, if_exists: str = "") -> Any:
        """Run small writes, also in a full store; return their answers.

        A full store refuses the same writes as plain commands. Redis: one round trip,
        atomic.

        Args:
            if_exists: a key; if it does not exist, nothing is written.
        """
        options = self._small(commands)
        if if_exists:
            options = {**options, "if_exists": if_exists[len(self.prefix) :]}
        return self.call("write_small", options)

    def load_functions(self) -> None:
        """Load the functions, which `add_small_writes` needs. Redis: one round trip."""
        self.write_small()

    def add_small_writes(self, pipe: Pipeline, *commands: Command) -> None:
        """Add small writes to a pipeline. It does not load the functions."""
        options = self._small(commands)
        pipe.fcall(*self.library.command("write_small", options))

    def _small(self, commands: Iterable[Command]) -> Options:
        start = len(self.prefix)
        return {
            "commands": [
                [name, str(key)[start:], *map(str, args)]
                for name, key, *args in commands
            ]
        }
