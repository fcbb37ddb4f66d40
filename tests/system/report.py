"""The result of a scenario: what happened to its events, and which claims failed."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tally:
    """What happened to the accepted events.

    Attributes:
        lost: the labels of events that never arrived.
        duplicates: how many more requests arrived than expected.
        in_flight: how many attempts were in flight when their worker was killed.
        early: how many events arrived before their time.
        late_ms: the lateness of each event's first request, ascending.
        faults: events not recorded as delivered, and inconsistencies in the store.
    """

    accepted: int
    lost: list[str]
    duplicates: int
    in_flight: int
    early: int
    late_ms: list[float]
    faults: list[str]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is lost, early, inconsistent, or duplicated without reason.

        A duplicate has a valid reason only if a worker was killed during the attempt.
        """
        explained = self.duplicates <= self.in_flight
        return explained and not (self.lost or self.early or self.faults)

    def late_at(self, share: float) -> float:
        """The lateness of the event at this quantile (0 to 1), in ms."""
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
    """The result of a scenario.

    Attributes:
        figures: measurements to print.
        problems: the claims that did not hold.
    """

    tally: Tally
    figures: dict[str, object] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.expect(
            self.tally.is_sound,
            "nothing is lost, early, inconsistent, or duplicated without reason",
        )

    def expect(self, holds: object, claim: str) -> None:
        """Record a claim as a problem if it does not hold."""
        if not holds:
            self.problems.append(claim)

    def __str__(self) -> str:
        figures = "".join(f", {name} {value}" for name, value in self.figures.items())
        problems = "".join(f"\n  does not hold: {claim}" for claim in self.problems)
        return f"{self.tally}{figures}{problems}"
