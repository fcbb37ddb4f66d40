"""Steps of the store's clock: what tickers report, and what an operator accepts."""

import redis
from scheduler_api.core.store import audit, keys
from scheduler_api.core.store.cell import Cell
from typing import NamedTuple, cast


class ClockStep(NamedTuple):
    """A step of the store's clock: forward from `from_ms` to `to_ms`, or back."""

    from_ms: int
    to_ms: int

    @property
    def ms(self) -> int:
        """The size of the step; negative if the clock was set back."""
        return self.to_ms - self.from_ms

    @property
    def seconds(self) -> str:
        """The size of the step for people, such as `+300.0`."""
        return f"{self.ms / 1000:+.1f}"

    def __str__(self) -> str:
        return f"{self.from_ms} {self.to_ms}"

    @classmethod
    def parse(cls, stored: bytes | None) -> "ClockStep | None":
        """Read the value of `keys.clock_step`."""
        if stored is None:
            return None
        from_ms, to_ms = stored.split()
        return cls(int(from_ms), int(to_ms))


def accept(client: redis.Redis, prefix: str, *, by: str | None = None) -> bool:
    """Record that an operator accepts the clock; return whether a step was reported.

    Works in a full store, too. Redis: write_small, atomic.

    Args:
        by: who accepts it, for the audit log; None: not a person.
    """
    key = keys.clock_step(prefix)
    step = ClockStep.parse(cast(bytes | None, client.get(key)))
    if step is None:
        return False
    change = audit.change(by, None, "clock.accept", f"{step.ms} ms")
    Cell(client, prefix).write_small(
        ("DEL", key),
        *audit.commands(prefix, change, before=None, after={"accepted": True}),
    )
    return True
