"""Tests of runs that a user starts, and of the run history."""

import pytest
from scheduler_api.core.cron.clock_changes import ClockChange, Fold, Gap
from scheduler_api.core.cron.expression import FULL, parse, upcoming
from scheduler_api.core.cron.preview import preview
from scheduler_api.core.errors import NotFound, RunInProgress, ScheduleEnded, StoreFull
from scheduler_api.core.model import (
    MissedRuns,
    Outcome,
    Overlap,
    Owner,
    ScheduleOptions,
    ScheduleState,
    State,
)
from scheduler_api.core.queries import attempts
from scheduler_api.core.queries.events import Queries
from scheduler_api.core.schedules import fire_times, run_history
from scheduler_api.core.schedules.run_history import Run
from scheduler_api.core.schedules.schedules import newest_occurrence
from scheduler_api.core.store import keys
from tests.core.engine import OTHER, OWNER, PREFIX, START_MS, Engine, ids, settlement
from tests.core.function_calls import COMMANDS
from tests.core.runs import first_begun, reasons, runs_of

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
FIRING_COMMANDS = 24
NOT_COUNTED = {f"cmdstat_{name}" for name in ("info", *COMMANDS)}
ACTIVE, PAUSED = ScheduleState.ACTIVE, ScheduleState.PAUSED


def test_clock_overlap_and_jitter_options_are_stored_and_applied(engine: Engine):
    clock = ClockChange(gap=Gap.SKIP, fold=Fold.BOTH)
    schedule = engine.schedules.create(
        OWNER,
        OTHER,
        expression="30 2 * * *",
        tz="Europe/Berlin",
        grammar=FULL,
        deadline_ms=1_000,
        options=ScheduleOptions(clock=clock, overlap=Overlap.QUEUE, jitter_ms=1),
    )
    first_ms = schedule.times_ms[0]

    default = engine.edited(schedule, clock=ClockChange(), start_ms=_before_gap())
    skipping = engine.edited(default, clock=clock)

    assert schedule.options.clock == clock
    assert (schedule.options.overlap, schedule.options.jitter_ms) == (Overlap.QUEUE, 1)
    assert first_ms < default.times_ms[0] < skipping.times_ms[0]


def test_an_occurrence_of_the_wrong_type_is_left_out(engine: Engine):
    engine.checks_faults = False
    bad, good = engine.schedule(), engine.schedule()
    engine.now_ms = bad.times_ms[0]
    engine.claim()
    bad, good = engine.schedules.all_of(OWNER)
    bad_id, good_id = map(newest_occurrence, (bad, good))
    assert bad_id is not None
    for key in (keys.event(PREFIX, bad_id), keys.log(PREFIX, bad_id)):
        engine.client.delete(key)
        engine.client.zadd(key, {"x": 1})

    queries = Queries(engine.cell)

    assert engine.schedules.newest_states([bad, good]) == {good_id: State.ACTIVE}
    assert run_history.newest(engine.cell, bad, limit=5) == []
    assert len(run_history.newest(engine.cell, good, limit=5)) == 1
    assert queries.busy([bad.id, good.id]) == set()
    assert list(attempts.of_schedule(engine.cell, bad.id)) == []
    assert attempts.replay_origins(engine.cell, [bad_id]) == {}


def _before_gap() -> int:
    """Return the start of 30 March 2031. Clocks in Berlin go forward on this day."""
    return 1_932_591_600_000


def test_a_run_by_hand_is_due_now_and_does_not_change_the_schedule(engine: Engine):
    schedule = engine.schedule("@daily", max_runs=3)
    engine.now_ms += 1_234
    listener = engine.listen_for_wakeups()

    event_id = engine.schedules.run(schedule)

    after = engine.schedules.get(OWNER, schedule.id)
    assert after == schedule
    assert engine.count_wakeups(listener) == 1
    assert engine.claim().ids == [event_id]
    assert engine.get(event_id).wanted_ms == engine.now_ms
    assert engine.get(event_id).content == schedule.content
    [run] = runs_of(engine, schedule)
    assert run == Run(engine.now_ms, event_id, State.ACTIVE, by_hand=True)


def test_e5_a_repeated_run_by_hand_creates_one_occurrence(engine: Engine):
    engine.use_server_clock()
    schedule = engine.schedule()

    with engine.repeating() as repeats:
        event_id = engine.schedules.run(schedule)

    assert [run.event_id for run in runs_of(engine, schedule)] == [event_id]
    assert engine.everything() == repeats.stored


@pytest.mark.parametrize("strict", [False, True])
def test_a_paused_schedule_can_be_run_by_hand(engine: Engine, strict: bool):
    schedule = engine.schedule(strict=strict)
    engine.edited(schedule, state=PAUSED)

    event_id = engine.schedules.run(schedule)

    assert ids(engine.worker.begin(*engine.claim().ids)) == [event_id]


def test_a_run_by_hand_of_a_strict_schedule_is_withdrawn_by_a_pause(engine: Engine):
    schedule = engine.schedule(strict=True)
    event_id = engine.schedules.run(schedule)
    engine.claim()
    engine.now_ms += 1
    engine.edited(schedule, state=PAUSED)

    assert engine.worker.try_begin(event_id)[1] == {event_id: "withdrawn"}


def test_full_stores_and_ended_or_deleted_schedules_refuse_runs_by_hand(engine: Engine):
    schedule = engine.schedule(end_ms=START_MS + MINUTE_MS)
    other = engine.schedule(owner=Owner("2", "jiter"))
    engine.client.set(keys.full(PREFIX), 1, ex=60)
    with pytest.raises(StoreFull):
        engine.schedules.run(schedule)
    engine.client.delete(keys.full(PREFIX))
    engine.now_ms += MINUTE_MS + 1

    with pytest.raises(ScheduleEnded):
        engine.schedules.run(schedule)
    engine.claim()
    with pytest.raises(ScheduleEnded):
        engine.schedules.run(schedule)
    engine.schedules.delete(other)
    with pytest.raises(NotFound):
        engine.schedules.run(other)


def test_runs_by_hand_obey_the_overlap_policy(engine: Engine):
    skipping = engine.schedule("@daily", overlap=Overlap.SKIP)
    queueing = engine.schedule("@daily", overlap=Overlap.QUEUE)
    first = {each.id: engine.schedules.run(each) for each in (skipping, queueing)}
    second = engine.schedules.run(queueing)

    with pytest.raises(RunInProgress):
        engine.schedules.run(skipping)
    begun, refused = engine.worker.try_begin(*engine.claim().ids)

    assert sorted(ids(begun)) == sorted(first.values())
    assert refused == {second: "waits"}


def test_the_history_has_an_entry_for_every_fire_time(engine: Engine):
    schedule = engine.schedule("* * * * *", missed_runs=MissedRuns.SKIP)
    begun = first_begun(engine, schedule)
    engine.worker.settle(settlement(begun, Outcome.DEAD, reason="exhausted"))
    engine.now_ms = schedule.times_ms[3] + 1
    [late] = engine.claim().ids

    found = runs_of(engine, schedule)

    first, second, third, fourth = schedule.times_ms[:4]
    assert found == [
        Run(fourth, late, State.ACTIVE),
        Run(third, reason="missed"),
        Run(second, reason="missed"),
        Run(first, begun.id, State.DEAD, attempts=1, reason="exhausted"),
    ]
    assert runs_of(engine, schedule, most=2) == found[:2]


def test_the_history_includes_times_that_planning_dropped(engine: Engine):
    schedule = engine.schedule("@hourly")
    engine.now_ms += 3 * DAY_MS
    engine.claim()

    engine.schedules.top_up(schedule.id)

    expected = upcoming(parse("@hourly"), after_ms=START_MS)
    missed = engine.schedules.get(OWNER, schedule.id).missed
    assert missed == 71
    assert reasons(engine, schedule) == [
        (next(expected), "missed") for _ in range(missed)
    ]


def test_times_skipped_by_a_pause_are_reported_during_and_after_it(engine: Engine):
    schedule = engine.schedule("@hourly")
    paused = engine.edited(schedule, state=PAUSED)
    engine.now_ms += 5 * HOUR_MS
    during = reasons(engine, paused)
    resumed = engine.edited(paused, state=ACTIVE)

    assert during == [(at_ms, "paused") for at_ms in schedule.times_ms[:5]]
    assert reasons(engine, resumed) == during


def test_times_that_a_late_claim_finds_after_the_end_are_reported(engine: Engine):
    schedule = engine.schedule("* * * * *", end_ms=START_MS + 3 * MINUTE_MS)
    engine.now_ms += HOUR_MS

    engine.claim()

    before = [at for at in schedule.times_ms if at <= START_MS + 3 * MINUTE_MS]
    assert reasons(engine, schedule) == [(at_ms, "end") for at_ms in before]


def test_the_newest_thousand_skipped_times_are_kept_for_a_month(engine: Engine):
    schedule = engine.schedule("* * * * *")
    key = keys.skipped(PREFIX, schedule.id)
    skipped: set[int] = set()
    for _ in range(15):
        engine.now_ms += 100 * MINUTE_MS
        engine.schedules.top_up(schedule.id)
        skipped |= set(engine.scores(key).values())

    assert len(skipped) > 1_400
    assert sorted(engine.scores(key).values()) == sorted(skipped)[-1_000:]
    assert 0 < engine.client.pttl(key) <= 30 * DAY_MS


def test_skipped_times_are_deleted_with_their_schedule(engine: Engine):
    schedule = engine.schedule("@hourly")
    engine.now_ms += DAY_MS
    engine.claim()
    engine.schedules.top_up(schedule.id)

    engine.schedules.delete(schedule)

    assert not engine.client.exists(keys.skipped(PREFIX, schedule.id))


# At SPRING_MS, two weeks after START_MS, clocks in Berlin skip 02:00 to 03:00.
BERLIN, SPRING_MS = "CRON_TZ=Europe/Berlin", 1_901_149_200_000


@pytest.mark.parametrize(
    ("rule", "gap", "skipped"),
    [
        ("30 2 * * *", Gap.SKIP, True),
        ("30 2 * * *", Gap.AFTER, False),
        ("30 2 * * *", Gap.SHIFT, False),
        ("*/15 2 * * *", Gap.AFTER, True),
        ("30 2 1 * *", Gap.SKIP, False),
        ("30 3 * * *", Gap.SKIP, False),
        ("@every 1h", Gap.SKIP, False),
    ],
)
def test_times_skipped_by_a_clock_change_are_reported_as_in_the_preview(
    engine: Engine, rule: str, gap: Gap, skipped: bool
):
    schedule = engine.schedule(f"{BERLIN} {rule}", clock=ClockChange(gap=gap))
    cron = fire_times.cron_of(schedule)
    previewed = preview(cron, after_ms=START_MS, count=100).skipped
    before = reasons(engine, schedule)

    engine.now_ms = SPRING_MS + DAY_MS

    assert before == []
    assert reasons(engine, schedule) == [(SPRING_MS, "clock change")] * skipped
    assert all(each.reason.startswith("clock change: ") for each in previewed)
    assert any(each.local.month == 3 for each in previewed) is skipped


def test_clock_changes_skip_nothing_of_paused_ended_or_changed_rules(
    engine: Engine,
):
    clock = ClockChange(gap=Gap.SKIP)
    paused = engine.schedule(f"{BERLIN} 30 2 * * *", clock=clock)
    ended, edited = (
        engine.schedule(f"{BERLIN} 30 2 * * *", clock=clock, end_ms=end_ms)
        for end_ms in (SPRING_MS - 1, None)
    )
    paused = engine.edited(paused, state=PAUSED)
    engine.now_ms = SPRING_MS + DAY_MS
    edited = engine.edited(edited, expression=f"{BERLIN} 45 2 * * *")

    for schedule in (paused, ended, edited):
        assert "clock change" not in dict(reasons(engine, schedule)).values()


def test_times_skipped_by_a_clock_change_are_reported_for_30_days(engine: Engine):
    clock = ClockChange(gap=Gap.SKIP)
    schedule = engine.schedule(f"{BERLIN} 30 2 * * *", clock=clock)

    engine.now_ms = SPRING_MS + 30 * DAY_MS + 1_000

    assert reasons(engine, schedule) == []


@pytest.mark.parametrize("store_client", ["valkey"], indirect=True)
def test_a_fire_time_without_options_needs_a_bounded_number_of_commands(engine: Engine):
    schedule = engine.schedule()
    engine.claim()
    engine.now_ms = schedule.times_ms[0]
    before = _commands(engine)

    engine.claim()

    assert _commands(engine) - before <= FIRING_COMMANDS


def _commands(engine: Engine) -> int:
    """Return the number of commands that the server has run, also inside functions."""
    counted = engine.client.info("commandstats").items()
    return sum(count["calls"] for name, count in counted if name not in NOT_COUNTED)
