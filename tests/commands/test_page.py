"""Tests that the page of the command line has all commands, and true exit codes."""

import click
import pytest
import re
from pathlib import Path
from tests.commands.cells import OperatedCell, new_cell
from tests.commands.click_tree import commands

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
EXITS = {
    "tenant list": 0,
    "fsck": 0,
    "cron '0 8 * * *'": 0,
    "-h": 0,
    "status": 1,
    "doctor": 1,
    "why msg_nothing": 1,
    "cron nonsense": 1,
    "queue pause orders --tenant 1": 1,
    "tenant remove 1": 1,
    "nonsense": 2,
    "tenant list --nonsense": 2,
    "tenant usage 9": 2,
    "queue set orders --tenant 1 --parallelism x": 2,
}


@pytest.fixture(scope="module")
def cell(valkey: str) -> OperatedCell:
    """A cell without processes."""
    return new_cell(valkey)


def row(words: tuple[str, ...], command: click.Command) -> str:
    """The row of a command in the table of the page."""
    context = click.Context(command)
    arguments = command.collect_usage_pieces(context)[1:]
    options = [
        f"{each.opts[0]} {each.make_metavar(context)}"
        for each in command.params
        if isinstance(each, click.Option) and each.required
    ]
    usage = " ".join((*words, *arguments, *options)).replace("|", r"\|")
    what = command.get_short_help_str(limit=200).removesuffix(".")
    return f"| `{usage}` | {what} |"


def test_the_page_has_every_command():
    _, _, table = PAGE.partition("| command | what it does |\n| --- | --- |\n")

    assert table.splitlines() == sorted(row(*each) for each in commands())


@pytest.mark.parametrize("words", EXITS)
def test_a_command_ends_with_the_exit_code_of_its_kind(cell: OperatedCell, words: str):
    assert cell.run(words).exit_code == EXITS[words]


def test_the_page_explains_every_exit_code():
    explained = re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)

    assert [*map(int, explained)] == sorted({*EXITS.values()})
