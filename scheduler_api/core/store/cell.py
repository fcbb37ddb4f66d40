"""One cell: a Redis database, the prefix of its keys, and its clock."""

import redis
from scheduler_api.core.store import scripts


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

    def now_ms(self) -> int:
        """The cell's time in epoch ms. Redis: one TIME."""
        if self.clock_ms is not None:
            return self.clock_ms
        seconds, micros = self.client.time()
        return seconds * 1000 + micros // 1000

    def run(self, name: str, *args: scripts.Arg) -> object:
        """Run a script by its name, under the cell's clock. Redis: atomic."""
        clock = "" if self.clock_ms is None else str(self.clock_ms)
        return scripts.run(self.client, name, clock, *args, prefix=self.prefix)
