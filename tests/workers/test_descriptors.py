"""Tests of the limit of open files that a worker needs."""

import pytest
import subprocess
import sys

RESERVE = """
import resource
from workers.descriptors import TooFewDescriptors, reserve
try:
    print(reserve({window}), resource.getrlimit(resource.RLIMIT_NOFILE))
except TooFewDescriptors as err:
    print(err)
"""


def reserve(window: int, *, soft: int, hard: int) -> str:
    """What a process with these limits prints."""
    limited = 'ulimit -S -n "$1"; ulimit -H -n "$2"; shift 2; exec "$@"'
    command = [sys.executable, "-c", RESERVE.format(window=window)]
    shell = ["bash", "-c", limited, "bash", str(soft), str(hard)]
    done = subprocess.run(
        [*shell, *command], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one():
    assert reserve(100, soft=64, hard=1_000) == "800 (1000, 1000)"


@pytest.mark.parametrize("window", [100, 1_000])
def test_a_window_that_needs_more_open_files_is_refused_by_name(window: int):
    needed = 2 * window + 200

    assert reserve(window, soft=128, hard=needed - 1) == (
        f"SCHED_WINDOW={window} needs {needed} open files, and the limit is"
        f" {needed - 1}: raise it with ulimit -n, or lower SCHED_WINDOW"
    )
