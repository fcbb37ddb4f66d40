"""What became of the events of a scenario, and which of its claims did not hold."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tally:
    """What became of the accepted events."""

    accepted: int
    lost: list[str]
    duplicates: int
    in_flight: int
    early: int
    late_ms: list[float]
    faults: list[str]

    @property
    def is_sound(self) -> bool:
        """Nothing lost or early, nothing twice without a reason, the store in order."""
        few = self.duplicates <= self.in_flight
        return few and not (self.lost or self.early or self.faults)

    def late_at(self, share: float) -> float:
        """How late that share of the events was at most, in ms."""
        return self.late_ms[min(int(share * len(self.late_ms)), len(self.late_ms) - 1)]

    def __str__(self) -> str:
        late = "none"
        if self.late_ms:
            figures = (self.late_at(0.5), self.late_at(0.99), self.late_ms[-1])
            late = "p50 {:.1f} p99 {:.1f} max {:.1f} ms".format(*figures)
        return (
            f"accepted {self.accepted}, delivered {len(self.late_ms)},"
            f" lost {len(self.lost)}, duplicated {self.duplicates},"
            f" in flight at kills {self.in_flight}, early {self.early}, late {late}"
            + "".join(f"\n  fault: {fault}" for fault in self.faults)
        )


@dataclass
class Report:
    """How a scenario went: its tally, its figures, the claims that did not hold."""

    tally: Tally
    figures: dict[str, object] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.expect(self.tally.is_sound, "lost, early, twice or at fault")

    def expect(self, holds: object, claim: str) -> None:
        """Note a claim that does not hold."""
        if not holds:
            self.problems.append(claim)

    def __str__(self) -> str:
        figures = "".join(f", {name} {value}" for name, value in self.figures.items())
        problems = "".join(f"\n  does not hold: {claim}" for claim in self.problems)
        return f"{self.tally}{figures}{problems}"
