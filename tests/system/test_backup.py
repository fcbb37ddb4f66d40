"""Test of the commands in docs/backup.md that make and restore a backup."""

import os
import pytest
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tests.pages import ROOT, blocks
from tests.system.cell import Cell
from tests.system.processes import wait_until

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "backup.md"
ROLES = ("web", "ticker", "worker")


@pytest.fixture
def cell(new_cell: Callable[..., Cell], tmp_path: Path) -> Cell:
    """A cell whose processes remember their store; redis-cli is installed."""
    if shutil.which("redis-cli") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-cli is not installed; CI must make a backup")
        pytest.skip("needs redis-cli")
    state = tmp_path / "state"
    state.mkdir()
    made = new_cell(SCHED_STATE_DIR=str(state))
    # A copy begins at once, not after five seconds.
    made.client.config_set("repl-diskless-sync-delay", 0)
    return made


def run(cell: Cell, part: str) -> None:
    """Run the block of the page that contains this text, with the cell's settings."""
    [block] = [each.text for each in blocks(PAGE) if part in each.text]
    subprocess.run(
        ["sh", "-ec", re.sub("set -a.*", "", block)],
        cwd=cell.folder,
        env=cell.environ | {"PATH": os.environ["PATH"]},
        check=True,
    )


def restore(cell: Cell) -> None:
    """Replace the files of the store by the backup, as the page says."""
    run(cell, "appendonlydir")
    old, new = (cell.folder / name / "appendonlydir" for name in ("data", "restored"))
    shutil.rmtree(old)
    new.rename(old)


def scheduler(cell: Cell, command: str) -> int:
    """Run a command; return its exit code."""
    words = [sys.executable, "-m", "scheduler_api", command]
    return subprocess.run(words, cwd=ROOT, env=cell.environ, check=False).returncode


def deliver(cell: Cell, label: str) -> str:
    """Create an event, and wait until it has arrived; return its id."""
    event = cell.create(label, at_ms=cell.events.cell.now_ms() + 500)
    wait_until(lambda: cell.receiver.count(label))
    return event.id


def test_a_restored_backup_loses_and_repeats_what_came_after_it(cell: Cell):
    cell.start(*ROLES)
    ids = [deliver(cell, "before")]
    waiting = cell.create("waiting", at_ms=cell.events.cell.now_ms() + 5_000)
    run(cell, "--rdb")
    ids += [waiting.id, deliver(cell, "lost")]
    wait_until(lambda: cell.receiver.count("waiting"))
    for role in ROLES:
        cell[role].terminate()
    cell.store.kill()

    restore(cell)
    cell.start_store()
    assert scheduler(cell, "fsck") == 0
    cell.start(*ROLES)
    wait_until(lambda: cell.receiver.count("waiting") == 2)
    assert "has lost its newest" in str(cell.request("GET", "/readyz").body["degraded"])
    assert scheduler(cell, "accept-store") == 0
    wait_until(lambda: cell.request("GET", "/readyz").body["status"] == "ok")
    ids.append(deliver(cell, "new"))

    assert len({*ids}) == 4
    arrivals = [
        (each.label, each.possible_duplicate) for each in cell.receiver.arrivals
    ]
    once = [("before", False), ("lost", False), ("new", False)]
    assert sorted(arrivals) == [*once, ("waiting", False), ("waiting", True)]
