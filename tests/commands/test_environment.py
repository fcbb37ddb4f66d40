"""Tests that help needs no settings, and that a data folder has them."""

import click
import configparser
import pytest
import redis
from click.testing import CliRunner, Result
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from scheduler_api.cli import main
from scheduler_api.credentials import env_lines

SECRET_KEY = "a secret key of the tests"
SETUP = Path(__file__).parents[2] / "setup.cfg"


def run(environ: dict[str, str], *words: str) -> Result:
    unset = dict.fromkeys(("REDIS_URL", "SECRET_KEY", "PORT"))
    return CliRunner().invoke(main, words, env=unset | environ)


def paths(command: click.Command, *above: str) -> Iterator[tuple[str, ...]]:
    """The words of a command and of all commands below it."""
    yield above
    for name, each in getattr(command, "commands", {}).items():
        yield from paths(each, *above, name)


@pytest.fixture
def folder(valkey: str, tmp_path: Path) -> Path:
    """A data folder as `scheduler up` writes it."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    values = {"REDIS_URL": valkey, "SCHEDULER_API": "http://127.0.0.1:8123"}
    (tmp_path / "credentials.env").write_text(env_lines(values))
    (tmp_path / "secret.key").write_text(f"{SECRET_KEY}\n")
    return tmp_path


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("words", [*paths(main)], ids=" ".join)
def test_help_needs_no_settings(words: tuple[str, ...], option: str):
    result = run({}, *words, option)

    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")


def test_the_version_needs_no_settings():
    result = run({}, "--version")

    assert (result.exit_code, result.output[:10]) == (0, "scheduler ")


def test_the_console_script_is_the_same_command():
    config = configparser.ConfigParser()
    config.read(SETUP)
    scripts = config["options.entry_points"]["console_scripts"].strip()
    name, _, target = scripts.partition(" = ")
    module, _, function = target.partition(":")

    assert name == "scheduler"
    assert getattr(import_module(module), function) is main


def test_a_data_folder_has_the_settings(folder: Path):
    data = ("--data", str(folder))
    created = run({}, *data, "tenant", "create", "Ada", "--env")

    assert "JITER_URL=http://127.0.0.1:8123/api" in created.output
    assert "Ada" in run({}, *data, "tenant", "list").output


@pytest.mark.parametrize(
    ("environ", "code"),
    [
        ({"SECRET_KEY": SECRET_KEY}, 0),
        ({"SECRET_KEY": ""}, 0),
        ({"SECRET_KEY": "another key of the tests"}, 2),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, 2),
    ],
)
def test_a_variable_that_contradicts_the_data_folder_is_refused(
    folder: Path, environ: dict[str, str], code: int
):
    result = run(environ, "--data", str(folder), "tenant", "list")

    assert result.exit_code == code
    assert ("is set to another value than in" in result.output) == bool(code)


@pytest.mark.parametrize("name", ["credentials.env", "secret.key"])
def test_a_folder_that_is_no_data_folder_is_refused(folder: Path, name: str):
    (folder / name).unlink()
    result = run({}, "--data", str(folder), "tenant", "list")

    assert result.exit_code == 2
    assert f"has no {name}: `scheduler up` writes it" in " ".join(result.output.split())
