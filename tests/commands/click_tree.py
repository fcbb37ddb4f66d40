"""The commands of the command line."""

import click
from collections.abc import Iterator
from scheduler_api.cli import main


def commands(
    command: click.Command = main, *above: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the words of each command that is no group, and the command."""
    below: dict[str, click.Command] = getattr(command, "commands", {})
    if not below:
        yield above, command
    for name, each in below.items():
        yield from commands(each, *above, name)
