"""The operator's command line, on a real store."""

import pytest
import redis
from click.testing import CliRunner, Result
from scheduler_api.cli import main
from scheduler_api.core.tenants import Tenant, Tenants

SECRET_KEY = "a secret key of the tests"


@pytest.fixture
def environ(valkey: str) -> dict[str, str]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    return {"REDIS_URL": valkey, "SECRET_KEY": SECRET_KEY, "PORT": "9000"}


def run(environ: dict[str, str], *words: str) -> Result:
    return CliRunner().invoke(main, words, env=environ)


def test_a_tenant_made_here_is_known_to_the_cell(environ: dict[str, str]):
    result = run(environ, "tenant", "create", "Ada")

    assert result.exit_code == 0
    lines = dict(line.split() for line in result.output.splitlines())
    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        tenants = Tenants(client, "{s1}:", secret_key=SECRET_KEY)
        assert tenants.by_token(lines["token"]) == Tenant(lines["tenant"])


def test_its_clients_get_their_environment(environ: dict[str, str]):
    result = run(environ, "tenant", "create", "Ada", "--env")

    lines = dict(line.split("=", 1) for line in result.output.splitlines())
    assert lines["JITER_URL"] == "http://127.0.0.1:9000/api"
    assert lines["JITER_API_KEY"] == lines["QSTASH_TOKEN"]
    assert len(lines) == 10


def test_the_list_shows_names_and_no_secret(environ: dict[str, str]):
    created = run(environ, "tenant", "create", "Ada").output
    token = created.split()[-1]

    result = run(environ, "tenant", "list")

    assert "Ada" in result.output
    assert token not in result.output


def test_a_wrong_environment_is_one_line(environ: dict[str, str]):
    result = run(environ | {"PORT": "x"}, "tenant", "list")

    assert result.exit_code == 1
    assert result.output == (
        "Error: PORT: expected a whole number from 1 to 65535, got 'x'\n"
    )


def test_a_store_that_is_away_is_one_line(environ: dict[str, str]):
    away = environ | {"REDIS_URL": "redis://127.0.0.1:1/0"}

    result = run(away, "tenant", "list")

    assert result.exit_code == 1
    assert result.output.startswith("Error: the store does not answer: ")
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize("name", ["", " ", "\t"])
def test_a_tenant_has_a_name(environ: dict[str, str], name: str):
    result = run(environ, "tenant", "create", name)

    assert result.exit_code == 2
    assert "what do you call this tenant?" in result.output
    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        assert Tenants(client, "{s1}:", secret_key=SECRET_KEY).all_ids() == []


def test_a_tenant_is_not_made_under_another_key_than_the_stores(
    environ: dict[str, str],
):
    run(environ, "tenant", "create", "Ada")
    result = run(
        environ | {"SECRET_KEY": "another key of tests"}, "tenant", "create", "Bob"
    )

    assert result.exit_code == 1
    told = "Error: SECRET_KEY: the store's secrets were written under another one.\n"
    assert result.output == told
    assert "Bob" not in run(environ, "tenant", "list").output
