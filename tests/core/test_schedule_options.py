"""What schedules may do beside firing: bear names, wait, make up for missed runs."""

import pytest
from scheduler_api.core import keys
from scheduler_api.core.cron import FULL
from scheduler_api.core.errors import Conflict, NotFound
from scheduler_api.core.leases import Outcome
from scheduler_api.core.model import (
    MissedRuns,
    Owner,
    Schedule,
    ScheduleOptions,
    ScheduleState,
    State,
)
from scheduler_api.core.schedules import newest_occurrence
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    GRACE_MS,
    OWNER,
    PREFIX,
    START_MS,
    Engine,
    settlement,
)

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
OTHER = Owner("2", "qstash")


def create(
    engine: Engine,
    *,
    name: str = "",
    owner: Owner = OWNER,
    expression: str = "* * * * *",
    **options,
) -> Schedule:
    return engine.schedules.create(
        owner,
        CONTENT,
        expression=expression,
        tz="UTC",
        grammar=FULL,
        deadline_ms=DEADLINE_MS,
        name=name,
        options=ScheduleOptions(**options),
    )


def run_all(engine: Engine, schedule: Schedule) -> list[int]:
    """Claims, and plans when asked to, until nothing is due; the runs that it made."""
    made: list[int] = []
    for _ in range(2_000):
        claim = engine.claim()
        for schedule_id in claim.schedule_ids:
            engine.schedules.top_up(schedule_id)
        made += [int(each.partition(".")[2]) * 1000 for each in claim.ids]
        for event_id in claim.ids:
            [begun] = engine.worker.begin(event_id)
            engine.worker.settle(settlement(begun))
        due_ms = engine.due().get(f"s:{schedule.id}", engine.now_ms + 1)
        if due_ms > engine.now_ms:
            return made
    raise AssertionError("it never ends")


def missed(engine: Engine, schedule: Schedule) -> int:
    return engine.schedules.get(OWNER, schedule.id).missed


def test_a_name_leads_to_its_schedule(engine: Engine):
    schedule = create(engine, name="daily")

    assert engine.schedules.id_of(OWNER, "daily") == schedule.id
    assert engine.schedules.get(OWNER, schedule.id).name == "daily"
    with pytest.raises(NotFound):
        engine.schedules.id_of(OTHER, "daily")


def test_a_name_is_given_once_for_each_owner(engine: Engine):
    schedule = create(engine, name="daily")
    theirs = create(engine, name="daily", owner=OTHER)

    with pytest.raises(Conflict):
        create(engine, name="daily")
    assert engine.schedules.all_of(OWNER) == [schedule]
    assert engine.schedules.all_of(OTHER) == [theirs]


def test_an_edit_keeps_the_name_and_the_time_of_creation(engine: Engine):
    schedule = create(engine, name="daily")
    engine.now_ms += 1

    edited = engine.schedules.edit(schedule, grammar=FULL, expression="@hourly")

    assert (edited.name, edited.created_ms) == ("daily", START_MS)
    assert engine.schedules.id_of(OWNER, "daily") == schedule.id


def test_a_deleted_schedule_leaves_its_name(engine: Engine):
    engine.schedules.delete(create(engine, name="daily"))

    again = create(engine, name="daily")

    assert engine.schedules.id_of(OWNER, "daily") == again.id


def test_an_edit_replaces_all_options(engine: Engine):
    given = ScheduleOptions(1_000, MissedRuns.ALL, 7, journal=True)
    schedule = create(engine, **vars(given))

    edited = engine.schedules.edit(schedule, grammar=FULL, options=ScheduleOptions())

    assert schedule.options == given
    assert edited.options == ScheduleOptions()


def test_a_run_waits_after_its_fire_time(engine: Engine):
    schedule = create(engine, delay_ms=90_000)
    engine.now_ms = schedule.times_ms[0]

    assert engine.claim().ids == []
    [event_id] = [member for member in engine.due() if not member.startswith("s:")]
    assert event_id == f"{schedule.id}.{schedule.times_ms[0] // 1000}"
    assert engine.due()[event_id] == schedule.times_ms[0] + 90_000
    assert engine.schedules.get(OWNER, schedule.id).fired_ms == schedule.times_ms[0]


def test_the_newest_run_is_named_and_its_state_told(engine: Engine):
    schedule = create(engine)
    before = newest_occurrence(schedule)
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    fired = engine.schedules.get(OWNER, schedule.id)
    waiting = engine.schedules.newest_states([fired])
    [begun] = engine.worker.begin(event_id)
    engine.worker.settle(settlement(begun, Outcome.DEAD, reason="gave up"))

    assert (before, newest_occurrence(fired)) == (None, event_id)
    assert waiting == {event_id: State.ACTIVE}
    assert engine.schedules.newest_states([fired]) == {event_id: State.DEAD}


def test_the_state_of_a_forgotten_run_is_not_told(engine: Engine):
    schedule = create(engine)
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    [begun] = engine.worker.begin(event_id)
    engine.worker.settle(settlement(begun))
    engine.store.forget([event_id], before_ms=engine.now_ms + 1)
    fired = engine.schedules.get(OWNER, schedule.id)

    assert engine.schedules.newest_states([schedule, fired]) == {}


def test_many_schedules_are_listed_oldest_first(engine: Engine):
    made = [create(engine, name=f"n{n}", expression="@daily") for n in range(205)]

    batches = list(engine.schedules.batches_of(OWNER))

    assert [len(batch) for batch in batches] == [100, 100, 5]
    assert {schedule.id for batch in batches for schedule in batch} == {
        schedule.id for schedule in made
    }


@pytest.mark.parametrize("gap_ms", [5 * MINUTE_MS, 45 * MINUTE_MS, DAY_MS])
def test_latest_makes_up_for_one_run_and_counts_the_others(engine: Engine, gap_ms: int):
    schedule = create(engine, expression="*/5 * * * *")
    engine.now_ms = schedule.times_ms[0] + gap_ms + GRACE_MS + 1
    newest_ms = schedule.times_ms[0] + gap_ms

    assert run_all(engine, schedule) == [newest_ms]
    assert missed(engine, schedule) == gap_ms // (5 * MINUTE_MS)


@pytest.mark.parametrize("gap_ms", [0, 5 * MINUTE_MS, 45 * MINUTE_MS, DAY_MS])
def test_skip_makes_up_for_none_and_counts_them(engine: Engine, gap_ms: int):
    schedule = create(engine, expression="*/5 * * * *", missed_runs=MissedRuns.SKIP)
    engine.now_ms = schedule.times_ms[0] + gap_ms + GRACE_MS + 1

    assert run_all(engine, schedule) == []
    assert missed(engine, schedule) == gap_ms // (5 * MINUTE_MS) + 1


@pytest.mark.parametrize("gap_ms", [0, 5 * MINUTE_MS, 45 * MINUTE_MS, DAY_MS])
@pytest.mark.parametrize("most", [1, 3, 100, 1_000])
def test_all_makes_up_for_as_many_as_its_bound(engine: Engine, gap_ms: int, most: int):
    schedule = create(
        engine,
        expression="*/5 * * * *",
        missed_runs=MissedRuns.ALL,
        most_missed=most,
    )
    first_ms = schedule.times_ms[0]
    engine.now_ms = first_ms + gap_ms + GRACE_MS + 1
    every = list(range(first_ms, first_ms + gap_ms + 1, 5 * MINUTE_MS))

    assert run_all(engine, schedule) == every[-most:]
    assert missed(engine, schedule) == max(0, len(every) - most)


def test_skip_still_runs_what_is_late_within_the_grace(engine: Engine):
    schedule = create(engine, expression="*/5 * * * *", missed_runs=MissedRuns.SKIP)
    engine.now_ms = schedule.times_ms[0] + GRACE_MS

    assert run_all(engine, schedule) == [schedule.times_ms[0]]
    assert missed(engine, schedule) == 0


@pytest.mark.parametrize("policy", MissedRuns)
def test_a_pause_is_no_outage_under_any_policy(engine: Engine, policy: MissedRuns):
    schedule = create(engine, missed_runs=policy, most_missed=100)
    paused = engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)
    engine.now_ms += HOUR_MS
    assert engine.claim().ids == []

    resumed = engine.schedules.edit(paused, grammar=FULL, state=ScheduleState.ACTIVE)

    assert run_all(engine, resumed) == []
    assert engine.due() == {f"s:{schedule.id}": resumed.times_ms[0]}
    assert resumed.times_ms[0] > engine.now_ms
    assert (resumed.missed, resumed.options) == (0, schedule.options)


def test_a_journal_tells_of_runs(engine: Engine):
    schedule = create(engine, journal=True)
    engine.now_ms = schedule.times_ms[0]

    run_all(engine, schedule)

    lines = engine.client.xrange(keys.journal(PREFIX, str(OWNER)))
    assert [fields[b"k"] for _, fields in lines] == [b"created", b"begun", b"delivered"]
