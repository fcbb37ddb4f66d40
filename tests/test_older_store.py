"""Tests that a store of another version is refused, and that a command empties it."""

import logging
import os
import pytest
import redis
import subprocess
import sys
from click.testing import CliRunner, Result
from collections.abc import Callable, Iterator
from pathlib import Path
from scheduler_api.app import BOOT_FAILED, create_app
from scheduler_api.cli import main
from scheduler_api.core.errors import UnknownLayout
from scheduler_api.core.store import keys, layout
from scheduler_api.settings import Settings
from tests.procfile import PROCFILE, ROOT
from workers import chores
from workers.deliver import deliver

PREFIX = "{s1}:"
SECRET_KEY = "a secret key of the tests"
EMPTY_STORE = "`scheduler empty-store`"
CHORES = (
    *(chores.retention, chores.check, chores.failures, chores.libraries),
    *(chores.encryption, chores.dead_letters),
)


@pytest.fixture
def older(valkey: str) -> Iterator[redis.Redis]:
    """A store from a version that did not record a layout number."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        client.set(keys.DATABASE_CELL, PREFIX)
        client.set(f"{PREFIX}{layout.OLDER_KEYS[0]}", 7)
        yield client
        client.flushall()


@pytest.fixture
def environ(valkey: str, free_port: int) -> dict[str, str]:
    """The environment of a process that uses the store."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REDIS_URL": valkey,
        "SECRET_KEY": SECRET_KEY,
        "PORT": str(free_port),
        # Use one worker: if two workers exit at the same time, the exit code of
        # gunicorn varies.
        "SCHED_WEB_WORKERS": "1",
        "SCHED_ALLOW_NO_PERSISTENCE": "true",
    }


def run(environ: dict[str, str], *arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(main, arguments, env=environ, input=answer)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "code"), [("web", BOOT_FAILED), ("ticker", 1), ("worker", 1)]
)
def test_a_process_exits_and_prints_the_reason(
    older: redis.Redis, environ: dict[str, str], role: str, code: int
):
    result = subprocess.run(
        ["sh", "-c", f"exec {PROCFILE[role]}"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == code
    assert "the store has layout none" in result.stderr
    assert EMPTY_STORE in result.stderr
    assert older.get(keys.layout(PREFIX)) is None


@pytest.mark.usefixtures("older")
def test_the_application_ends_its_process_and_logs_the_reason(
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(logging.root, "handlers", [caplog.handler])

    with pytest.raises(SystemExit) as end:
        create_app()

    assert end.value.code == BOOT_FAILED
    [logged] = [r.getMessage() for r in caplog.records if r.levelname == "CRITICAL"]
    assert EMPTY_STORE in logged


def test_a_running_web_process_is_not_ready_on_an_older_store(
    older: redis.Redis, valkey: str
):
    for role in ("ticker", "worker"):
        older.set(keys.alive(PREFIX, role), 1)
    app = create_app(Settings(redis_url=valkey, secret_key=SECRET_KEY))

    answer = app.test_client().get("/readyz")

    assert answer.status_code == 503
    [missing] = answer.get_json()["missing"]
    assert EMPTY_STORE in missing


@pytest.mark.usefixtures("older")
@pytest.mark.parametrize(
    "arguments",
    [
        ("fsck",),
        ("tenant", "list"),
        ("tenant", "create", "Ada"),
        ("destination", "list"),
        ("destination", "pause", "1", "https://shop.example/"),
    ],
    ids=" ".join,
)
def test_a_command_is_refused_with_one_line(
    environ: dict[str, str], arguments: tuple[str, ...]
):
    result = run(environ, *arguments)

    assert result.exit_code == 1
    assert result.output.startswith("Error: the store has layout none")
    assert result.output.endswith(f"{EMPTY_STORE}\n")
    assert len(result.output.splitlines()) == 1


@pytest.mark.usefixtures("older")
@pytest.mark.parametrize("chore", CHORES)
def test_no_chore_runs_on_an_older_store(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, chore: Callable[[], int]
):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(UnknownLayout, match=EMPTY_STORE):
        chore()


@pytest.mark.usefixtures("older")
def test_a_stock_worker_delivers_nothing_from_an_older_store(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(UnknownLayout, match=EMPTY_STORE):
        deliver(["1"], [], False)


def test_the_page_shows_the_refusal_as_it_is_printed():
    refusal = UnknownLayout(str(layout.LAYOUT + 1), layout.LAYOUT)

    assert f"Error: {refusal}\n" in (ROOT / "docs" / "upgrade.md").read_text()


def test_a_store_emptied_after_confirmation_is_usable(
    older: redis.Redis, environ: dict[str, str]
):
    older.set("{s2}:seq", 9)
    result = run(environ, "empty-store", answer="y\n")

    assert result.exit_code == 0
    question = "Delete all data of the cell s1? [y/N]: "
    assert result.output == f"{question}y\ndeleted 1 keys\n"
    assert run(environ, "tenant", "create", "Ada").exit_code == 0
    assert older.get("{s2}:seq") == b"9"


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_confirmation_nothing_is_deleted(
    older: redis.Redis, environ: dict[str, str], answer: str
):
    result = run(environ, "empty-store", answer=answer)

    assert result.exit_code == 1
    assert older.exists(f"{PREFIX}{layout.OLDER_KEYS[0]}")
    assert older.get(keys.layout(PREFIX)) is None


def test_the_option_yes_skips_the_confirmation(
    older: redis.Redis, environ: dict[str, str]
):
    result = run(environ, "empty-store", "--yes")

    assert (result.exit_code, result.output) == (0, "deleted 1 keys\n")
    assert [*older.scan_iter(f"{PREFIX}*")] == [keys.layout(PREFIX).encode()]
    assert older.get(keys.layout(PREFIX)) == str(layout.LAYOUT).encode()


def test_a_store_of_a_newer_version_can_be_emptied_too(
    older: redis.Redis, environ: dict[str, str]
):
    older.set(keys.layout(PREFIX), layout.LAYOUT + 1)
    refused = run(environ, "tenant", "list")

    emptied = run(environ, "empty-store", "--yes")

    assert f"has layout {layout.LAYOUT + 1}" in refused.output
    assert emptied.exit_code == 0
    assert run(environ, "tenant", "list").exit_code == 0
