"""Tests of the command that publishes webhooks, through a web application."""

import json
import pytest
from click.testing import CliRunner
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from scheduler_api.cli import main
from tests.commands.web_site import Site, serve
from typing import Any

URL = "https://example.com/orders?a=1"


@pytest.fixture
def site(
    valkey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    with serve(valkey, tmp_path / "body.json", monkeypatch) as site:
        yield site


def request_of(site: Site, output: str) -> Any:
    """Return the stored message whose id a command has printed."""
    return site.get(f"/v2/messages/{output.split()[1].rstrip(',')}")


def test_an_event_is_published_with_method_headers_and_body(site: Site):
    site.file.write_bytes(b'{"a": 1}\n')
    result = site.run(
        f"publish {URL} -X put -H X-Order:7 -H Content-Type:application/json"
        f" -H Upstash-Timeout:30s -d @{site.file} --label vip --retries 2"
    )
    stored = request_of(site, result.output)

    assert result.exit_code == 0
    assert result.output.startswith("message msg_")
    assert ", due 20" in result.output
    assert (stored["url"], stored["method"], stored["body"]) == (
        *(URL, "PUT"),
        '{"a": 1}\n',
    )
    assert stored["header"]["X-Order"] == ["7"]
    assert stored["header"]["Content-Type"] == ["application/json"]
    assert (stored["labels"], stored["maxRetries"]) == (["vip"], 2)


@pytest.mark.parametrize(
    ("words", "due"),
    [
        ("--delay 10m", "due 20"),
        ("--cron @hourly", "first run 20"),
        ("--queue orders", "due 20"),
    ],
)
def test_it_says_when_an_event_is_due(site: Site, words: str, due: str):
    result = site.run(f"publish {URL} {words}")

    assert result.exit_code == 0, result.output
    assert f", {due}" in result.output


def test_an_event_is_due_at_the_time_that_is_given(site: Site):
    at = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"

    assert site.run(f"publish {URL} --at {at}").output.endswith(f", due {at}\n")


def test_a_body_comes_from_standard_input(site: Site):
    result = site.run(f"publish {URL} -d @-", "from a pipe\n")

    assert request_of(site, result.output)["body"] == "from a pipe\n"


def test_what_was_published_is_one_json_document(site: Site):
    words = f"publish {URL} --delay 1h --json -H Upstash-Deduplication-Id:d1"
    first, second = (json.loads(site.run(words).stdout) for _ in range(2))

    assert first["published"][0]["isDuplicate"] is False
    assert second["published"] == [first["published"][0] | {"isDuplicate": True}]


def test_a_refusal_has_the_message_of_the_api(site: Site):
    result = site.run(f"publish {URL} --delay 3x")

    assert (result.exit_code, result.output) == (
        1,
        "Error: Upstash-Delay should be a duration such as 10s or 1d10h30m, not '3x'\n",
    )


def test_a_header_without_effect_is_named(site: Site):
    result = site.run(f"publish {URL} -H Upstash-Delays:3s")

    assert result.exit_code == 0
    assert result.stderr == "without effect: Upstash-Delays (Upstash-Delay?)\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-H nothing", "'nothing' should be 'Name: value'"),
        ("-d @/nowhere", "/nowhere cannot be read"),
        ("--at soon", "a time looks like 2027-03-01T12:00:00Z"),
        ("--at 2090-03-01T12:00:00Z --delay 1h", "give one of --delay, --at"),
    ],
)
def test_wrong_use_sends_nothing(words: str, message: str):
    # If something were sent, the exit code would be 1: no server listens there.
    environ = {"QSTASH_URL": "http://127.0.0.1:1", "QSTASH_TOKEN": "x"}
    result = CliRunner().invoke(main, f"publish {URL} {words}".split(), env=environ)

    assert result.exit_code == 2
    assert message in result.output


def test_without_a_token_it_says_where_to_get_one():
    result = CliRunner().invoke(main, ["publish", URL], env={"QSTASH_TOKEN": ""})

    assert result.exit_code == 1
    assert "QSTASH_TOKEN must be set: use --data DIR" in result.output
