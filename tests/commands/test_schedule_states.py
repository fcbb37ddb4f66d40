"""Tests of the commands that pause and resume a schedule."""

import pytest
from scheduler_api.core import public_ids
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.model import Content, Owner, Schedule, ScheduleOptions
from scheduler_api.core.schedules.planning import DEFAULT_OPTIONS
from scheduler_api.core.schedules.schedules import Schedules
from tests.commands.cells import TENANT, OperatedCell, new_cell

BANK = "https://bank.example/pay"
DIALECTS = ("jiter", "qstash", "events_v1")


@pytest.fixture
def cell(valkey: str) -> OperatedCell:
    return new_cell(valkey)


def schedules(cell: OperatedCell) -> Schedules:
    return Schedules(cell.cell, grace_ms=60_000)


def create(
    cell: OperatedCell,
    owner: Owner,
    *,
    name: str = "",
    options: ScheduleOptions = DEFAULT_OPTIONS,
) -> Schedule:
    return schedules(cell).create(
        owner,
        Content(BANK, b"x"),
        expression="0 8 * * *",
        tz="UTC",
        grammar=FULL,
        deadline_ms=60_000,
        name=name,
        options=options,
    )


def state(cell: OperatedCell, made: Schedule) -> str:
    return schedules(cell).get(made.owner, made.id).state.value


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_schedule_of_any_api_is_paused_and_resumed(cell: OperatedCell, dialect: str):
    made = create(cell, Owner(TENANT, dialect))
    name = public_ids.schedule_id(made.owner, made.id, made.name)
    paused, was = cell.run(f"schedules pause {name}"), state(cell, made)
    resumed = cell.run(f"schedules resume {name}")
    audit = cell.read("audit list --tenant 1")

    assert (paused.output, was) == (f"schedule {name} is paused\n", "paused")
    assert resumed.output == f"schedule {name} is resumed\n"
    assert state(cell, made) == "active"
    assert f'schedule.state "{name}" {{"state":"active"}} -> ' in audit


def test_a_name_of_two_tenants_needs_the_tenant(cell: OperatedCell):
    assert cell.run("tenant create Eve").exit_code == 0
    made = [create(cell, Owner(each, "qstash"), name="nightly") for each in "12"]
    refused = cell.run("schedules pause nightly")
    chosen = cell.run("schedules pause nightly --tenant 2")

    assert refused.exit_code == 1
    assert "of tenant 1 in the API qstash and tenant 2 in the API" in refused.output
    assert chosen.exit_code == 0
    assert [state(cell, each) for each in made] == ["active", "paused"]


def test_what_is_no_schedule_or_has_ended_is_refused(cell: OperatedCell):
    now_ms = cell.cell.now_ms()
    ended = ScheduleOptions(end_ms=now_ms - 3_600_000)
    create(
        cell.at(ago_ms=7_200_000), Owner(TENANT, "qstash"), name="old", options=ended
    )
    event = public_ids.event_id(Owner(TENANT, "qstash"), cell.create(BANK, "qstash"))
    results = [
        cell.run(f"schedules {words}")
        for words in ("pause nothing", f"pause {event}", "resume old")
    ]

    assert "no event and no schedule has the id nothing" in results[0].output
    assert f"{event} is no schedule: see `why`" in results[1].output
    assert "the schedule has ended" in results[2].output
    assert [each.exit_code for each in results] == [1, 1, 1]
