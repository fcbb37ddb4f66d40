"""Tests of the commands that list, retry and delete dead letters."""

import os
import pty
import pytest
import re
import redis
import subprocess
import sys
from click.testing import CliRunner, Result
from scheduler_api.cli import main
from scheduler_api.core.model import Content, Draft, Owner, State
from scheduler_api.core.queries.letters import LetterCount, LetterFilter
from scheduler_api.core.recovery.letter_jobs import Action, LetterJobs
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.epoch import claim_database
from scheduler_api.core.store.events import EventStore
from tests.dialects.engine import Engine

PREFIX = "{s1}:"
SECRET_KEY = "a secret key of the tests"


@pytest.fixture
def client(valkey: str) -> redis.Redis:
    client = redis.Redis.from_url(valkey)
    client.flushall()
    claim_database(client, PREFIX)
    return client


@pytest.fixture
def environ(valkey: str, client: redis.Redis) -> dict[str, str]:
    """The environment of a store with a tenant that has three dead letters."""
    environ = {"REDIS_URL": valkey, "SECRET_KEY": SECRET_KEY}
    run(environ, "tenant", "create", "Ada")
    store, engine = EventStore(Cell(client, PREFIX)), Engine(client, PREFIX)
    for url, status in (("https://a/", 500), ("https://a/", 404), ("https://b/", 500)):
        event = store.create(Owner("1", "jiter"), Draft(Content(url, b"x"), 1_000))
        engine.settle(engine.begin(event.id), "dead", status=status)
    return environ


def run(environ: dict[str, str], *words: str, answer: str = "") -> Result:
    return CliRunner().invoke(main, words, env=environ, input=answer)


def letters(environ: dict[str, str], command: str, *words: str) -> Result:
    return run(environ, "dead-letters", command, "--tenant", "1", *words)


def count(client: redis.Redis, state: State) -> int:
    return client.zcard(keys.by_time(PREFIX, "1:jiter", state))


def test_the_list_says_why_letters_failed(environ: dict[str, str]):
    every = letters(environ, "list").output
    some = letters(environ, "list", "--url", "https://a/", "--cause", "5xx").output

    assert every.count("the destination answered 500") == 2
    assert every.count("https://") == 3
    assert (some.count("https://a/"), some.count("https://")) == (1, 1)
    assert letters(environ, "list", "--count", "2").output.count("https://") == 2


def test_a_dry_run_only_counts(environ: dict[str, str], client: redis.Redis):
    result = letters(environ, "retry", "--cause", "500", "--dry-run")

    assert result.output == "2 dead letters match\n"
    assert count(client, State.DEAD) == 3
    assert LetterJobs(Cell(client, PREFIX)).all_of("1") == []


def test_retry_asks_and_sends_again_what_matches(
    environ: dict[str, str], client: redis.Redis
):
    words = ("dead-letters", "retry", "--tenant", "1", "--cause", "500")
    refused = run(environ, *words, answer="n\n")
    before = count(client, State.DEAD)
    result = run(environ, *words, answer="y\n")

    assert (refused.exit_code, before) == (1, 3)
    assert refused.output.startswith("2 dead letters match\nRetry them? [y/N]: n\n")
    assert result.output.endswith("done: 2\n")
    assert (count(client, State.DEAD), count(client, State.ACTIVE)) == (1, 2)


def test_delete_removes_what_matches(environ: dict[str, str], client: redis.Redis):
    result = letters(environ, "delete", "--yes", "--rate", "1000")

    assert result.output.endswith("done: 3\n")
    assert (count(client, State.DEAD), count(client, State.ACTIVE)) == (0, 0)
    assert "command line" in letters(environ, "jobs").output


def test_a_terminal_shows_the_progress(environ: dict[str, str]):
    command = ("-m", "scheduler_api", "dead-letters", "delete", "--yes", "--tenant")
    terminal, stderr = pty.openpty()
    subprocess.run(
        [sys.executable, *command, "1"],
        env=os.environ | environ,
        stderr=stderr,
        check=True,
    )
    os.close(stderr)

    assert re.search(r"delete +\[#+\] +3/3", os.read(terminal, 10_000).decode())


def test_a_full_store_leaves_the_job_to_the_chores(
    environ: dict[str, str], client: redis.Redis
):
    client.set(keys.full(PREFIX), "1")
    result = letters(environ, "retry", "--yes")

    assert result.exit_code == 1
    assert "The store is full" in result.output
    assert count(client, State.DEAD) == 3


def test_a_job_is_stopped_once(environ: dict[str, str], client: redis.Redis):
    job = LetterJobs(Cell(client, PREFIX)).create(
        *("1", Action.RETRY, LetterFilter()),
        rate=1,
        expected=LetterCount(3, 3),
        by="test",
    )
    results = [letters(environ, "stop", job.id) for _ in range(2)]

    assert [result.exit_code for result in results] == [0, 1]
    assert "stopped" in letters(environ, "jobs").output
    assert letters(environ, "stop", "none").exit_code == 1


@pytest.mark.parametrize(
    "words",
    [("--from", "x"), ("--rate", "0"), ("--rate", "1001"), ("--tenant", "9")],
)
def test_wrong_options_change_nothing(
    environ: dict[str, str], client: redis.Redis, words: tuple[str, str]
):
    assert letters(environ, "delete", "--yes", *words).exit_code == 2
    assert count(client, State.DEAD) == 3
