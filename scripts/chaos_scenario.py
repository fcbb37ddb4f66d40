"""What a failure scenario is, and the sizes of its load."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tests.system.cell import Cell
from tests.system.report import Report

Sizes = dict[str, int]
Arguments = Callable[[Sizes], dict[str, object]]


@dataclass(frozen=True)
class Scenario:
    """A failure scenario.

    Attributes:
        rules: the rules that it checks, for example `R-01`.
        fault: what fails, in one line.
        run: runs one round in a folder, with sizes and a seed.
        needs: programs that it needs.
        machines: whether it needs network namespaces, and so root.
    """

    rules: tuple[str, ...]
    fault: str
    run: Callable[[Path, Sizes, str], Report]
    needs: tuple[str, ...] = ()
    machines: bool = False


def in_cell(
    scenario: Callable[..., Report],
    rules: str,
    arguments: Arguments = lambda _: {},
    *,
    cell: Callable[..., Cell] = Cell,
    needs: tuple[str, ...] = (),
    machines: bool = False,
    **settings: str,
) -> Scenario:
    """Make a scenario that runs on a system of separately started processes.

    Args:
        rules: separated by spaces.
        arguments: a function that computes the scenario's arguments from the sizes.
        cell: creates the system in a folder, with settings.
        settings: environment variables of the processes.
    """

    def run(folder: Path, sizes: Sizes, seed: str) -> Report:
        with cell(folder, **settings) as system:
            system.random.seed(seed)
            return scenario(system, **arguments(sizes))

    return Scenario(
        tuple(rules.split()), first_line(scenario), run, needs, machines=machines
    )


def first_line(scenario: Callable[..., object]) -> str:
    """Return the first line of a scenario's docstring."""
    return (scenario.__doc__ or "").partition("\n")[0]
