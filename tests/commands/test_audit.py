"""Tests of `audit list`, and that the command line records its changes."""

import pytest
import re
import redis
from click.testing import CliRunner, Result
from scheduler_api.cli import main


@pytest.fixture
def environ(valkey: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    return {"REDIS_URL": valkey, "SECRET_KEY": "x" * 16}


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
    lines = [line.partition(" ") for line in listed.splitlines()]
    times, changes = [line[0] for line in lines], [line[2] for line in lines]

    origin, paused = '"https://shop.example:443"', '{"paused":true}'
    assert [each for each in changes if "rotate" not in each] == [
        f"command line (ada): {change}"
        for change in (
            f'destination.resume {origin} {paused} -> {{"paused":false}}',
            f"destination.pause {origin} null -> {paused}",
            'token.revoke "[ci]" {"read_only":false} -> null',
            'token.create "[ci]" null -> {"read_only":false}',
            'tenant.create "1" null -> {"name":"Ada"}',
        )
    ]
    assert re.match(r'.*: token.rotate "\[ci\]" .*"old_until":"20', changes[3])
    assert times == sorted(times, reverse=True)
    assert token not in listed and "secret" not in listed


def test_changes_of_operator_s_tokens_are_in_a_log_of_their_own(
    environ: dict[str, str],
):
    run(environ, "tenant create Ada")
    run(environ, "token create ops --operator")

    assert "token.create" in run(environ, "audit list").output
    assert "token.create" not in run(environ, "audit list --tenant 1").output


def test_an_accepted_store_is_in_the_operators_log(environ: dict[str, str]):
    epoch = run(environ, "accept-store").output.split()[2].rstrip(";")

    [line] = run(environ, "audit list").output.splitlines()

    assert f'command line (ada): store.accept "{epoch}" null' in line
