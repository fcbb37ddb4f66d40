"""Runs failure scenarios on complete systems and reports the outcome of the events.

`scripts/chaos` runs this module. The scenarios are those of the system tests, but with
the leases and sizes of a production system.
"""

import click
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tests.system import failing, gates, outages, terminations, workloads
from tests.system.cell import Cell
from tests.system.report import Report
from tests.system.supervised import Supervised

Sizes = dict[str, int]


@dataclass(frozen=True)
class Scenario:
    """A failure scenario: a description in one line, and a function that runs it.

    The arguments of the function are a folder and sizes, such as the number of events.
    """

    description: str
    run: Callable[[Path, Sizes], Report]


def in_cell(
    scenario: Callable[..., Report],
    arguments: Callable[[Sizes], dict[str, object]] = lambda _: {},
    **settings: str,
) -> Scenario:
    """Make a scenario that runs on a system of separately started processes.

    Args:
        arguments: a function that computes the scenario's arguments from the sizes.
        settings: environment variables of the processes.
    """

    def run(folder: Path, sizes: Sizes) -> Report:
        with Cell(folder, **settings) as cell:
            return scenario(cell, **arguments(sizes))

    return Scenario(first_line(scenario), run)


def first_line(scenario: Callable[..., Report]) -> str:
    """Return the first line of a scenario's docstring."""
    return (scenario.__doc__ or "").partition("\n")[0]


def supervised(folder: Path, sizes: Sizes) -> Report:
    """Run the scenario with a system that `scripts/up` supervises."""
    with Supervised(folder) as system:
        return terminations.supervised_kills(system, kills=sizes["kills"])


def outage(how: str) -> Scenario:
    """Make a scenario with a store that is stopped, killed or frozen."""
    return in_cell(outages.store_outage, lambda n: {"away_s": n["away_s"], "how": how})


SCENARIOS: dict[str, Scenario] = {
    "on-time": in_cell(
        workloads.on_time, lambda n: {"events": n["events"], "over_s": 10}
    ),
    "kills": in_cell(
        terminations.worker_and_ticker_kills,
        lambda n: {
            "events": n["events"] * 5 // 2,
            "over_s": n["kills"] * 2,
            "workers": n["kills"],
            "tickers": n["kills"],
        },
    ),
    "interruption": in_cell(terminations.interruption, lambda _: {"events": 100}),
    "supervised": Scenario(first_line(terminations.supervised_kills), supervised),
    "outage": outage("stopped"),
    "outage-killed": outage("killed"),
    "outage-frozen": outage("frozen"),
    "web-kills": in_cell(terminations.web_kills, lambda n: {"kills": n["kills"]}),
    "drain": in_cell(terminations.drain, lambda _: {"events": 500, "outlasting": 10}),
    "rolling": in_cell(terminations.rolling_restart),
    "frozen-ticker": in_cell(
        outages.frozen_ticker, lambda n: {"per_s": 100, "frozen_s": n["frozen_s"]}
    ),
    "frozen-worker": in_cell(outages.frozen_worker),
    "poison": in_cell(terminations.poison_event, lambda _: {"neighbours": 100}),
    "isolated-events": in_cell(
        terminations.isolated_events, lambda _: {"suspects": 100, "others": 1_000}
    ),
    "per-second": in_cell(
        workloads.schedule_every_second, lambda n: {"seconds": n["seconds"]}
    ),
    "queue": in_cell(gates.queue_order, lambda _: {"events": 500, "every_s": 3}),
    "flow-control": in_cell(
        gates.rate_and_parallelism,
        lambda n: {"events": n["events"], "rate": 50, "parallelism": 5, "timed": True},
    ),
    "starvation": in_cell(
        gates.starvation,
        lambda n: {"few": 20, "others": n["events"]},
        SCHED_DESTINATION_PARALLELISM="5",
    ),
    "hanging": in_cell(
        failing.hanging_destination,
        lambda n: {"events": n["events"], "over_s": 10, "rounds": 3},
    ),
    "destination-outage": in_cell(
        failing.destination_outage,
        lambda n: {"events": n["events"] * 5 // 2, "away_s": n["frozen_s"]},
    ),
    "one-bad-route": in_cell(
        failing.one_bad_route,
        lambda n: {
            "events": n["events"],
            "for_s": n["frozen_s"],
            "letters": 40,
            "away_s": 30,
        },
    ),
    "backlog": in_cell(workloads.backlog, lambda n: {"events": n["backlog"]}),
}


@click.command(
    epilog="\b\n"
    + "\n".join(f"{name:18} {s.description}" for name, s in SCENARIOS.items())
)
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)), metavar="NAME…")
@click.option("--events", default=2_000, show_default=True, help="Events in a load.")
@click.option("--kills", default=20, show_default=True, help="Kills of each process.")
@click.option("--away-s", default=20, show_default=True, help="Length of an outage.")
@click.option("--frozen-s", default=60, show_default=True, help="Length of a freeze.")
@click.option("--seconds", default=60, show_default=True, help="Life of a schedule.")
@click.option("--backlog", default=20_000, show_default=True, help="Overdue events.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Keep data and logs here."
)
def main(names: tuple[str, ...], keep: Path | None, **sizes: int) -> None:
    """Run the named scenarios, or all; exit with 1 if any of them fails."""
    passed = True
    for name in names or SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
            folder = Path(scratch) if keep is None else keep / name
            folder.mkdir(parents=True, exist_ok=True)
            started_s = time.monotonic()
            try:
                report = SCENARIOS[name].run(folder, sizes)
            except AssertionError as err:
                click.echo(f"{name}: failed: {err}")
                passed = False
                continue
        click.echo(f"{name}: {report} ({time.monotonic() - started_s:.0f} s)")
        passed = passed and not report.problems
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
