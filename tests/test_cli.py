"""Tests of the operator's command line on a real store."""

import base64
import click
import json
import pytest
import re
import redis
from click.testing import CliRunner, Result
from scheduler_api.cli import main
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.epoch import claim_database
from scheduler_api.core.store.records import GATE
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.tokens import FIRST, Access
from scheduler_api.dialects.outbound import SECRETS
from tests.commands.click_tree import commands
from tests.dialects.breakers import open_origin
from tests.sync_worker import new_sync_worker

SECRET_KEY = "a secret key of the tests"
LATER_MS = 1_900_000_000_000
PREFIX = "{s1}:"
# The words of all commands, and of the groups that they are in.
WORDS = sorted({words[:n] for words, _ in commands() for n in range(len(words) + 1)})
NEW_YORK, SPRING = "America/New_York", "2025-03-09T00:00:00-05:00"


@pytest.fixture
def environ(valkey: str) -> dict[str, str]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    return {"REDIS_URL": valkey, "SECRET_KEY": SECRET_KEY, "PORT": "9000"}


def run(environ: dict[str, str], *words: str) -> Result:
    return CliRunner().invoke(main, words, env=environ)


def hold(environ: dict[str, str], url: str, **fields: str | int) -> None:
    """Store a destination as held; `fields` are those of its gate."""
    gate = "d:7:abc.def"
    failure = {"url": url, "cause": "connection refused", "failed_ms": LATER_MS}
    stored = failure | {"since_ms": LATER_MS} | fields
    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        claim_database(client, PREFIX)
        client.hset(keys.held_destinations(PREFIX), gate, 1)
        by_code = {GATE.code(name): value for name, value in stored.items()}
        client.hset(keys.gate(PREFIX, gate), mapping=by_code)


def test_the_printed_token_belongs_to_the_new_tenant(environ: dict[str, str]):
    result = run(environ, "tenant", "create", "Ada")

    assert result.exit_code == 0
    lines = dict(line.split() for line in result.output.splitlines())
    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        tenants = Tenants(Cell(client, PREFIX), secret_key=SECRET_KEY, makers=SECRETS)
        assert tenants.tokens.find(lines["token"]) == Access(
            lines["tenant"], FIRST, read_only=False
        )


def test_create_prints_the_environment_of_clients(environ: dict[str, str]):
    result = run(environ, "tenant", "create", "Ada", "--env")

    lines = dict(line.split("=", 1) for line in result.output.splitlines())
    assert lines["JITER_URL"] == "http://127.0.0.1:9000/api"
    pair = json.loads(base64.b64decode(lines["QSTASH_TOKEN"]))
    assert pair == {"UserID": "1", "Password": lines["JITER_API_KEY"]}
    assert len(lines) == 10


def test_the_list_shows_names_but_no_token(environ: dict[str, str]):
    created = run(environ, "tenant", "create", "Ada").output
    token = created.split()[-1]

    result = run(environ, "tenant", "list")

    assert "Ada" in result.output
    assert token not in result.output


def test_a_wrong_setting_is_reported_in_one_line(environ: dict[str, str]):
    result = run(environ | {"PORT": "x"}, "tenant", "list")

    assert result.exit_code == 1
    assert result.output == (
        "Error: PORT: expected an integer from 1 to 65535, got 'x'\n"
    )


def test_an_unreachable_store_is_reported_in_one_line(environ: dict[str, str]):
    unreachable = environ | {"REDIS_URL": "redis://127.0.0.1:1/0"}

    result = run(unreachable, "tenant", "list")

    assert result.exit_code == 1
    assert result.output.startswith("Error: the store does not answer: ")
    assert result.output.endswith("refused; see `scheduler doctor`\n")
    assert len(result.output.splitlines()) == 1


def test_without_settings_it_says_where_they_come_from(environ: dict[str, str]):
    result = run({"REDIS_URL": "", "SECRET_KEY": ""}, "tenant", "list")

    assert result.exit_code == 1
    assert "use --data DIR" in result.output.splitlines()[-1]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_help_fits_into_80_columns_and_is_not_cut(words: tuple[str, ...]):
    result = CliRunner().invoke(main, [*words, "-h"], env={"COLUMNS": "80"})
    _usage, *lines = result.output.splitlines()

    assert result.exit_code == 0
    assert [line for line in lines if len(line) > 80 or line.endswith("...")] == []


@pytest.mark.parametrize(("words", "command"), [*commands()])
def test_every_option_is_explained(words: tuple[str, ...], command: click.Command):
    options = [each for each in command.params if isinstance(each, click.Option)]

    assert words and command.help
    assert [each.name for each in options if not each.help] == []


@pytest.mark.parametrize("name", ["", " ", "\t"])
def test_a_tenant_needs_a_name(environ: dict[str, str], name: str):
    result = run(environ, "tenant", "create", name)

    assert result.exit_code == 2
    assert "must not be empty" in result.output
    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        assert (
            Tenants(
                Cell(client, PREFIX), secret_key=SECRET_KEY, makers=SECRETS
            ).all_ids()
            == []
        )


def test_no_tenant_is_created_with_another_secret_key(
    environ: dict[str, str],
):
    run(environ, "tenant", "create", "Ada")
    result = run(
        environ | {"SECRET_KEY": "another key of tests"}, "tenant", "create", "Bob"
    )

    assert result.exit_code == 1
    expected = (
        "Error: SECRET_KEY: the secrets in the store were encrypted with another key.\n"
    )
    assert result.output == expected
    assert "Bob" not in run(environ, "tenant", "list").output


def test_a_preview_needs_no_environment():
    result = run({}, "cron", "30 2 * * *", "--tz", NEW_YORK, "--after", SPRING)

    assert result.exit_code == 0
    assert len(re.findall("[0-9]{2}:30:00", result.output)) == 8
    assert "2025-03-09 07:00:00" in result.output
    assert "moved here from 02:30" in " ".join(result.output.split())


def test_a_preview_shows_skipped_times():
    words = ("--gap", "skip", "--count", "1", "--tz", NEW_YORK, "--after", SPRING)
    result = run({}, "cron", "30 2 * * *", *words)

    assert "2025-03-10 06:30:00" in result.output
    assert "Sun 2025-03-09 02:30:00" in result.output


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\r"])
def test_an_invalid_expression_is_shown_with_the_position_of_its_error(blank: str):
    result = run({}, "cron", f"0{blank}61 * * *")

    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "Error: '61' is out of range: the hour goes from 0 to 23",
        "  0 61 * * *",
        "    ^",
    ]


def test_an_invalid_expression_sends_no_commands_to_the_terminal():
    result = run({}, "cron", "\x1b[31m * * * *")

    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--count", "0"), "'count' takes a number from 1 to 100, not '0'"),
        (("--tz", "Mars"), "unknown time zone 'Mars'"),
        (("--dialect", "jiter"), "a field for seconds is not supported here"),
    ],
)
def test_a_wrong_option_of_a_preview_is_reported(words: tuple[str, ...], message: str):
    result = run({}, "cron", "0 0 0 * * *", *words)

    assert result.exit_code == 1
    assert message in result.output


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"breaker": "1", "closed_until_ms": LATER_MS}, "open since 2030-03-17"),
        (
            {"breaker": "1", "closed_until_ms": LATER_MS, "probes_failed": 2},
            "probe failed since 2030-03-17",
        ),
        ({"breaker": "1", "closed_until_ms": LATER_MS}, "; next probe 2030-03-17"),
        ({"breaker": "1", "closed_until_ms": 1}, "half-open since 2030-03-17"),
        ({"breaker": "1", "closed_until_ms": 1}, "; next probe with the next event"),
        ({"breaker": "s"}, "slowed since 2030-03-17"),
        ({"breaker": "s", "ramp_since_ms": 1}, "half-open since 2030-03-17"),
    ],
)
def test_a_failing_destination_is_listed_with_state_and_cause(
    environ: dict[str, str], fields: dict[str, str | int], shown: str
):
    hold(environ, "https://shop.example/bad", **fields)

    result = run(environ, "destination", "list")

    assert result.exit_code == 0
    assert "https://shop.example/bad" in result.output
    assert shown in result.output
    assert "connection refused, at 2030-03-17" in result.output


@pytest.mark.parametrize(
    "url",
    [
        "http://[fd00::1]:9000",
        "https://shop.example/[/red]",
        "https://shop.example/[bold]",
    ],
)
def test_a_held_destination_is_listed_with_its_exact_url(
    environ: dict[str, str], url: str
):
    hold(environ, url)

    assert f" {url} " in run(environ, "destination", "list").output


def test_a_destination_that_a_breaker_holds_is_not_resumed(environ: dict[str, str]):
    run(environ, "tenant", "create", "Ada")
    url = "https://shop.example/orders"
    worker = new_sync_worker(redis.Redis.from_url(environ["REDIS_URL"]), PREFIX)
    open_origin(worker, "1", url)

    not_paused = run(environ, "destination", "resume", "1", url)
    run(environ, "destination", "pause", "1", url)
    resumed = run(environ, "destination", "resume", "1", url)

    assert not_paused.exit_code == 1
    assert "is not paused; a breaker holds https://failing.example/a (open)" in (
        not_paused.output
    )
    assert resumed.exit_code == 0
    assert (
        "is resumed; a breaker holds https://failing.example/a (open)" in resumed.output
    )


def test_a_destination_is_paused_listed_and_resumed(environ: dict[str, str]):
    run(environ, "tenant", "create", "Ada")
    url = "https://Shop.example/orders?key=secret"

    paused = run(environ, "destination", "pause", "1", url)
    listed = run(environ, "destination", "list")
    resumed = run(environ, "destination", "resume", "1", url)

    assert paused.output == "https://shop.example:443 of tenant 1 is paused\n"
    assert "https://shop.example:443" in listed.output
    assert "paused since" in listed.output
    assert "secret" not in listed.output
    assert resumed.output == "https://shop.example:443 of tenant 1 is resumed\n"
    assert "closed" in run(environ, "destination", "list").output


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("pause", "9", "https://a.example/"), 2, "there is no tenant 9"),
        (("pause", "1", "a.example"), 2, "URL must start with http:// or https://"),
        (("resume", "1", "https://a.example/"), 1, "443 of tenant 1 is not paused"),
    ],
)
def test_wrong_arguments_of_destination_commands_are_reported(
    environ: dict[str, str], words: tuple[str, ...], code: int, message: str
):
    run(environ, "tenant", "create", "Ada")

    result = run(environ, "destination", *words)

    assert result.exit_code == code
    assert message in " ".join(result.output.split())


def test_limits_of_a_tenant_are_shown_and_changed_and_recorded(environ: dict[str, str]):
    run(environ, "tenant", "create", "Ada")
    environ = environ | {"SCHED_TENANT_PENDING_EVENTS": "7"}
    limits = ("tenant", "limits", "1")

    def shown(*words: str) -> dict[str, list[str]]:
        result = run(environ, *limits, *words)
        assert result.exit_code == 0, result.output
        _, *rows = re.findall(r"^(\S+) +(\S+) +(\S+ \S+) +(\S+)", result.output, re.M)
        return {name: rest for name, *rest in rows}

    assert shown() == {
        "requests_per_s": ["none", "all tenants", "-"],
        "pending_events": ["7", "all tenants", "0"],
        "stored_bytes": ["none", "all tenants", "-"],
    }
    changed = shown("--pending-events", "0", "--stored-bytes", "1000")
    assert changed["pending_events"] == ["none", "this tenant", "0"]
    assert changed["stored_bytes"] == ["1000", "this tenant", "0"]
    assert shown("--pending-events", "default")["pending_events"][0] == "7"
    assert "tenant.limits" in run(environ, "audit", "list", "--tenant", "1").output


@pytest.mark.parametrize("value", ["-1", "x", "", "1.5", "9" * 16, "٣"])
def test_a_limit_that_is_no_number_is_refused(environ: dict[str, str], value: str):
    run(environ, "tenant", "create", "Ada")

    result = run(environ, "tenant", "limits", "1", f"--requests-per-s={value}")

    assert result.exit_code == 2
    assert "expected a number" in result.output


def test_r31_an_operator_accepts_a_step_of_the_stores_clock(environ: dict[str, str]):
    without_step = run(environ, "accept-clock")
    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        client.set(keys.clock_step(PREFIX), "1000 301000")
        result = run(environ, "accept-clock")
        left = client.exists(keys.clock_step(PREFIX))

    assert (without_step.exit_code, result.exit_code, left) == (1, 0, 0)
    assert "no step" in without_step.output
