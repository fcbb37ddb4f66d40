"""Hurts whole systems and counts what became of their events; one line per scenario.

Run by `scripts/chaos`. The scenarios are those of the system tests, here with the
leases and sizes of production.
"""

import click
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from tests.system import scenarios
from tests.system.harness import Cell
from tests.system.report import Report

Sizes = dict[str, int]
SCENARIOS: dict[str, Callable[[Cell, Sizes], Report]] = {
    "on-time": lambda cell, n: scenarios.on_time(cell, events=n["events"], over_s=10),
    "kills": lambda cell, n: scenarios.kills(
        cell,
        events=n["events"] * 5 // 2,
        over_s=n["kills"] * 2,
        workers=n["kills"],
        tickers=n["kills"],
    ),
    "interruption": lambda cell, n: scenarios.interruption(cell, events=100),
    "outage": lambda cell, n: scenarios.outage(cell, away_s=n["away_s"], how="stopped"),
    "outage-killed": lambda cell, n: scenarios.outage(
        cell, away_s=n["away_s"], how="killed"
    ),
    "outage-frozen": lambda cell, n: scenarios.outage(
        cell, away_s=n["away_s"], how="frozen"
    ),
    "web-kills": lambda cell, n: scenarios.web_kills(cell, kills=n["kills"]),
    "drain": lambda cell, n: scenarios.drain(cell, events=500, outlasting=10),
    "frozen-ticker": lambda cell, n: scenarios.frozen_ticker(
        cell, per_s=100, frozen_s=n["frozen_s"]
    ),
    "frozen-worker": lambda cell, n: scenarios.frozen_worker(cell),
    "poison": lambda cell, n: scenarios.poison(cell, neighbours=100),
    "travelling-alone": lambda cell, n: scenarios.travelling_alone(
        cell, suspects=100, others=1_000
    ),
    "per-second": lambda cell, n: scenarios.per_second(cell, seconds=n["seconds"]),
    "backlog": lambda cell, n: scenarios.backlog(cell, events=n["backlog"]),
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)), metavar="NAME…")
@click.option("--events", default=2_000, show_default=True, help="Of a load.")
@click.option("--kills", default=20, show_default=True, help="Of each kind of process.")
@click.option("--away-s", default=20, show_default=True, help="Length of an outage.")
@click.option("--frozen-s", default=60, show_default=True, help="A ticker's freeze.")
@click.option("--seconds", default=60, show_default=True, help="Of a schedule's life.")
@click.option("--backlog", default=20_000, show_default=True, help="Events overdue.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Keep data and logs here."
)
def main(names: tuple[str, ...], keep: Path | None, **sizes: int) -> None:
    """Run the named scenarios, or all; ends with 1 if anything did not hold."""
    sound = True
    for name in names or SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
            folder = Path(scratch) if keep is None else keep / name
            folder.mkdir(parents=True, exist_ok=True)
            started_s = time.monotonic()
            with Cell(folder) as cell:
                report = SCENARIOS[name](cell, sizes)
        click.echo(f"{name}: {report} ({time.monotonic() - started_s:.0f} s)")
        sound = sound and not report.problems
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
