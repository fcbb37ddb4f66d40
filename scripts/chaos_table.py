"""The table of `scripts/chaos`: what happened to the events of each fault."""

from bench_figures import our_version, replace_table
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from rich.table import Table
from tests.system.report import SOUND, Report, quantile
from typing import Any

COLUMNS = (
    "fault",
    "rules",
    "rounds",
    "kills",
    "accepted",
    "delivered",
    "lost",
    "duplicated, warned",
    "not warned",
    "early",
    "late, ms: p50",
    "p99",
    "max",
    "recovery, s",
    "fsck",
    "verdict",
)

# Rules for workers that are killed.
KILL_RULES = ("R-01", "R-02")
BOUNDS_HEAD = "| fault | what happens | must hold too |\n| --- | --- | --- |"


@dataclass
class Row:
    """All rounds of a scenario.

    Attributes:
        late_ms: the lateness of each delivered event.
        claims: what must hold in each round.
        problems: the claims that did not hold, each with its round's seed.
        rounds: the figures of each round.
    """

    name: str
    fault: str
    rules: tuple[str, ...]
    kills: int = 0
    accepted: int = 0
    delivered: int = 0
    lost: int = 0
    in_tail: int = 0
    warned: int = 0
    unwarned: int = 0
    early: int = 0
    fsck: int = 0
    recovery_s: float | None = None
    late_ms: list[float] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def add(self, report: Report, *, seed: str, took_s: float) -> None:
        """Add a round."""
        tally = report.tally
        self.kills += report.kills
        self.accepted += tally.accepted
        self.delivered += len(tally.late_ms)
        self.lost += len(tally.lost)
        self.in_tail += tally.in_tail
        self.warned += max(0, tally.duplicates - tally.unwarned)
        self.unwarned += tally.unwarned
        self.early += tally.early
        self.fsck += len(tally.fsck)
        self.late_ms += tally.late_ms
        if report.recovery_s is not None:
            self.recovery_s = max(report.recovery_s, self.recovery_s or 0)
        new = [claim for claim in report.claims if claim not in self.claims]
        self.claims += [claim for claim in new if claim != SOUND]
        self.problems += [f"{problem} ({seed})" for problem in report.problems]
        figures = {name: str(value) for name, value in report.figures.items()}
        self.rounds.append(
            {"seed": seed, "took_s": round(took_s, 1), "figures": figures}
            | {"problems": report.problems, "faults": tally.faults[:20]}
        )

    def fail(self, problem: str, *, seed: str, took_s: float) -> None:
        """Add a round that ended without a report."""
        self.problems.append(f"{problem} ({seed})")
        self.rounds.append(
            {"seed": seed, "took_s": round(took_s, 1), "problems": [problem]}
        )

    def late_at(self, share: float) -> float | None:
        """Return the lateness of the event at this quantile (0 to 1), in ms."""
        return quantile(sorted(self.late_ms), share) if self.late_ms else None

    @property
    def verdict(self) -> str:
        """Whether every claim held in every round."""
        return f"failed: {len(self.problems)}" if self.problems else "holds"

    def cells(self) -> list[str]:
        """Return the columns of the table."""
        tail = f" ({self.in_tail} in the lost tail)" if self.in_tail else ""
        late = (self.late_at(0.5), self.late_at(0.99), self.late_at(1))
        return [
            self.name,
            " ".join(self.rules),
            str(len(self.rounds)),
            f"{self.kills:,}",
            f"{self.accepted:,}",
            f"{self.delivered:,}",
            f"{self.lost}{tail}",
            str(self.warned),
            str(self.unwarned),
            str(self.early),
            *("" if ms is None else f"{ms:,.0f}" for ms in late),
            "" if self.recovery_s is None else f"{self.recovery_s:.1f}",
            str(self.fsck),
            self.verdict,
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the row as an object for the JSON file."""
        figures: dict[str, Any] = {
            "name": self.name,
            "fault": self.fault,
            "rules": list(self.rules),
            "rounds": len(self.rounds),
            "kills": self.kills,
            "accepted": self.accepted,
            "delivered": self.delivered,
            "lost": self.lost,
            "lost_in_tail": self.in_tail,
            "duplicated_warned": self.warned,
            "duplicated_unwarned": self.unwarned,
            "early": self.early,
            "late_p50_ms": self.late_at(0.5),
            "late_p99_ms": self.late_at(0.99),
            "late_max_ms": self.late_at(1),
            "recovery_s": self.recovery_s,
            "fsck": self.fsck,
            "holds": not self.problems,
            "bound": [SOUND, *self.claims],
            "problems": self.problems,
        }
        return figures | {"each_round": self.rounds}


def terminal(rows: Sequence[Row]) -> Table:
    """Return the rows as a table for the terminal."""
    drawn = Table(*COLUMNS)
    for row in rows:
        drawn.add_row(*row.cells())
    return drawn


def markdown(rows: Sequence[Row], made_by: dict[str, Any]) -> str:
    """Return the rows as a table, and below it each fault with its bound."""
    lines = [list(COLUMNS), ["---"] * 2 + ["---:"] * (len(COLUMNS) - 3) + ["---"]]
    lines += [row.cells() for row in rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    bounds = "\n".join(_bound(row) for row in rows)
    origin = (
        f"`{made_by['command']}, {made_by['at']}, {made_by['cores']} cores,"
        f" {made_by['minutes']} minutes: Scheduler API {our_version()}`"
    )
    killed = (
        f"{_kills(rows):,} processes were killed,"
        f" {_kills(rows, KILL_RULES):,} of them by"
        f" the scenarios of {' and '.join(KILL_RULES)}."
    )
    return "\n\n".join((table, origin, killed, f"{BOUNDS_HEAD}\n{bounds}"))


def _kills(rows: Sequence[Row], rules: Sequence[str] = ()) -> int:
    """Return how many processes were killed, by all scenarios or by those of rules."""
    return sum(row.kills for row in rows if not rules or {*rules} & {*row.rules})


def _bound(row: Row) -> str:
    failed = "".join(f"; **failed:** {_cell(problem)}" for problem in row.problems[:3])
    claims = _cell("; ".join(row.claims))
    return f"| {row.name} | {_cell(row.fault)} | {claims}{failed} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:600]


def update_page(page: Path, rows: Sequence[Row], made_by: dict[str, Any]) -> None:
    """Write the table into a page."""
    replace_table(page, markdown(rows, made_by))
