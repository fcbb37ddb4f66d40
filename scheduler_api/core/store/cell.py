"""One cell: a Redis database, the prefix of its keys, and its clock."""

import redis
from collections.abc import Iterable
from scheduler_api.core.store.functions import Arg, Library, Options
from typing import Any

NONE: Options = {}


class Cell:
    """What reads and writes go through, in one process.

    `clock_ms` stands still and is for tests only; None: the server's TIME.
    """

    def __init__(
        self, client: redis.Redis, prefix: str, *, clock_ms: int | None = None
    ) -> None:
        self.client = client
        self.prefix = prefix
        self.clock_ms = clock_ms
        database = client.connection_pool.connection_kwargs.get("db") or 0
        self.library = Library(prefix, database)

    def now_ms(self) -> int:
        """The cell's time in epoch ms. Redis: one TIME."""
        if self.clock_ms is not None:
            return self.clock_ms
        seconds, micros = self.client.time()
        return seconds * 1000 + micros // 1000

    def under_clock(self, options: Options) -> Options:
        """The options of a function, with the time if a test has set it."""
        if self.clock_ms is None:
            return options
        return {**options, "now_ms": self.clock_ms}

    def call(
        self, function: str, options: Options = NONE, args: Iterable[Arg] = ()
    ) -> Any:
        """Call a function of the store. Redis: one round trip, atomic."""
        return self.library.call(self.client, function, self.under_clock(options), args)
