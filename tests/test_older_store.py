"""A store that another version wrote: whatever starts refuses it and tells a way on."""

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
from workers import chores
from workers.deliver import deliver

ROOT = Path(__file__).parents[1]
LINES = dict(
    line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines()
)
PREFIX = "{s1}:"
SECRET_KEY = "a secret key of the tests"
WAY_ON = "`python -m scheduler_api empty-store`"
CHORES = (chores.retention, chores.check, chores.failures, chores.libraries)


@pytest.fixture
def older(valkey: str) -> Iterator[redis.Redis]:
    """A store from before layouts had numbers."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        client.set(keys.DATABASE_CELL, PREFIX)
        client.set(f"{PREFIX}{layout.OLDER[0]}", 7)
        yield client
        client.flushall()


@pytest.fixture
def environ(valkey: str, free_port: int) -> dict[str, str]:
    """What a process on that store is started with."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"REDIS_URL": valkey, "SECRET_KEY": SECRET_KEY, "PORT": str(free_port)}
    return {"PATH": path, **own}


def run(environ: dict[str, str], *words: str, answer: str = "") -> Result:
    return CliRunner().invoke(main, words, env=environ, input=answer)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "code"), [("web", BOOT_FAILED), ("ticker", 1), ("worker", 1)]
)
def test_a_process_ends_and_says_why(
    older: redis.Redis, environ: dict[str, str], role: str, code: int
):
    ended = subprocess.run(
        ["sh", "-c", f"exec {LINES[role]}"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == code
    assert "the store is in layout none" in ended.stderr
    assert WAY_ON in ended.stderr
    assert older.get(keys.layout(PREFIX)) is None


@pytest.mark.usefixtures("older")
def test_the_application_ends_its_process_and_says_why(
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
    [told] = [r.getMessage() for r in caplog.records if r.levelname == "CRITICAL"]
    assert WAY_ON in told


def test_a_web_process_that_met_it_later_is_not_ready(older: redis.Redis, valkey: str):
    for role in ("ticker", "worker"):
        older.set(keys.alive(PREFIX, role), 1)
    app = create_app(Settings(redis_url=valkey, secret_key=SECRET_KEY))

    answer = app.test_client().get("/readyz")

    assert answer.status_code == 503
    [missing] = answer.get_json()["missing"]
    assert WAY_ON in missing


@pytest.mark.usefixtures("older")
@pytest.mark.parametrize(
    "words",
    [
        *(("fsck",), ("held",), ("tenant", "list"), ("tenant", "create", "Ada")),
        ("destination", "pause", "1", "https://shop.example/"),
    ],
    ids=" ".join,
)
def test_a_command_is_refused_in_one_line(
    environ: dict[str, str], words: tuple[str, ...]
):
    result = run(environ, *words)

    assert result.exit_code == 1
    assert result.output.startswith("Error: the store is in layout none")
    assert result.output.endswith(f"{WAY_ON}\n")
    assert len(result.output.splitlines()) == 1


@pytest.mark.usefixtures("older")
@pytest.mark.parametrize("chore", CHORES)
def test_no_chore_touches_it(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, chore: Callable[[], int]
):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(UnknownLayout, match=WAY_ON):
        chore()


@pytest.mark.usefixtures("older")
def test_a_stock_worker_delivers_nothing_from_it(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(UnknownLayout, match=WAY_ON):
        deliver(["1"], [], False)


def test_emptied_after_a_yes_it_can_be_started_on(
    older: redis.Redis, environ: dict[str, str]
):
    older.set("{s2}:seq", 9)
    result = run(environ, "empty-store", answer="y\n")

    assert result.exit_code == 0
    question = "Delete all that the cell s1 holds? [y/N]: "
    assert result.output == f"{question}y\ndeleted 1 keys\n"
    assert run(environ, "tenant", "create", "Ada").exit_code == 0
    assert older.get("{s2}:seq") == b"9"


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_deleted(
    older: redis.Redis, environ: dict[str, str], answer: str
):
    result = run(environ, "empty-store", answer=answer)

    assert result.exit_code == 1
    assert older.exists(f"{PREFIX}{layout.OLDER[0]}")
    assert older.get(keys.layout(PREFIX)) is None


def test_emptied_with_the_option_it_is_not_asked_for(
    older: redis.Redis, environ: dict[str, str]
):
    result = run(environ, "empty-store", "--yes")

    assert (result.exit_code, result.output) == (0, "deleted 1 keys\n")
    assert [*older.scan_iter(f"{PREFIX}*")] == [keys.layout(PREFIX).encode()]
    assert older.get(keys.layout(PREFIX)) == str(layout.LAYOUT).encode()


def test_a_store_of_a_later_version_can_be_emptied_too(
    older: redis.Redis, environ: dict[str, str]
):
    older.set(keys.layout(PREFIX), layout.LAYOUT + 1)
    refused = run(environ, "tenant", "list")

    emptied = run(environ, "empty-store", "--yes")

    assert f"in layout {layout.LAYOUT + 1}" in refused.output
    assert emptied.exit_code == 0
    assert run(environ, "tenant", "list").exit_code == 0
