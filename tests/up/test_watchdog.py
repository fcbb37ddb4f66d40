"""Tests that the watchdog kills processes and their children when its pipe closes."""

import os
import pytest
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from scheduler_api.up.watchdog import descendants, kill_trees

WATCHDOG = Path(__file__).parents[2] / "scheduler_api" / "up" / "watchdog.py"
# A shell with a child in another process group, like the work horse of an RQ worker.
# The shell waits with `read`: `wait` would also return when the child is suspended.
FAMILY = "set -m; sleep 300 & echo started; read"


@pytest.fixture
def family() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        ["bash", "-c", FAMILY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    process.stdout.readline()
    return process


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_killing_a_tree_kills_children_in_other_process_groups(
    family: subprocess.Popen[str], wait_until: Callable[..., None]
):
    [child] = descendants({family.pid})

    kill_trees({family.pid})

    assert family.wait() == -signal.SIGKILL
    wait_until(lambda: not is_alive(child))


def test_the_watchdog_ignores_signals_and_acts_when_its_pipe_closes(
    family: subprocess.Popen[str], wait_until: Callable[..., None]
):
    [child] = descendants({family.pid})
    watchdog = subprocess.Popen(
        [sys.executable, WATCHDOG], stdin=subprocess.PIPE, text=True
    )
    assert watchdog.stdin
    print(f"+{family.pid}\n+1000000000", file=watchdog.stdin, flush=True)
    wait_until(lambda: ignores_sigterm(watchdog.pid))
    watchdog.terminate()
    assert is_alive(child)

    watchdog.stdin.close()

    assert watchdog.wait(timeout=10) == 0
    assert family.wait(timeout=10) == -signal.SIGKILL
    wait_until(lambda: not is_alive(child))


def test_a_released_process_is_not_killed(family: subprocess.Popen[str]):
    subprocess.run(
        [sys.executable, WATCHDOG],
        input=f"+{family.pid}\n-{family.pid}\n",
        text=True,
        check=True,
    )

    assert family.poll() is None
    kill_trees({family.pid})
    family.wait()


def ignores_sigterm(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [ignored] = [line.split()[1] for line in lines if line.startswith("SigIgn:")]
    return bool(int(ignored, 16) & 1 << (signal.SIGTERM - 1))
