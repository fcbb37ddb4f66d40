"""Tests of the runs of schedules, through the HTTP API."""

import pytest
from scheduler_api.core.cron.expression import parse, upcoming
from scheduler_api.core.model import MissedRuns, Outcome, ScheduleOptions
from scheduler_api.core.store import claims, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.reads import read_event
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.qstash.parsing.message import from_options
from tests.dialects.engine import TIMEOUTS
from tests.dialects.qstash.endpoints.schedules.conftest import URL, Api

MINUTE_MS, DAY_MS = 60_000, 86_400_000


def test_a_run_has_the_settings_of_its_schedule_without_the_rule(api: Api) -> None:
    schedule_id = api.create(
        body=b"{}",
        Upstash_Schedule_Id="mine",
        Upstash_Cron="CRON_TZ=Asia/Tokyo 0 0 * * *",
        Upstash_Timeout="7s",
        Upstash_Deduplication_Id="once",
        Upstash_Not_Before="9999999999",
    )
    stored = api.stored(schedule_id)
    event_id, tick_ms = api.run(schedule_id)
    event = read_event(api.cell, api.owner, event_id)

    message = from_options(event.content.options)
    assert (message.schedule_id, message.cron, message.tz) == ("mine", None, None)
    assert (message.deduplication_id, message.not_before_ms) == (None, None)
    assert (event.content.url, event.content.body) == (URL, b"{}")
    assert event.wanted_ms == tick_ms == stored.times_ms[0]
    assert (stored.deadline_ms, stored.tz) == (7_000, "Asia/Tokyo")
    assert stored.options == ScheduleOptions(journal=True)


def test_the_default_timeout_applies(api: Api) -> None:
    assert api.stored(api.create()).deadline_ms == 900_000


def test_a_delay_is_added_to_each_fire_time(api: Api) -> None:
    schedule_id = api.create(Upstash_Delay="2h")
    stored = api.stored(schedule_id)

    assert stored.options.delay_ms == 7_200_000
    assert api.get(schedule_id)["nextScheduleTime"] == stored.times_ms[0]


def test_a_schedule_can_be_run_manually_and_lists_its_runs(api: Api) -> None:
    schedule_id = api.create(Scheduler_Overlap="skip")
    path = f"/v2/schedules/{schedule_id}"
    event_id, tick_ms = api.run(schedule_id, Outcome.DELIVERED)

    status, run = api.call("POST", f"{path}/run")
    again, refused = api.call("POST", f"{path}/run")
    runs = api.call("GET", f"{path}/runs")
    newest = api.call("GET", f"{path}/runs?count=1")

    assert (status, run["scheduleId"]) == (200, schedule_id)
    assert (again, list(refused)) == (409, ["error"])
    assert runs[0] == 200
    fired, by_hand = runs[1]["runs"]
    assert fired == {
        "at": to_iso(tick_ms),
        "outcome": "fired",
        "messageId": f"msg_{event_id}",
        "state": "delivered",
        "attempts": 1,
    }
    assert by_hand["messageId"] == run["messageId"]
    assert (by_hand["outcome"], by_hand["state"]) == ("run by hand", "waiting")
    assert newest[1]["runs"] == [fired]
    assert api.get(schedule_id)["lastScheduleTime"] == tick_ms


@pytest.mark.parametrize("count", ["0", "1001", "-1", "x", "", "99999"])
def test_an_invalid_number_of_runs_is_refused(api: Api, count: str) -> None:
    path = f"/v2/schedules/{api.create()}/runs?count={count}"

    status, answer = api.call("GET", path)

    assert status == 400
    assert answer["error"].startswith("count ")


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        ({}, (MissedRuns.LATEST, 0)),
        ({"Scheduler_Missed_Runs": "Latest"}, (MissedRuns.LATEST, 0)),
        ({"Scheduler_Missed_Runs": "skip"}, (MissedRuns.SKIP, 0)),
        ({"Scheduler_Missed_Runs": "all"}, (MissedRuns.ALL, 100)),
        (
            {"scheduler_missed_runs": "ALL", "scheduler_most_missed": " 7 "},
            (MissedRuns.ALL, 7),
        ),
    ],
)
def test_the_missed_run_policy_is_set_by_headers(
    api: Api, headers: dict[str, str], options: tuple[MissedRuns, int]
) -> None:
    schedule_id = api.create(Upstash_Header_Forward="true", X_Other="1", **headers)
    stored, schedule = api.stored(schedule_id), api.get(schedule_id)

    assert (stored.options.missed_runs, stored.options.max_missed) == options
    assert schedule["missedRuns"] == options[0]
    assert schedule.get("mostMissed", 0) == options[1]
    # The headers that set options of the schedule are not forwarded.
    assert schedule["header"] == {"X-Other": ["1"]}


def test_skipped_runs_are_counted(api: Api) -> None:
    schedule_id = api.create(Upstash_Cron="* * * * *", Scheduler_Missed_Runs="skip")
    first_ms = api.stored(schedule_id).times_ms[0]
    late = Cell(api.client, "{s1}:", clock_ms=first_ms + 3 * MINUTE_MS + 1)

    assert claims.claim(late, room=10, timeouts=TIMEOUTS).ids != []
    assert api.get(schedule_id)["skippedRuns"] == 3


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (None, "IN_PROGRESS"),
        (Outcome.RETRY, "IN_PROGRESS"),
        (Outcome.DELIVERED, "SUCCESS"),
        (Outcome.DEAD, "FAIL"),
    ],
)
def test_a_schedule_has_the_state_of_its_last_run(
    api: Api, outcome: Outcome | None, state: str
) -> None:
    schedule_id = api.create(Upstash_Cron="* * * * *")
    event_id, tick_ms = api.run(schedule_id, outcome)

    schedule = api.get(schedule_id)

    assert schedule["lastScheduleTime"] == tick_ms
    assert schedule["lastScheduleStates"] == {f"msg_{event_id}": state}
    assert schedule["nextScheduleTime"] > tick_ms


def test_a_cancelled_run_counts_as_failed(api: Api) -> None:
    schedule_id = api.create()
    event_id, _ = api.run(schedule_id)
    EventStore(api.cell).cancel(api.owner, [event_id])

    assert api.get(schedule_id)["lastScheduleStates"] == {f"msg_{event_id}": "FAIL"}


def test_states_of_forgotten_runs_are_left_out(api: Api) -> None:
    schedule_id = api.create()
    event_id, tick_ms = api.run(schedule_id)
    api.client.delete(keys.event("{s1}:", event_id))

    schedule = api.get(schedule_id)

    assert schedule["lastScheduleTime"] == tick_ms
    assert "lastScheduleStates" not in schedule


def test_the_next_fire_time_is_in_the_schedules_time_zone(api: Api) -> None:
    zone = "America/New_York"
    schedule = api.get(api.create(Upstash_Cron=f"CRON_TZ={zone} 0 4 * * *"))

    rule = parse("0 4 * * *", tz=zone)
    assert schedule["nextScheduleTime"] == next(
        upcoming(rule, after_ms=api.cell.now_ms())
    )


def test_a_paused_schedule_still_has_a_next_fire_time(api: Api) -> None:
    schedule_id = api.create()
    before = api.get(schedule_id)

    api.call("PATCH", f"/v2/schedules/{schedule_id}/pause")

    assert api.get(schedule_id) == before | {"isPaused": True}
