"""What a sink's log says: how many came, how fast, and how late."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

# Lateness in ms below which deliveries are counted.
BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


@dataclass(frozen=True)
class Arrival:
    """A request at the sink, and when it was to be there; Unix time in ms."""

    label: str
    at_ms: int
    due_ms: int

    @property
    def late_ms(self) -> int:
        return self.at_ms - self.due_ms


def read(log: str, *, run: str) -> Iterator[Arrival]:
    """The arrivals of one run, in a log's lines: seconds, due ms, `<run>.<number>`.

    A last line that is not yet whole, and whatever is not of the run, are left out.
    """
    for line in log[: log.rfind("\n") + 1].splitlines():
        at_s, due_ms, label = line.split()
        if label.partition(".")[0] == run:
            # The log's times have three digits; a float would lose the last one.
            yield Arrival(label, int(at_s.replace(".", "")), int(due_ms))


@dataclass(frozen=True)
class Went:
    """How the deliveries of one run went; lateness is that of first arrivals."""

    expected: int
    delivered: int = 0
    duplicates: int = 0
    drain_per_s: float = math.nan
    late_ms: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, arrivals: Iterable[Arrival], *, expected: int) -> "Went":
        """Count a run; it drains from the first due time to the last first arrival."""
        first: dict[str, Arrival] = {}
        count = 0
        for arrival in arrivals:
            count += 1
            first.setdefault(arrival.label, arrival)
        if not first:
            return cls(expected)
        began_ms = min(each.due_ms for each in first.values())
        took_ms = max(each.at_ms for each in first.values()) - began_ms
        return cls(
            expected,
            delivered=len(first),
            duplicates=count - len(first),
            drain_per_s=len(first) * 1_000 / max(took_ms, 1),
            late_ms=sorted(each.late_ms for each in first.values()),
        )

    @property
    def lost(self) -> int:
        """What had not come by the end."""
        return self.expected - self.delivered

    @property
    def early(self) -> int:
        """What came before it was due."""
        return sum(late < 0 for late in self.late_ms)

    def late_at(self, share: float) -> float:
        """How late that share of the deliveries was at most, in ms."""
        if not self.late_ms:
            return math.nan
        last = len(self.late_ms) - 1
        return self.late_ms[min(int(share * len(self.late_ms)), last)]

    def below_ms(self) -> dict[str, int]:
        """How many were less late than each bound."""
        return {
            str(bound): sum(late < bound for late in self.late_ms)
            for bound in BOUNDS_MS
        }

    def faults(self) -> str:
        """What must not be, for people; empty if nothing is."""
        counts = {"lost": self.lost, "early": self.early, "twice": self.duplicates}
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)
