"""The results of `scripts/bench`: rows of a table, and systems in a picture."""

import os
import platform
import time
from bench_arrivals import RunResult
from collections.abc import Sequence
from configparser import ConfigParser
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from rich.table import Table
from statistics import median
from tests.system.processes import ROOT
from typing import Any

NAME = "Scheduler API"
# A page has its table between these comments.
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    `ours` is the median of our system over all rounds. `beside` is the median of a
    simpler system. `of` is the name of the simpler system.
    """

    workload: str
    figure: str
    ours: float
    rounds: list[float]
    beside: float | None = None
    beside_rounds: list[float] = field(default_factory=list)
    of: str = ""
    ratio: float | None = None

    @classmethod
    def of_rounds(
        cls,
        workload: str,
        figure: str,
        ours: Sequence[float],
        *,
        beside: Sequence[float] = (),
        of: str = "",
    ) -> "Row":
        """Make a row of medians from the figures of all rounds."""
        row = cls(workload, figure, median(ours), list(ours))
        if not beside:
            return row
        pairs = zip(ours, beside, strict=True)
        ratios = [mine / other for mine, other in pairs if other]
        ratio = median(ratios) if ratios else None
        return replace(
            row, beside=median(beside), beside_rounds=list(beside), of=of, ratio=ratio
        )


@dataclass(frozen=True)
class System:
    """A system in the picture.

    `late_ms_below` maps a lateness to the number of deliveries below this lateness.
    `of` is the number of all deliveries of the same run. The files for the option
    `--peers` have the same fields.
    """

    name: str
    version: str
    workers: int = 1
    drain_per_s: float | None = None
    paced_per_s: int | None = None
    late_ms_below: dict[str, int] = field(default_factory=dict)
    of: int = 0

    @classmethod
    def paced(cls, name: str, version: str, *, per_s: int, run: RunResult) -> "System":
        """Make a system from the lateness of a paced run."""
        late = run.below_ms()
        return cls(
            name, version, paced_per_s=per_s, late_ms_below=late, of=run.delivered
        )


def our_version() -> str:
    """Return our version, from setup.cfg."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup["metadata"]["version"]


def made_by(command: str, versions: dict[str, str]) -> dict[str, Any]:
    """Describe a measurement: command, date, cores, load average, versions."""
    return {
        "command": command,
        "at": time.strftime("%Y-%m-%d", time.gmtime()),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "versions": {
            NAME: our_version(),
            "Python": platform.python_version(),
            "aiohttp": version("aiohttp"),
            **versions,
        },
    }


def to_json(
    made: dict[str, Any], rows: Sequence[Row], systems: Sequence[System]
) -> dict[str, Any]:
    """Return the content of the JSON file."""
    return {
        "made_by": made,
        "rows": [asdict(row) for row in rows],
        "systems": [asdict(system) for system in systems],
    }


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table for the terminal."""
    drawn = Table("workload", "figure")
    for column in ("ours", "beside", "ratio"):
        drawn.add_column(column, justify="right")
    for row in rows:
        beside = "" if row.beside is None else f"{rounded(row.beside)} ({row.of})"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        drawn.add_row(row.workload, row.figure, rounded(row.ours), beside, ratio)
    return drawn


def replace_table(page: Path, table: str) -> None:
    """Replace the table in a page between the comments `BEGIN` and `END`."""
    text = page.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}")


def rounded(figure: float) -> str:
    """Format a figure with three significant digits, or from 100 on as an integer."""
    if abs(figure) >= 100 or figure == int(figure):
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"
