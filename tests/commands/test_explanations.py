"""Tests that `why` tells what happened, and what must happen next."""

import json
import pytest
from scheduler_api.core import public_ids
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import Content, Gates, Owner, Schedule, ScheduleState
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import keys
from scheduler_api.core.store.records import EVENT
from tests.commands.cells import PREFIX, TENANT, OperatedCell, new_cell
from tests.dialects.breakers import open_origin

OWNER = Owner(TENANT, "qstash")
BANK = "https://bank.example/pay"
FAILED = "the destination answered 503 (Service Unavailable) (http-503)"


@pytest.fixture
def cell(valkey: str) -> OperatedCell:
    made = new_cell(valkey)
    made.live("ticker", "worker")
    return made


def public(event_id: str, dialect: str = "jiter") -> str:
    return public_ids.event_id(Owner(TENANT, dialect), event_id)


def schedule_id(made: Schedule) -> str:
    return public_ids.schedule_id(made.owner, made.id, made.name)


def schedule(cell: OperatedCell) -> Schedule:
    """Create a schedule that runs at eight."""
    return Schedules(cell.cell, grace_ms=60_000).create(
        OWNER,
        Content(BANK, b"x"),
        expression="0 8 * * *",
        tz="UTC",
        grammar=FULL,
        deadline_ms=60_000,
    )


@pytest.mark.parametrize("dialect", ["jiter", "qstash", "events_v1"])
def test_an_event_is_found_by_the_id_of_its_client(cell: OperatedCell, dialect: str):
    name = public(cell.create(BANK, dialect), dialect)
    result = cell.run(f"why {name}")

    assert result.exit_code == 0
    assert result.output.startswith(f"Event {name}: waiting")
    assert BANK in result.output


def test_an_unknown_id_is_said_to_be_unknown(cell: OperatedCell):
    result = cell.run("why msg_nothing")

    assert result.exit_code == 1
    assert result.output.startswith(
        "Error: no event and no schedule has the id msg_nothing: it is wrong"
    )


def test_the_timeline_tells_each_attempt_and_the_next_one(cell: OperatedCell):
    event = cell.create(BANK)
    engine = cell.engine
    engine.settle(engine.begin(event), "retry", delay_ms=60_000, status=503)
    text = cell.read(f"why {public(event)}")

    assert "created, due 20" in text
    assert f"attempt 1: {FAILED}; took 10 ms; next attempt 20" in text
    assert "The next attempt is at 20" in text


def test_a_dead_letter_is_told_with_the_command_that_sends_it_again(
    cell: OperatedCell,
):
    event = cell.create(BANK)
    engine = cell.engine
    engine.settle(engine.begin(event), "dead", status=503, reason="exhausted")
    text = cell.read(f"why {public(event)}")

    assert f"attempt 1: {FAILED}" in text
    assert "dead: no retries were left" in text
    assert f"dead-letters retry --tenant 1 --url {BANK}" in text


def test_a_delivered_event_needs_nothing(cell: OperatedCell):
    event = cell.create(BANK)
    cell.engine.settle(cell.engine.begin(event), "delivered", status=200)
    text = cell.read(f"why {public(event)}")

    assert "attempt 1: delivered, status 200" in text
    assert "Nothing: it has ended" in text


def test_an_event_of_a_paused_destination_says_how_to_resume_it(cell: OperatedCell):
    cell.pause(BANK)
    [event] = cell.wait_at_gate(BANK, 1)
    text = cell.read(f"why {public(event)}")
    resume = "destination resume 1 https://bank.example:443"

    assert "held by https://bank.example:443: paused since 20" in text
    assert f"An operator paused it; resume it: scheduler {resume}" in text
    assert cell.run(resume).exit_code == 0


def test_an_event_that_a_breaker_holds_says_why(cell: OperatedCell):
    open_origin(cell.engine.worker(), TENANT, BANK)
    [event] = cell.wait_at_gate(BANK, 1)
    text = cell.read(f"why {public(event)}")

    assert "the connection was refused since 20" in text
    assert "A breaker holds it until the receiver answers a probe" in text


def test_an_event_in_a_paused_queue_names_the_queue(cell: OperatedCell):
    event = cell.create(BANK, "qstash", gates=Gates(queue="orders"))
    Queues(cell.cell).set_paused(OWNER, "orders", paused=True)
    text = cell.read(f"why {public(event, 'qstash')}")

    assert "held by the queue orders: paused" in text
    assert "Resume it: scheduler queue resume orders --tenant 1" in text


def test_a_late_event_names_a_dead_ticker(cell: OperatedCell):
    names = (keys.alive(PREFIX, "ticker"), keys.processes(PREFIX))
    cell.cell.client.delete(*names)
    event = cell.at(ago_ms=90_000).create(BANK)
    text = cell.read(f"why {public(event)}")

    assert "No ticker runs, so nothing is delivered. Start one: python -m" in text
    assert "It has been due for 1 min" in text


def test_a_late_event_names_a_full_store(own_valkey: tuple[str, int]):
    cell = new_cell(own_valkey[0])
    cell.live("ticker", "worker")
    event = cell.at(ago_ms=90_000).create(BANK)
    used = cell.cell.client.info("memory")["used_memory"]
    cell.cell.client.config_set("maxmemory", used // 2)
    text = cell.read(f"why {public(event)}")

    assert "The store is full, at its memory limit" in text
    assert "config set maxmemory BYTES" in text


def test_a_late_event_without_a_gate_says_which_process_has_it(cell: OperatedCell):
    event = cell.at(ago_ms=90_000).create(BANK)
    unclaimed = cell.read(f"why {public(event)}")
    cell.engine.offer()
    claimed = cell.read(f"why {public(event)}")
    cell.engine.worker().begin(event)
    begun = cell.read(f"why {public(event)}")

    assert "and no ticker has claimed it; see why: scheduler status" in unclaimed
    assert "a worker with room; see whether they work: scheduler doctor" in claimed
    assert "A worker sends it, and waits up to 1.0 s for the receiver." in begun


def test_a_schedule_tells_its_next_and_its_last_runs(cell: OperatedCell):
    made = schedule(cell)
    at_ms = made.created_ms - 86_400_000
    skipped = keys.skipped(PREFIX, made.id)
    cell.cell.client.zadd(skipped, {f"{at_ms}:missed": at_ms})
    text = cell.read(f"why {schedule_id(made)}")

    assert text.startswith(f"Schedule {schedule_id(made)}: active")
    assert "did not run: missed: no ticker or worker took it in time" in text
    assert "08:00:00Z, 20" in text
    assert "last run none yet" in text
    assert "The next run is in" in text


def test_a_paused_schedule_says_that_its_runs_are_skipped(cell: OperatedCell):
    made = schedule(cell)
    schedules = Schedules(cell.cell, grace_ms=60_000)
    schedules.edit(made, grammar=FULL, state=ScheduleState.PAUSED)
    text = cell.read(f"why {schedule_id(made)}")
    resume = f"schedules resume {schedule_id(made)} --tenant 1"
    resumed = cell.run(resume)

    assert f"Schedule {schedule_id(made)}: paused" in text
    assert f"so its runs are skipped. Resume it: scheduler {resume}" in text
    assert "if it is resumed" in text
    assert resumed.exit_code == 0
    assert ": active" in cell.read(f"why {schedule_id(made)}")


def test_the_json_document_has_the_same(cell: OperatedCell):
    cell.pause(BANK)
    [event] = cell.wait_at_gate(BANK, 1)
    body = json.loads(cell.run(f"why {public(event)} --json").output)

    [found] = body["found"]
    assert (found["kind"], found["state"]) == ("event", "waiting")
    assert found["gate"].startswith("https://bank.example:443: paused since")
    assert found["timeline"][0]["text"].startswith("created, due ")
    assert found["next"][0]["command"].startswith("scheduler destination resume 1 ")


def test_an_unreadable_event_is_told_as_such(cell: OperatedCell):
    event = cell.create(BANK)
    key = keys.event(PREFIX, event)
    cell.cell.client.hset(key, EVENT.code("attempts"), "x")
    text = cell.read(f"why {public(event)}")

    assert "Its record cannot be read; see why: scheduler fsck" in text
