"""Tests that a shell completes commands, options, tenants and names."""

import os
import pytest
import subprocess
import sys
from click.testing import CliRunner
from pathlib import Path
from scheduler_api.cli import main
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import Owner
from tests.commands.cells import SECRET_KEY, OperatedCell, new_cell

VARIABLE = "_SCHEDULER_COMPLETE"
PRESS_TAB = f"""
eval "$({VARIABLE}=bash_source scheduler)"
complete -p scheduler
COMP_WORDS=(scheduler queue re) COMP_CWORD=2
_scheduler_completion scheduler
echo "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def cell(valkey: str) -> OperatedCell:
    """A cell with two tenants, of which each has a queue and a flow-control key."""
    made = new_cell(valkey)
    assert made.run("tenant create Eve").exit_code == 0
    for tenant in ("1", "2"):
        owner = Owner(tenant, "qstash")
        Queues(made.cell).put(owner, f"orders{tenant}", parallelism=1, paused=False)
        FlowKeys(made.cell).pin(owner, f"key{tenant}", rate=1)
    return made


def complete(url: str, *words: str) -> list[str]:
    """Return what zsh shows for the last word."""
    environ = {
        VARIABLE: "zsh_complete",
        "COMP_WORDS": " ".join(("scheduler", *words)),
        "COMP_CWORD": str(len(words)),
        "REDIS_URL": url,
        "SECRET_KEY": SECRET_KEY,
    }
    result = CliRunner().invoke(main, env=environ, prog_name="scheduler")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    return [
        f"{value}: {about}"
        for value, about in zip(lines[1::3], lines[2::3], strict=True)
    ]


def test_tenants_are_completed_with_their_names(cell: OperatedCell):
    assert complete(cell.url, "queue", "list", "--tenant", "''") == ["1: Ada", "2: Eve"]
    assert complete(cell.url, "tenant", "usage", "2") == ["2: Eve"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("queue", "resume", "ord"), ["orders1: _", "orders2: _"]),
        (("queue", "resume", "--tenant", "2", "ord"), ["orders2: _"]),
        (("queue", "resume", "rders"), []),
        (("flow", "show", "--tenant", "1", "k"), ["key1: _"]),
    ],
)
def test_names_are_completed(
    cell: OperatedCell, words: tuple[str, ...], expected: list[str]
):
    assert complete(cell.url, *words) == expected


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "no URL", ""])
def test_without_a_store_no_names_are_completed(url: str):
    assert complete(url, "queue", "resume", "ord") == []
    assert complete(url, "tenant", "usage", "1") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str):
    environ = {VARIABLE: f"{shell}_source"}
    result = CliRunner().invoke(main, env=environ, prog_name="scheduler")

    assert f"{VARIABLE}={shell}_complete" in result.output


def test_bash_completes_commands():
    folder = Path(sys.executable).parent
    result = subprocess.run(
        ["bash", "-c", PRESS_TAB],
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    first, *others = result.stdout.splitlines()
    assert first.endswith("-F _scheduler_completion scheduler")
    assert others == ["resume"]
