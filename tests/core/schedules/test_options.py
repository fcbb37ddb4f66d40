"""Tests of options of schedules: names, delays, missed runs and journals."""

import pytest
from scheduler_api.core.cron.expression import FULL, parse, upcoming
from scheduler_api.core.errors import Conflict, NotFound
from scheduler_api.core.model import (
    Content,
    MissedRuns,
    Owner,
    Schedule,
    ScheduleOptions,
    ScheduleState,
)
from scheduler_api.core.schedules.planning import plan
from scheduler_api.core.schedules.schedules import newest_occurrence
from scheduler_api.core.store import keys
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    MISSED_GRACE_MS,
    OWNER,
    PREFIX,
    START_MS,
    Engine,
    settlement,
)

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
OTHER = Content("https://other.example/", b"changed")
SKIP = ScheduleOptions(missed_runs=MissedRuns.SKIP)


def all_missed(most: int) -> ScheduleOptions:
    return ScheduleOptions(missed_runs=MissedRuns.ALL, max_missed=most)


def create(
    engine: Engine,
    expression: str = "* * * * *",
    *,
    name: str = "",
    owner: Owner = OWNER,
    options: ScheduleOptions = ScheduleOptions(),  # noqa: B008
) -> Schedule:
    return engine.schedules.create(
        owner,
        CONTENT,
        expression=expression,
        tz="UTC",
        grammar=FULL,
        deadline_ms=DEADLINE_MS,
        name=name,
        options=options,
    )


def work_for(engine: Engine, seconds: int) -> list[int]:
    """Claim, plan, begin and settle every second; return the fire times, in ms."""
    fired = []
    for _ in range(seconds):
        claim = engine.claim()
        fired += [int(each.partition(".")[2]) * 1_000 for each in claim.ids]
        for schedule_id in claim.schedule_ids:
            engine.schedules.top_up(schedule_id)
        engine.worker.settle(*map(settlement, engine.worker.begin(*claim.ids)))
        engine.now_ms += SECOND_MS
    return fired


def times_between(expression: str, after_ms: int, until_ms: int) -> list[int]:
    found = []
    for at_ms in upcoming(parse(expression), after_ms=after_ms):
        if at_ms > until_ms:
            break
        found.append(at_ms)
    return found


@pytest.mark.parametrize(
    "options",
    [
        ScheduleOptions(),
        SKIP,
        all_missed(7),
        ScheduleOptions(delay_ms=5_000, journal=True),
    ],
)
def test_options_are_stored_and_can_be_replaced(
    engine: Engine, options: ScheduleOptions
):
    made = create(engine, options=options)

    edited = engine.schedules.edit(made, grammar=FULL, options=SKIP)

    assert made.options == options
    assert edited.options == SKIP
    assert engine.schedules.get(OWNER, made.id) == edited


def test_a_schedule_is_found_by_its_name(engine: Engine):
    made = create(engine, name="nightly")

    assert made.name == "nightly"
    assert engine.schedules.id_of(OWNER, "nightly") == made.id
    with pytest.raises(NotFound):
        engine.schedules.id_of(OWNER, "daily")
    with pytest.raises(NotFound):
        engine.schedules.id_of(Owner("2", "jiter"), "nightly")


def test_a_name_is_unique_per_owner(engine: Engine):
    made = create(engine, name="nightly")

    with pytest.raises(Conflict):
        create(engine, "@daily", name="nightly")
    other = create(engine, name="nightly", owner=Owner("2", "jiter"))

    assert engine.schedules.all_of(OWNER) == [made]
    assert other.name == "nightly"


def test_a_name_survives_edits_and_is_deleted_with_its_schedule(engine: Engine):
    made = create(engine, name="nightly")
    edited = engine.schedules.edit(made, grammar=FULL, content=OTHER)
    found = engine.schedules.id_of(OWNER, "nightly")

    engine.schedules.delete(edited)

    assert (edited.name, found) == ("nightly", made.id)
    assert engine.client.hgetall(keys.names(PREFIX, str(OWNER))) == {}
    assert create(engine, name="nightly").id != made.id


def test_a_delayed_occurrence_is_due_after_its_fire_time(engine: Engine):
    schedule = create(engine, options=ScheduleOptions(delay_ms=5_000))
    engine.now_ms = schedule.times_ms[0]
    at_fire_time = engine.claim()
    event_id = f"{schedule.id}.{schedule.times_ms[0] // 1_000}"
    due_ms = engine.due()[event_id]
    engine.now_ms += 4_999
    early = engine.claim()
    engine.now_ms += 1

    assert at_fire_time.ids == early.ids == []
    assert due_ms == schedule.times_ms[0] + 5_000
    assert engine.claim().ids == [event_id]
    assert engine.get(event_id).wanted_ms == due_ms


def test_the_newest_occurrence_of_a_schedule_is_known(engine: Engine):
    schedule = create(engine)
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids

    fired = engine.schedules.get(OWNER, schedule.id)

    assert newest_occurrence(schedule) is None
    assert fired.last_fired_ms == schedule.times_ms[0]
    assert newest_occurrence(fired) == event_id


def test_the_journal_records_occurrences(engine: Engine):
    schedule = create(engine, options=ScheduleOptions(journal=True))
    engine.now_ms = schedule.times_ms[0]
    [begun] = engine.worker.begin(*engine.claim().ids)
    engine.worker.settle(settlement(begun))

    entries = engine.client.xrange(keys.journal(PREFIX, str(OWNER)))
    recorded = [(entry[b"e"].decode(), entry[b"k"]) for _, entry in entries]
    assert recorded == [
        (begun.id, kind) for kind in (b"created", b"begun", b"delivered")
    ]


GAPS_MS = [3 * MINUTE_MS, 9 * MINUTE_MS, HOUR_MS + 30_000, DAY_MS]


@pytest.mark.parametrize("gap_ms", GAPS_MS)
@pytest.mark.parametrize("rule", ["* * * * *", "*/5 * * * *"])
def test_with_the_skip_policy_missed_runs_are_only_counted(
    engine: Engine, gap_ms: int, rule: str
):
    schedule = create(engine, rule, options=SKIP)
    engine.now_ms += gap_ms
    back_ms = engine.now_ms

    fired = work_for(engine, 30)

    every = times_between(rule, START_MS, engine.now_ms - SECOND_MS)
    assert fired == [at for at in every if at >= back_ms - MISSED_GRACE_MS]
    missed = engine.schedules.get(OWNER, schedule.id).missed
    assert missed == len(every) - len(fired)


@pytest.mark.parametrize("most", [0, 3, 40])
@pytest.mark.parametrize("gap_ms", [HOUR_MS + 30_000, DAY_MS])
def test_with_the_all_policy_a_limited_number_of_missed_runs_is_made_up_for(
    engine: Engine, gap_ms: int, most: int
):
    schedule = create(engine, "*/5 * * * *", options=all_missed(most))
    engine.now_ms += gap_ms
    back_ms = engine.now_ms

    fired = work_for(engine, most + 20)

    every = times_between("*/5 * * * *", START_MS, engine.now_ms - SECOND_MS)
    old = [at for at in every if at < back_ms - MISSED_GRACE_MS]
    wanted = old[max(0, len(old) - most) :] + every[len(old) :]
    assert fired == wanted
    missed = engine.schedules.get(OWNER, schedule.id).missed
    assert missed == len(every) - len(fired)


@pytest.mark.parametrize("most", [0, 1, 5, 1_000])
def test_a_plan_includes_the_missed_times_that_the_policy_allows(most: int):
    cron, now_ms = parse("@hourly"), START_MS + DAY_MS
    past = times_between("@hourly", START_MS, now_ms)

    planned = plan(
        cron,
        last_ms=START_MS,
        now_ms=now_ms,
        grace_ms=MISSED_GRACE_MS,
        options=all_missed(most),
    )

    kept = past[max(0, len(past) - most) :]
    assert planned.times_ms[: len(kept)] == kept
    assert planned.times_ms[len(kept)] > now_ms
    assert planned.missed == len(past) - len(kept)


def test_an_edit_of_the_content_loses_no_fire_time(engine: Engine):
    schedule = create(engine)
    engine.now_ms = schedule.times_ms[1]

    edited = engine.schedules.edit(schedule, grammar=FULL, content=OTHER)
    made = [each for _ in range(3) for each in engine.claim().ids]

    assert edited.times_ms[:3] == schedule.times_ms[:3]
    assert [engine.get(each).wanted_ms for each in made] == [*schedule.times_ms[:2]]
    assert [engine.get(each).content for each in made] == [OTHER, OTHER]


def test_an_edit_of_the_content_creates_no_occurrence_twice(engine: Engine):
    schedule = create(engine)
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    # `schedule` was read before the claim, so `schedule.times_ms` still contains the
    # fire time of the claimed occurrence.
    engine.schedules.edit(schedule, grammar=FULL, content=OTHER)

    again = engine.claim()

    assert again.ids == []
    assert engine.get(event_id).content == CONTENT


def test_an_interval_stays_on_its_grid_when_the_content_is_edited(engine: Engine):
    schedule = create(engine, "@every 90s")
    engine.now_ms = schedule.times_ms[0] + 10_000
    engine.claim()
    read = engine.schedules.get(OWNER, schedule.id)

    edited = engine.schedules.edit(read, grammar=FULL, content=OTHER)

    assert edited.times_ms[:4] == schedule.times_ms[1:5]


def test_an_edit_of_an_ended_schedule_leaves_it_ended(engine: Engine):
    ended = engine.ended(create(engine))

    edited = engine.schedules.edit(ended, grammar=FULL, content=OTHER)

    assert edited.state is ScheduleState.ENDED
    assert engine.due() == engine.paused_schedules() == {}


def test_a_paused_schedule_stays_paused_when_it_is_edited(engine: Engine):
    schedule = create(engine)
    paused = engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)
    engine.now_ms += HOUR_MS

    edited = engine.schedules.edit(paused, grammar=FULL, content=OTHER)
    resumed = engine.schedules.edit(edited, grammar=FULL, state=ScheduleState.ACTIVE)

    assert edited.state is ScheduleState.PAUSED
    assert min(resumed.times_ms) > engine.now_ms
    assert engine.claim().ids == []
