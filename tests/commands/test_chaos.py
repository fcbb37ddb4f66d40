"""Tests that `chaos` runs the script of a checkout, and exists nowhere else."""

import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "scheduler_api"


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line of a folder, in which `-m` finds it first."""
    return subprocess.run(
        [sys.executable, "-m", "scheduler_api", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_chaos_is_a_command_of_a_checkout_only(tmp_path: Path):
    (tmp_path / "scheduler_api").symlink_to(PACKAGE)
    installed = run(tmp_path, "chaos")
    script = tmp_path / "scripts" / "chaos"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "$@"\n')
    script.chmod(0o755)
    checkout = run(tmp_path, "chaos", "--rule", "R-01", "kill-worker")

    assert installed.returncode == 2
    assert "No such command 'chaos'" in installed.stderr
    assert checkout.stdout == "--rule R-01 kill-worker\n"
