"""Tests that `status` names what is wrong, and what to run."""

import json
import os
import pytest
from pathlib import Path
from scheduler_api.commands import status
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import FlowLimits, Gates, Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.statistics import Counts, DestinationCounts
from tests.commands.cells import SECRET_KEY, TENANT, OperatedCell, new_cell
from tests.dialects.breakers import open_origin

BANK = "https://bank.example/pay"
ALL_ROLES = ("ticker", "worker", "web")


@pytest.fixture
def cell(valkey: str) -> OperatedCell:
    return new_cell(valkey)


def count_failures(cell: OperatedCell, *names: str) -> None:
    """Count failed attempts at destinations, as a worker does."""
    failed = DestinationCounts(0, 2, is_failing=True, cause="refused")
    counts = Counts(0, 2, destinations=dict.fromkeys(names, failed))
    cell.engine.worker().add_counts({TENANT: counts})


def test_nothing_needs_attention_in_a_cell_that_works(cell: OperatedCell):
    cell.live(*ALL_ROLES, load={"inFlight": 3, "capacity": 100})
    result = cell.run("status")

    assert result.exit_code == 0
    assert result.output.startswith("Nothing needs attention.")
    for word in ("Nothing is late.", "Nothing is failing.", "Nothing is held."):
        assert word in result.output
    assert "3 of 100" in result.output
    assert "of memory used, no limit; no append-only file" in result.output


def test_a_paused_route_is_named_with_the_command_that_resumes_it(cell: OperatedCell):
    cell.live(*ALL_ROLES)
    cell.pause(BANK)
    cell.wait_at_gate(BANK, 3)
    text = cell.read("status")
    code = cell.run("status").exit_code
    resume = "destination resume 1 https://bank.example:443"
    resumed = cell.run(resume)

    assert "Only what is held is late." in text
    assert "3 events are held by https://bank.example:443: paused since 20" in text
    assert f"An operator paused it; resume it: scheduler {resume}" in text
    assert code == 1
    assert resumed.exit_code == 0


def test_a_route_that_a_breaker_holds_is_named_with_the_cause(cell: OperatedCell):
    cell.live(*ALL_ROLES)
    open_origin(cell.engine.worker(), TENANT, BANK)
    cell.wait_at_gate(BANK, 2)
    text = cell.read("status")

    assert "held by https://failing.example/a: the connection was refused" in text
    assert "A breaker holds it until the receiver answers a probe" in text
    assert "scheduler destination list" in text


def test_all_failing_destinations_are_one_problem_after_what_is_held(
    cell: OperatedCell,
):
    cell.live(*ALL_ROLES)
    cell.pause(BANK)
    cell.wait_at_gate(BANK, 3)
    count_failures(cell, "https://a.example", "https://b.example")
    held, failing = json.loads(cell.run("status --json").output)["problems"]

    assert "3 events are held by https://bank.example:443" in held["text"]
    assert failing["text"].startswith(
        "2 destinations are failing, most of all https://a.example: the receiver"
        " refused the connection, last at 20"
    )
    assert failing["command"] == "scheduler destination list"


def test_a_dead_ticker_is_named_as_the_reason_of_late_events(cell: OperatedCell):
    cell.live("worker", "web")
    cell.at(ago_ms=90_000).create(BANK)
    result = cell.run("status")
    text = " ".join(result.output.split())

    assert result.exit_code == 1
    assert "No ticker runs, so nothing is delivered. Start one: python -m" in text
    assert "Events are late: one has been due for 1 min 3" in text
    assert "since 20" in text
    assert "the reason is above" in text


def test_a_ticker_that_reports_but_does_not_work_is_named(cell: OperatedCell):
    cell.live(*ALL_ROLES)
    cell.cell.client.delete(keys.alive(cell.cell.prefix, "ticker"))
    text = cell.read("status")

    assert f"The ticker {os.getpid()} on " in text
    assert "runs, but has not worked for 5.0 s, so nothing is delivered." in text
    assert f"kill -9 {os.getpid()}" in text


def test_late_events_without_another_reason_need_more_workers(cell: OperatedCell):
    cell.live(*ALL_ROLES)
    cell.at(ago_ms=9_000).create(BANK)
    text = cell.read("status")

    assert "start another one: rq worker -S json" in text


def test_a_full_store_is_named_with_the_command_that_raises_its_limit(
    own_valkey: tuple[str, int],
):
    cell = new_cell(own_valkey[0])
    cell.live(*ALL_ROLES)
    used = cell.cell.client.info("memory")["used_memory"]
    cell.cell.client.config_set("maxmemory", used // 2)
    result = cell.run("status")
    text = " ".join(result.output.split())

    assert result.exit_code == 1
    assert "The store is full, at its memory limit: new events are refused" in text
    assert 'redis-cli -u "$REDIS_URL" config set maxmemory BYTES' in text
    assert " % of " in text and "of memory used" in text


def test_a_store_without_persistence_needs_attention(cell: OperatedCell):
    cell.live(*ALL_ROLES)
    result = cell.run("status", SCHED_ALLOW_NO_PERSISTENCE="false")

    assert result.exit_code == 1
    assert "config set appendonly yes" in result.output


def test_a_hosted_store_that_hides_its_configuration_needs_no_attention(
    own_valkey: tuple[str, int],
):
    cell = new_cell(own_valkey[0])
    cell.live(*ALL_ROLES)
    rules = ("on", ">hidden", "~*", "&*", "+@all", "-config")
    cell.cell.client.execute_command("ACL", "SETUSER", "hosted", *rules)
    url = own_valkey[0].replace("redis://", "redis://hosted:hidden@")
    result = cell.run("status", REDIS_URL=url, SCHED_ALLOW_NO_PERSISTENCE="false")

    assert result.exit_code == 0, result.output


def test_an_unreachable_store_is_a_problem_like_others(cell: OperatedCell):
    result = cell.run("status --json", REDIS_URL="redis://127.0.0.1:1/0")
    body = json.loads(result.output)

    assert result.exit_code == 1
    [problem] = body["problems"]
    assert problem["text"] == "The store does not answer: Connection refused"
    assert problem["command"].endswith("ping")


def test_a_paused_queue_needs_attention_and_a_busy_one_does_not(cell: OperatedCell):
    cell.live(*ALL_ROLES)
    for _ in range(3):
        cell.create(BANK, "qstash", gates=Gates(queue="orders"))
    busy = cell.run("status")
    Queues(cell.cell).set_paused(Owner(TENANT, "qstash"), "orders", paused=True)
    paused = cell.run("status")
    resume = "queue resume orders --tenant 1"
    resumed = cell.run(resume)

    assert "2 events are held." in busy.output
    assert (busy.exit_code, paused.exit_code) == (0, 1)
    assert f"Resume it: scheduler {resume}" in " ".join(paused.output.split())
    assert resumed.exit_code == 0
    assert resume not in cell.read("status")


def test_a_command_to_run_has_the_same_data_folder(cell: OperatedCell, tmp_path: Path):
    (tmp_path / "credentials.env").write_text(f"REDIS_URL={cell.url}\n")
    (tmp_path / "secret.key").write_text(f"{SECRET_KEY}\n")
    cell.create(BANK, "qstash", gates=Gates(queue="orders"))
    Queues(cell.cell).set_paused(Owner(TENANT, "qstash"), "orders", paused=True)
    body = cell.read_json(f"--data {tmp_path} status")

    [command] = [each["command"] for each in body["problems"] if "held" in each["text"]]
    resume = "queue resume orders --tenant 1"
    assert command == f"scheduler --data {tmp_path} {resume}"
    assert cell.run(command.removeprefix("scheduler ")).exit_code == 0


def test_a_paused_flow_control_key_is_named_with_the_command_that_resumes_it(
    cell: OperatedCell,
):
    cell.live(*ALL_ROLES)
    gates = Gates(flow=FlowLimits("a key", parallelism=1))
    cell.create(BANK, "qstash", gates=gates)
    FlowKeys(cell.cell).set_paused(Owner(TENANT, "qstash"), "a key", paused=True)
    cell.engine.worker().try_begin(*cell.engine.offer().ids)
    text = cell.read("status")
    resume = "flow resume 'a key' --tenant 1"

    assert f"Resume it: scheduler {resume}" in text
    assert cell.run(resume).exit_code == 0


def test_the_screen_has_80_columns_and_no_control_characters(cell: OperatedCell):
    cell.live(*ALL_ROLES)
    cell.pause(f"https://{'b' * 60}.example")
    cell.create(BANK, "qstash", gates=Gates(queue="\x1b[31mx"))
    Queues(cell.cell).set_paused(Owner(TENANT, "qstash"), "\x1b[31mx", paused=True)
    cell.create(f"https://{'b' * 60}.example/{'p' * 90}")
    cell.engine.worker().try_begin(*cell.engine.offer().ids)
    output = cell.run("status").output

    assert max(map(len, output.splitlines())) <= 80
    assert "\x1b" not in output
    assert "?[31mx" in output


def test_the_json_document_has_the_same(cell: OperatedCell):
    cell.live(*ALL_ROLES)
    cell.pause(BANK)
    cell.wait_at_gate(BANK, 3)
    body = json.loads(cell.run("status --json").output)

    assert body["needsAttention"] is True
    [held] = body["held"]["gates"]
    assert (held["gate"], held["events"]) == ("https://bank.example:443", 3)
    assert (held["reason"], held["isPaused"]) == ("paused", True)
    assert {each["role"] for each in body["processes"]} == {*ALL_ROLES}
    assert body["store"]["usedBytes"] > 0
    assert body["store"]["product"] == "Valkey"
    assert body["late"]["oldestDue"] is None


def test_the_command_line_does_not_report_itself_as_a_process(cell: OperatedCell):
    for _ in range(2):
        body = json.loads(cell.run("status --json").output)

    assert body["processes"] == []


def test_watch_shows_it_again_until_it_is_interrupted(
    cell: OperatedCell, monkeypatch: pytest.MonkeyPatch
):
    pauses: list[float] = []

    def interrupted(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", interrupted)
    result = cell.run("status --watch")

    assert pauses == [2.0, 2.0]
    assert result.output.count("need attention.") == 2
    assert result.exit_code == 0
    assert "Abort" not in result.output


def test_watch_prints_no_json(cell: OperatedCell):
    assert cell.run("status --watch --json").exit_code == 2
