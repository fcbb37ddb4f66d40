"""Tests of `audit list`, and that the command line records its changes."""

import pytest
import redis
from click.testing import CliRunner, Result
from scheduler_api.cli import main


@pytest.fixture
def environ(valkey: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    return {"REDIS_URL": valkey, "SECRET_KEY": "x" * 16, "COLUMNS": "250"}


def run(environ: dict[str, str], words: str) -> Result:
    result = CliRunner().invoke(main, words.split(), env=environ)
    assert result.exit_code == 0, result.output
    return result


def test_changes_of_a_tenant_are_listed_newest_first(environ: dict[str, str]):
    run(environ, "tenant create Ada")
    token = run(environ, "token create [ci] --tenant 1").output.split()[1]
    run(environ, "token rotate [ci] --tenant 1")
    run(environ, "token revoke [ci] --tenant 1")
    run(environ, "destination pause 1 https://shop.example/orders?key=secret")
    run(environ, "destination resume 1 https://shop.example/")

    listed = run(environ, "audit list --tenant 1").output
    rows = [line.split("│") for line in listed.splitlines() if "ada" in line]

    assert [(row[3].strip(), row[4].strip()) for row in rows] == [
        ("destination.resume", "https://shop.example:443"),
        ("destination.pause", "https://shop.example:443"),
        ("token.revoke", "[ci]"),
        ("token.rotate", "[ci]"),
        ("token.create", "[ci]"),
        ("tenant.create", "1"),
    ]
    assert {row[2].strip() for row in rows} == {"command line (ada)"}
    assert token not in listed and "secret" not in listed
    assert [row[5].strip() for row in rows[2::3]] == ['{"read_only":false}', "null"]


def test_changes_of_operator_s_tokens_are_in_a_log_of_their_own(
    environ: dict[str, str],
):
    run(environ, "tenant create Ada")
    run(environ, "token create ops --operator")

    assert "token.create" in run(environ, "audit list").output
    assert "token.create" not in run(environ, "audit list --tenant 1").output
