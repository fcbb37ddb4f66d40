"""Runs failure scenarios on complete systems and reports the outcome of the events.

`scripts/chaos` runs this module. Some scenarios are those of the system tests, but
larger.
"""

import chaos_clock
import chaos_destinations
import chaos_lost_data
import chaos_network
import chaos_overload
import chaos_processes
import chaos_store
import chaos_units
import click
import json
import os
import subprocess
import sys
import tempfile
import time
from chaos_scenario import Scenario, Sizes
from chaos_table import Row, terminal, update_page
from click.core import ParameterSource
from pathlib import Path
from rich.console import Console
from shutil import which
from typing import Any

FAMILIES = (
    chaos_processes,
    chaos_store,
    chaos_lost_data,
    chaos_network,
    chaos_units,
    chaos_clock,
    chaos_destinations,
    chaos_overload,
)
SCENARIOS: dict[str, Scenario] = {
    name: scenario for family in FAMILIES for name, scenario in family.SCENARIOS.items()
}
NAMESPACE = ("unshare", "--net", "--mount")
# Set in the process that has its own network.
OWN_NETWORK = "CHAOS_OWN_NETWORK"


def epilog() -> str:
    """Return the names of all scenarios, with their rules and faults."""
    lines = (
        f"{name:25} {' '.join(s.rules)}: {s.fault}" for name, s in SCENARIOS.items()
    )
    return "\b\n" + "\n".join(lines)


def selected(names: tuple[str, ...], rules: tuple[str, ...]) -> list[str]:
    """Return the named scenarios, and those that check one of the rules; else all."""
    chosen = [
        name
        for name, scenario in SCENARIOS.items()
        if name in names or set(rules) & set(scenario.rules)
    ]
    return chosen if names or rules else list(SCENARIOS)


def enter_own_network() -> bool:
    """Run this program again in its own network, in which no fault leaves the machine.

    Returns: False if the user may not do so. Otherwise, it does not return, unless the
        program already has its own network.
    """
    if os.environ.get(OWN_NETWORK):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return True
    if which("unshare") is None or which("ip") is None:
        return False
    if subprocess.run([*NAMESPACE, "true"], check=False).returncode:
        return False
    os.environ[OWN_NETWORK] = "1"
    os.execvp(NAMESPACE[0], [*NAMESPACE, sys.executable, *sys.argv])


def lacks(scenario: Scenario, *, own_network: bool) -> list[str]:
    """Return what a scenario needs and this machine does not have."""
    missing = [program for program in scenario.needs if which(program) is None]
    if scenario.machines and not own_network:
        missing.append("the right to create network namespaces")
    return missing


def run_round(row: Row, folder: Path, sizes: Sizes, seed: str) -> None:
    """Run a round of a scenario, add it to the row, and print it."""
    started_s = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        report = SCENARIOS[row.name].run(folder, sizes, seed)
    except Exception as err:
        took_s = time.monotonic() - started_s
        problem = f"{type(err).__name__}: {str(err)[-500:]}"
        row.fail(problem, seed=seed, took_s=took_s)
        click.echo(f"{seed}: failed: {problem} ({took_s:.0f} s)")
        return
    took_s = time.monotonic() - started_s
    row.add(report, seed=seed, took_s=took_s)
    click.echo(f"{seed}: {report} ({took_s:.0f} s)")


def run_all(
    rows: list[Row], number: int, *, seed: int, keep: Path | None, sizes: Sizes
) -> None:
    """Run one round of each scenario."""
    for row in rows:
        name = f"{row.name}-{seed}-{number}"
        with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
            run_round(row, (keep or Path(scratch)) / name, sizes, name)


def command_of(context: click.Context) -> str:
    """Return the command line, without the paths that it writes to."""
    words = ["scripts/chaos"]
    for param in context.command.params:
        name = param.name or ""
        chosen = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if chosen and not isinstance(param.type, click.Path):
            value = context.params[name]
            option = [] if isinstance(param, click.Argument) else [param.opts[0]]
            for one in value if isinstance(value, tuple) else (value,):
                words += [*option, str(one)]
    return " ".join(words)


def made_by(command: str, started_s: float) -> dict[str, Any]:
    """Describe the run: command, date, cores, duration."""
    return {
        "command": command,
        "at": time.strftime("%Y-%m-%d", time.gmtime()),
        "cores": os.cpu_count(),
        "minutes": round((time.monotonic() - started_s) / 60),
    }


# Absolute, because processes with other working folders get the paths.
FileOrFolder = click.Path(path_type=Path, resolve_path=True)
Page = click.Path(path_type=Path, resolve_path=True, exists=True, dir_okay=False)


@click.command(epilog=epilog())
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)), metavar="NAME…")
@click.option("--rule", "rules", multiple=True, help="Scenarios of a rule, e.g. R-01.")
@click.option("--rounds", default=1, show_default=True, help="Rounds of each scenario.")
@click.option("--seed", default=1, show_default=True, help="Of the random choices.")
@click.option("--json", "target", type=FileOrFolder, help="Write a file.")
@click.option("--page", type=Page, help="Write the table into a page.")
@click.option("--events", default=1_000, show_default=True, help="Events in a load.")
@click.option("--kills", default=100, show_default=True, help="Kills of workers.")
@click.option("--away-s", default=4, show_default=True, help="Length of an outage.")
@click.option("--frozen-s", default=6, show_default=True, help="Length of a freeze.")
@click.option("--seconds", default=10, show_default=True, help="Life of a schedule.")
@click.option("--flood", default=10_000, show_default=True, help="Events of a flood.")
@click.option("--backlog", default=5_000, show_default=True, help="Overdue events.")
@click.option("--keep", type=FileOrFolder, help="Keep data and logs here.")
def main(
    names: tuple[str, ...],
    *,
    rules: tuple[str, ...],
    rounds: int,
    seed: int,
    target: Path | None,
    page: Path | None,
    keep: Path | None,
    **sizes: int,
) -> None:
    """Run the named scenarios, or all; exit with 1 if any of them fails.

    With the right to create network namespaces, they run in a network of their own.
    """
    started_s = time.monotonic()
    own_network = enter_own_network()
    rows = []
    for name in selected(names, rules):
        if missing := lacks(SCENARIOS[name], own_network=own_network):
            click.echo(f"{name}: not run, needs {', '.join(missing)}")
            continue
        rows.append(Row(name, SCENARIOS[name].fault, SCENARIOS[name].rules))
    command = command_of(click.get_current_context())
    for number in range(1, rounds + 1):
        run_all(rows, number, seed=seed, keep=keep, sizes=sizes)
        # A run that is stopped has the results of its complete rounds.
        made = made_by(command, started_s)
        if target is not None:
            figures = {"made_by": made, "rows": [row.to_json() for row in rows]}
            target.write_text(json.dumps(figures, indent=1) + "\n")
        if page is not None:
            update_page(page, rows, made)
    Console(width=None if sys.stdout.isatty() else 220).print(terminal(rows))
    sys.exit(1 if any(row.problems for row in rows) else 0)


if __name__ == "__main__":
    main()
