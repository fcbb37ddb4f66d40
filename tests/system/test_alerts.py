"""Tests of alerts: the processes that send them, and the receiver of the page."""

import os
import pytest
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from scheduler_api.core.store import alerts
from scheduler_api.core.store.epoch import establish
from tests.pages import ROOT, blocks
from tests.system.cell import Cell
from tests.system.processes import Process, free_port, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Callable[[str, int], Process]]:
    """A function that starts the receiver of the page, with a secret and a port."""
    started: list[Process] = []

    def start(secret: str, port: int) -> Process:
        [program] = [
            b for b in blocks(ROOT / "docs/alerts.md") if b.language == "python"
        ]
        path = tmp_path / "receiver.py"
        path.write_text(program.text.replace("9000", str(port)))
        environ = {"PATH": os.defpath, "ALERT_SECRET": secret, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, str(path)]
        process = Process(command, environ=environ, log=tmp_path / "receiver.log")
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill_tree()


def accepted(receiver: Process, start: str) -> int:
    """How many messages the receiver has accepted that begin so."""
    return sum(line.startswith(start) for line in receiver.output.splitlines())


def test_clock_and_chores_send_one_alert_and_notice_each_other(
    new_cell: Callable[..., Cell], receiver: Callable[[str, int], Process]
) -> None:
    port = free_port()
    cell = new_cell(SCHED_ALERT_URL=f"http://127.0.0.1:{port}/")
    received = receiver(alerts.signing_secrets(cell.settings)[0], port)
    # A full store takes no functions.
    establish(cell.client, cell.prefix)
    cell.start("clock", "chores")
    # Half of it: what the processes use while they start is freed soon.
    used = cell.client.info("memory")["used_memory"]
    cell.client.config_set("maxmemory", used // 2)
    wait_until(lambda: accepted(received, "store.full store"))
    cell["clock"].kill()
    wait_until(lambda: accepted(received, "role.gone clock"), within_s=40)

    starts = ("store.full store", "role.gone clock")
    assert [accepted(received, start) for start in starts] == [1, 1]
