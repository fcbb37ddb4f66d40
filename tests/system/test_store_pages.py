"""Tests of the commands in `docs/` that back up, restore and move a store."""

import os
import pytest
import re
import redis
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tests.pages import ROOT, blocks
from tests.system.cell import Cell
from tests.system.observer import Answer
from tests.system.processes import wait_until
from urllib.parse import urlsplit

pytestmark = pytest.mark.slow

BACKUP, UPGRADE = (ROOT / "docs" / f"{name}.md" for name in ("backup", "upgrade"))
NEW = "redis://default:password@new:6379/0"
ROLES = ("web", "ticker", "worker")


@pytest.fixture
def cell(new_cell: Callable[..., Cell], tmp_path: Path) -> Cell:
    """A cell whose processes remember their store; redis-cli is installed."""
    if shutil.which("redis-cli") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-cli is not installed; CI must run the pages")
        pytest.skip("needs redis-cli")
    state = tmp_path / "state"
    state.mkdir()
    made = new_cell(SCHED_STATE_DIR=str(state))
    # A copy begins at once, not after five seconds.
    made.client.config_set("repl-diskless-sync-delay", 0)
    return made


def run(cell: Cell, page: Path, part: str, **values: str) -> str:
    """Run the block of a page that contains this text; return its output.

    Args:
        values: what the reader replaces in the block, by what stands there.
    """
    [block] = [each.text for each in blocks(page) if part in each.text]
    commands = re.sub("^set -a.*", "", block, flags=re.MULTILINE)
    for placeholder, value in values.items():
        commands = commands.replace(placeholder, value)
    return subprocess.run(
        ["sh", "-ec", commands],
        cwd=cell.folder,
        env=cell.environ | {"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def restore(cell: Cell) -> None:
    """Replace the files of the store by the backup, as the page says."""
    run(cell, BACKUP, "appendonlydir")
    old, new = (cell.folder / name / "appendonlydir" for name in ("data", "restored"))
    shutil.rmtree(old)
    new.rename(old)


def scheduler(cell: Cell, command: str) -> int:
    """Run a command; return its exit code."""
    words = [sys.executable, "-m", "scheduler_api", command]
    return subprocess.run(words, cwd=ROOT, env=cell.environ, check=False).returncode


def deliver(cell: Cell, label: str) -> object:
    """Create an event, and wait until the store has its delivery; return its id."""
    answers: list[Answer] = []

    def is_accepted() -> bool:
        # Web processes notice within a second that an operator has accepted the store.
        answers.append(cell.post(label, in_ms=500))
        return answers[-1].status == 200

    wait_until(is_accepted)
    event_id = answers[-1].body["id"]
    path = f"/api/events/{event_id}"
    wait_until(lambda: cell.request("GET", path).body["status"] == "Sent")
    wait_until(lambda: cell.receiver.count(label))
    return event_id


def is_older(cell: Cell) -> bool:
    """Whether the processes miss data that the store had."""
    return "lost its newest" in str(cell.request("GET", "/readyz").body)


def arrivals(cell: Cell) -> list[tuple[str, bool]]:
    """The labels of the requests that arrived, and whether they were marked."""
    found = [(each.label, each.possible_duplicate) for each in cell.receiver.arrivals]
    return sorted(found)


def test_a_restored_backup_loses_and_repeats_what_came_after_it(cell: Cell):
    cell.start(*ROLES)
    ids = [deliver(cell, "before")]
    ids.append(cell.post("waiting", in_ms=5_000).body["id"])
    run(cell, BACKUP, "--rdb")
    ids.append(deliver(cell, "lost"))
    wait_until(lambda: cell.receiver.count("waiting"))
    for role in ROLES:
        cell[role].terminate()
    cell.store.kill()

    restore(cell)
    cell.start_store()
    assert scheduler(cell, "fsck") == 0
    cell.start(*ROLES)
    wait_until(lambda: cell.receiver.count("waiting") == 2)
    assert is_older(cell)
    assert scheduler(cell, "accept-store") == 0
    wait_until(lambda: not is_older(cell))
    ids.append(deliver(cell, "new"))

    assert len({*ids}) == 4
    once = [("before", False), ("lost", False), ("new", False)]
    assert arrivals(cell) == [*once, ("waiting", False), ("waiting", True)]


@pytest.fixture
def new_store(own_valkey: tuple[str, int]) -> Iterator[str]:
    """The URL of an empty store that keeps what it is given."""
    url, _ = own_valkey
    with redis.Redis.from_url(url) as client:
        client.config_set("appendonly", "yes")
    yield url


def replicate(cell: Cell, new_store: str) -> None:
    """Make the new store a replica, and wait until it has a copy."""
    old = urlsplit(cell.environ["REDIS_URL"])
    values = {
        NEW: new_store,
        "old-password": str(old.password),
        "old 6379": f"{old.hostname} {old.port}",
    }
    wait_until(lambda: "link_status:up" in run(cell, UPGRADE, "masterauth", **values))


def test_a_cell_moves_to_another_store_without_loss_or_repeats(
    cell: Cell, new_store: str
):
    cell.start(*ROLES)
    ids = [deliver(cell, "before"), cell.post("waiting", in_ms=8_000).body["id"]]
    replicate(cell, new_store)
    ids.append(deliver(cell, "replicated"))
    for role in ROLES:
        cell[role].terminate()
    assert run(cell, UPGRADE, "no one", **{"$NEW_STORE": new_store}) == "1\nOK\n"
    cell.store.kill()

    cell.launch(*ROLES, REDIS_URL=new_store)
    wait_until(cell.is_ready, within_s=60)
    wait_until(lambda: cell.receiver.count("waiting"))
    ids.append(deliver(cell, "new"))

    assert cell.is_ready() and not is_older(cell)
    assert len({*ids}) == 4
    once = ("before", "new", "replicated", "waiting")
    assert arrivals(cell) == [(label, False) for label in once]
