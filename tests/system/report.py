"""The result of a scenario: what happened to its events, and which claims failed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

# How many faults are printed.
SHOWN = 5
SOUND = "nothing is lost, early, inconsistent, or duplicated without reason or warning"


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value at this share (0 to 1) of ascending values, of which there are some."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass(frozen=True)
class Tally:
    """What happened to the accepted events.

    Attributes:
        lost: the labels of events that never arrived.
        in_tail: how many of the lost events were in a tail that the store has lost.
        repeated_in_tail: how many of the duplicates are of events whose delivery was
            in a tail that the store has lost.
        duplicates: how many more requests arrived than expected.
        unwarned: how many of these requests had no duplicate warning.
        in_flight: how many attempts were in flight when their worker was killed.
        early: how many events arrived before their time.
        late_ms: the lateness of each event's first request, ascending.
        undelivered: events not recorded as delivered, with their states.
        fsck: inconsistencies in the store.
    """

    accepted: int
    lost: list[str]
    in_tail: int
    repeated_in_tail: int
    duplicates: int
    unwarned: int
    in_flight: int
    early: int
    late_ms: list[float]
    undelivered: list[str]
    fsck: list[str]

    @property
    def faults(self) -> list[str]:
        """Events not recorded as delivered, and inconsistencies in the store."""
        return self.undelivered + self.fsck

    @property
    def is_sound(self) -> bool:
        """Whether nothing is lost, early, inconsistent, or duplicated without reason.

        A duplicate has a valid reason only if a worker was killed during the attempt,
        or if the store has lost its outcome. It must have a warning.
        """
        explained = self.duplicates - self.repeated_in_tail <= self.in_flight
        complete = len(self.lost) <= self.in_tail
        return (
            explained and complete and not (self.unwarned or self.early or self.faults)
        )

    def late_at(self, share: float) -> float:
        """The lateness of the event at this quantile (0 to 1), in ms."""
        return quantile(self.late_ms, share)

    def __str__(self) -> str:
        late = "none"
        if self.late_ms:
            figures = (self.late_at(0.5), self.late_at(0.99), self.late_ms[-1])
            late = "p50 {:.1f} p99 {:.1f} max {:.1f} ms".format(*figures)
        return (
            f"accepted {self.accepted}, delivered {len(self.late_ms)},"
            f" lost {len(self.lost)} (in a lost tail {self.in_tail}),"
            f" duplicated {self.duplicates} (without warning {self.unwarned}),"
            f" in flight at kills {self.in_flight}, early {self.early}, late {late}"
            + "".join(f"\n  fault: {fault}" for fault in self.faults[:SHOWN])
        )


@dataclass
class Report:
    """The result of a scenario.

    Attributes:
        figures: measurements to print.
        recovery_s: how many seconds after the fault deliveries went on.
        kills: how many processes, other than the store, were killed with SIGKILL.
        claims: what must hold.
        problems: the claims that did not hold.
    """

    tally: Tally
    figures: dict[str, object] = field(default_factory=dict)
    recovery_s: float | None = None
    kills: int = 0
    claims: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.expect(self.tally.is_sound, SOUND)

    def expect(self, holds: object, claim: str, *, found: object = "") -> None:
        """Record a claim, and what was found instead if it does not hold."""
        self.claims.append(claim)
        if not holds:
            self.problems.append(f"{claim}: {found}" if found != "" else claim)

    def __str__(self) -> str:
        figures = "".join(f", {name} {value}" for name, value in self.figures.items())
        if self.recovery_s is not None:
            figures += f", recovered after {self.recovery_s:.1f} s"
        if self.kills:
            figures += f", {self.kills} kills"
        problems = "".join(f"\n  does not hold: {claim}" for claim in self.problems)
        return f"{self.tally}{figures}{problems}"
