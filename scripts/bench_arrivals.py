"""Evaluates the log of a sink: how many requests arrived, how fast, and how late."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from tests.system.report import quantile

# `below_ms` counts, for each of these bounds, the deliveries with a smaller lateness.
BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


@dataclass(frozen=True)
class Arrival:
    """A request at the sink: when it arrived and when it was due, in Unix ms."""

    label: str
    at_ms: int
    due_ms: int

    @property
    def late_ms(self) -> int:
        return self.at_ms - self.due_ms


def read(log: str, *, run: str) -> Iterator[Arrival]:
    """Parse the arrivals of one run from log lines `<seconds> <due ms> <run>.<number>`.

    An incomplete last line is ignored.
    """
    for line in log[: log.rfind("\n") + 1].splitlines():
        at_s, due_ms, label = line.split()
        if label.partition(".")[0] == run:
            # Seconds with three decimals become ms if the point is removed. A
            # conversion through float could be 1 ms off.
            yield Arrival(label, int(at_s.replace(".", "")), int(due_ms))


@dataclass(frozen=True)
class RunResult:
    """The results of a run. The lateness of a delivery is that of its first arrival."""

    expected: int
    delivered: int = 0
    duplicates: int = 0
    drain_per_s: float = math.nan
    late_ms: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, arrivals: Iterable[Arrival], *, expected: int) -> "RunResult":
        """Evaluate the arrivals of a run.

        The drain lasts from the first due time until every delivery has arrived once.
        """
        first: dict[str, Arrival] = {}
        count = 0
        for arrival in arrivals:
            count += 1
            first.setdefault(arrival.label, arrival)
        if not first:
            return cls(expected)
        began_ms = min(arrival.due_ms for arrival in first.values())
        took_ms = max(arrival.at_ms for arrival in first.values()) - began_ms
        return cls(
            expected,
            delivered=len(first),
            duplicates=count - len(first),
            drain_per_s=len(first) * 1_000 / max(took_ms, 1),
            late_ms=sorted(arrival.late_ms for arrival in first.values()),
        )

    @property
    def lost(self) -> int:
        """How many deliveries did not arrive."""
        return self.expected - self.delivered

    @property
    def early(self) -> int:
        """How many deliveries arrived before they were due."""
        return sum(late < 0 for late in self.late_ms)

    def late_at(self, share: float) -> float:
        """Return a quantile of the lateness, in ms; `share` is between 0 and 1."""
        return quantile(self.late_ms, share) if self.late_ms else math.nan

    def below_ms(self) -> dict[str, int]:
        """Count the deliveries with a lateness below each bound."""
        return {
            str(bound): sum(late < bound for late in self.late_ms)
            for bound in BOUNDS_MS
        }

    def faults(self) -> str:
        """Describe lost, early and duplicate deliveries; return "" if all is well."""
        counts = {"lost": self.lost, "early": self.early, "twice": self.duplicates}
        return ", ".join(f"{count} {fault}" for fault, count in counts.items() if count)
