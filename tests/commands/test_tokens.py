"""Tests of the commands for tokens, on a real store."""

import pytest
import redis
from click.testing import CliRunner, Result
from scheduler_api.cli import main
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.tokens import Access, Tokens

PREFIX = "{s1}:"


@pytest.fixture
def environ(valkey: str) -> dict[str, str]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    environ = {"REDIS_URL": valkey, "SECRET_KEY": "x" * 16}
    run(environ, "tenant create Ada")
    return environ


def run(environ: dict[str, str], words: str) -> Result:
    return CliRunner().invoke(main, words.split(), env=environ)


def access(environ: dict[str, str], printed: str) -> Access | None:
    """What a printed token allows."""
    _, _, token = printed.strip().partition(" ")
    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        return Tokens(Cell(client, PREFIX)).find(token)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--tenant 1", Access("1", "ci", read_only=False)),
        ("--tenant 1 --read-only", Access("1", "ci", read_only=True)),
        ("--operator", Access(None, "ci", read_only=False)),
        ("--operator --read-only", Access(None, "ci", read_only=True)),
    ],
)
def test_a_token_is_created_listed_rotated_and_revoked(
    environ: dict[str, str], options: str, expected: Access
):
    holder = options.removesuffix("--read-only")
    created = run(environ, f"token create ci {options}").output
    rotated = run(environ, f"token rotate ci {holder}").output
    listed = run(environ, f"token list {holder}").output

    assert access(environ, created) == access(environ, rotated) == expected
    assert [line.split()[0] for line in listed.splitlines()].count("ci") == 2
    assert listed.count(" reads ") == (2 if expected.read_only else 0)
    revoked = run(environ, f"token revoke ci {holder}")
    assert revoked.output == "token ci is revoked; it is refused within 5 seconds\n"
    assert access(environ, created) is access(environ, rotated) is None
    for printed in (created, rotated):
        assert printed.split()[1] not in listed


def test_a_name_is_listed_as_it_was_given(environ: dict[str, str]):
    run(environ, "token create [red]x[/red] --tenant 1")
    run(environ, "tenant create [bold]b[/bold]")

    assert "[red]x[/red]" in run(environ, "token list --tenant 1").output
    assert "[bold]b[/bold]" in run(environ, "tenant list").output


def test_a_rotation_ends_the_old_token_at_once_on_request(environ: dict[str, str]):
    created = run(environ, "token create ci --tenant 1").output
    run(environ, "token rotate ci --tenant 1 --now")

    assert access(environ, created) is None


def test_a_new_token_is_printed_as_the_environment_of_clients(environ: dict[str, str]):
    result = run(environ, "token create ci --tenant 1 --env")

    lines = dict(line.split("=", 1) for line in result.output.splitlines())
    for name in ("JITER_API_KEY", "QSTASH_TOKEN", "SCHEDULER_API_TOKEN"):
        assert access(environ, f"token {lines[name]}") == Access("1", "ci", False)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("create ci", 2, "give either --tenant ID or --operator"),
        ("create ci --tenant 1 --operator", 2, "give either --tenant ID or --operator"),
        ("create ci --operator --env", 2, "--env needs --tenant"),
        ("create ci --tenant 9", 2, "there is no tenant 9: see `tenant list`"),
        ("create first --tenant 1", 1, "there is a token first already"),
        ("create \x07 --tenant 1", 2, "a name has up to 64 printable characters"),
        (f"create {'x' * 65} --tenant 1", 2, "a name has up to 64 printable"),
        ("rotate ci --tenant 1", 1, "there is no token ci: see `token list`"),
        ("revoke first --operator", 1, "there is no token first: see `token list`"),
    ],
)
def test_a_wrong_use_of_the_commands_is_reported(
    environ: dict[str, str], words: str, code: int, message: str
):
    result = run(environ, f"token {words}")

    assert result.exit_code == code
    assert message in result.output
