"""The watchdog ends what it guards when its pipe closes, children included."""

import os
import pytest
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from watchdog import descendants, kill_trees

WATCHDOG = Path(__file__).parents[2] / "scripts" / "watchdog.py"
# A shell with a child in a process group of its own, as RQ's work horses are.
# It reads, since `wait` also returns when the child is only stopped.
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


def test_a_killed_tree_leaves_no_grandchild(
    family: subprocess.Popen[str], wait_until: Callable[..., None]
):
    [child] = descendants({family.pid})

    kill_trees({family.pid})

    assert family.wait() == -signal.SIGKILL
    wait_until(lambda: not is_alive(child))


def test_it_outlives_signals_and_acts_when_the_pipe_closes(
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


def test_what_was_released_lives_on(family: subprocess.Popen[str]):
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
