"""Tests of claims of schedules: new occurrences, planning, and missed fire times."""

import pytest
from scheduler_api.core.cron.expression import FULL, parse
from scheduler_api.core.model import (
    MissedRuns,
    Outcome,
    Schedule,
    ScheduleState,
    State,
)
from scheduler_api.core.store import keys
from scheduler_api.core.store.records import EVENT, SCHEDULE
from tests.core.cron.fire_times import times_of
from tests.core.engine import (
    CONTENT,
    MISSED_GRACE_MS,
    NEVER,
    OFFER_MS,
    OWNER,
    PREFIX,
    START_MS,
    Engine,
    settlement,
)
from tests.core.function_calls import before_next_call

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
PLAN_AGAIN_MS = 5_000


def fire_times_s(event_ids: list[str]) -> list[int]:
    return [int(event_id.partition(".")[2]) for event_id in event_ids]


def test_a_schedule_fires_exactly_at_its_time(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0] - 1
    early = engine.claim()
    engine.now_ms += 1

    claim = engine.claim()

    assert early.ids == []
    assert early.next_us == 1_000
    assert claim.ids == [f"{schedule.id}.{schedule.times_ms[0] // 1000}"]


@pytest.mark.parametrize("expression", ["* * * * *", "*/10 * * * * *"])
@pytest.mark.parametrize("policy", list(MissedRuns))
def test_r31_a_schedule_fires_once_after_a_forward_step_of_the_clock(
    engine: Engine, expression: str, policy: MissedRuns
):
    schedule = engine.schedule(expression, missed_runs=policy, max_missed=100)
    before_ms, engine.now_ms = engine.now_ms, engine.now_ms + 300_000
    jump = (before_ms, engine.now_ms)

    fired = []
    for _ in range(20):
        fired += engine.claim(jump=jump).ids
        engine.schedules.top_up(schedule.id)
    engine.now_ms += MINUTE_MS
    later = engine.claim(jump=jump).ids

    assert len(fired) == 1
    # The first one is offered again, because no worker has begun it.
    assert len({*later} - {*fired}) == 1


def test_an_occurrence_is_offered_by_the_claim_that_creates_it(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]

    [event_id] = engine.claim().ids

    event = engine.get(event_id)
    assert engine.leased() == {event_id: engine.now_ms + OFFER_MS}
    assert engine.due() == {f"s:{schedule.id}": schedule.times_ms[1]}
    assert (event.wanted_ms, event.owner) == (schedule.times_ms[0], OWNER)
    assert event.content == schedule.content


def test_the_state_of_the_newest_occurrence_can_be_read(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    fired = engine.schedules.get(OWNER, schedule.id)
    never = engine.schedules.newest_states([schedule])
    waiting = engine.schedules.newest_states([fired, schedule])
    [begun] = engine.worker.begin(event_id)
    engine.worker.settle(settlement(begun, Outcome.DEAD, reason="gave up"))
    ended = engine.schedules.newest_states([fired])
    engine.store.forget([event_id], before_ms=engine.now_ms + 1)

    assert never == {}
    assert waiting == {event_id: State.ACTIVE}
    assert ended == {event_id: State.DEAD}
    assert engine.schedules.newest_states([fired]) == {}


def test_a_damaged_newest_occurrence_hides_no_state_of_another(engine: Engine):
    first, second = engine.schedule(), engine.schedule()
    engine.now_ms = max(first.times_ms[0], second.times_ms[0])
    event_ids = engine.claim().ids
    damaged, sound = sorted(event_ids, key=lambda id_: not id_.startswith(first.id))
    engine.checks_faults = False
    engine.client.hset(keys.event(PREFIX, damaged), EVENT.code("state"), "odd")

    schedules = [engine.schedules.get(OWNER, each.id) for each in (first, second)]
    assert engine.schedules.newest_states(schedules) == {sound: State.ACTIVE}


def test_a_begun_occurrence_has_its_schedule_and_template(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]

    [begun] = engine.worker.begin(*engine.claim().ids)

    assert begun.schedule == schedule.id
    assert begun.content == CONTENT
    assert begun.content_key == keys.template(PREFIX, schedule.id, schedule.revision)


def test_a_claim_fires_a_schedule_at_most_once(engine: Engine):
    schedule = engine.schedule("*/10 * * * * *")
    engine.now_ms = schedule.times_ms[2]

    fired = [engine.claim().ids for _ in range(4)]

    assert [len(each) for each in fired] == [1, 1, 1, 0]
    made = [event_id for each in fired for event_id in each]
    assert fire_times_s(made) == [at // 1000 for at in schedule.times_ms[:3]]


def test_e5_a_repeated_fire_time_creates_no_second_occurrence(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    engine.claim()
    key = keys.schedule(PREFIX, schedule.id)
    engine.client.hset(
        key, SCHEDULE.code("fire_times"), ",".join(map(str, schedule.times_ms))
    )
    engine.client.zadd(keys.due(PREFIX), {f"s:{schedule.id}": engine.now_ms})

    repeated = engine.claim()

    assert repeated.ids == []
    assert len(engine.leased()) == 1


def test_due_schedules_count_towards_the_room_of_a_claim(engine: Engine):
    schedules = [engine.schedule() for _ in range(8)]
    engine.now_ms = schedules[0].times_ms[0]

    first, second = engine.claim(5), engine.claim(5)

    assert (len(first.ids), len(second.ids)) == (5, 3)


def test_e8_planning_is_requested_when_fewer_than_half_the_times_are_left(
    engine: Engine,
):
    schedule = engine.schedule("* * * * *")
    requested = []
    for n, at_ms in enumerate(schedule.times_ms, 1):
        engine.now_ms = at_ms
        if engine.claim().schedule_ids:
            requested.append(n)

    assert len(schedule.times_ms) == 10
    assert requested == [6, 7, 8, 9, 10]


def test_e8_planning_is_requested_again_after_five_seconds(engine: Engine):
    schedule = engine.schedule("* * * * * *")
    engine.now_ms = schedule.times_ms[400]
    requested = []
    for _ in range(12):
        requested.append(bool(engine.claim().schedule_ids))
        engine.now_ms += SECOND_MS

    assert [n for n, each in enumerate(requested) if each] == [0, 5, 10]


def test_e8_planning_is_not_requested_again_once_it_is_done(engine: Engine):
    schedule = engine.schedule("* * * * * *")
    engine.now_ms = schedule.times_ms[400]
    engine.claim()

    answer = engine.schedules.top_up(schedule.id)
    requested = []
    for _ in range(10):
        requested += engine.claim().schedule_ids
        engine.now_ms += SECOND_MS

    assert answer == "done"
    assert requested == []
    assert "planning_requested_ms" not in engine.schedule_record(schedule.id)


def test_e8_an_exhausted_schedule_fires_again_after_planning(engine: Engine):
    schedule = engine.schedule("* * * * *")
    for at_ms in schedule.times_ms:
        engine.now_ms = at_ms
        engine.claim()
    exhausted = engine.schedules.get(OWNER, schedule.id)
    next_claim_ms = engine.due()[f"s:{schedule.id}"]
    engine.now_ms += 30 * SECOND_MS

    engine.schedules.top_up(schedule.id)

    assert exhausted.times_ms == ()
    assert next_claim_ms == schedule.times_ms[-1] + PLAN_AGAIN_MS
    planned_ms = engine.due()[f"s:{schedule.id}"]
    assert planned_ms == schedule.times_ms[-1] + MINUTE_MS


def test_e8_an_exhausted_schedule_records_since_when(engine: Engine):
    schedule = engine.schedule("* * * * *")
    for at_ms in schedule.times_ms:
        engine.now_ms = at_ms
        engine.claim()
    engine.tick(30 * SECOND_MS)
    engine.claim()

    assert engine.schedule_record(schedule.id)["exhausted_since_ms"] == str(
        schedule.times_ms[-1]
    )
    engine.schedules.top_up(schedule.id)
    assert "exhausted_since_ms" not in engine.schedule_record(schedule.id)


def test_e8_a_schedule_keeps_firing_if_no_occurrence_is_begun(engine: Engine):
    schedule = engine.schedule("* * * * *")
    fired = set[str]()
    for _ in range(60):
        engine.now_ms += MINUTE_MS
        claim = engine.claim()
        fired |= set(claim.ids)
        for schedule_id in claim.schedule_ids:
            engine.schedules.top_up(schedule_id)

    assert len(fired) == 60
    assert {event_id.partition(".")[0] for event_id in fired} == {schedule.id}


def test_e22_planning_is_requested_after_the_clock_is_set_back(engine: Engine):
    schedule = engine.schedule("* * * * * *")
    engine.now_ms = schedule.times_ms[400]
    engine.claim()
    engine.now_ms -= 300 * SECOND_MS
    key = keys.schedule(PREFIX, schedule.id)
    engine.client.hset(key, SCHEDULE.code("fire_times"), f"{engine.now_ms}")
    engine.client.zadd(keys.due(PREFIX), {f"s:{schedule.id}": engine.now_ms})

    assert engine.claim().schedule_ids == [schedule.id]


def test_r11_e22_no_occurrence_is_created_twice_when_the_clock_is_set_back(
    engine: Engine,
):
    schedule = engine.schedule("* * * * *")
    fired = []

    def run_for(minutes: int) -> None:
        for _ in range(minutes * 2):
            engine.now_ms += MINUTE_MS // 2
            claim = engine.claim()
            fired.extend(each for each in claim.ids if each not in engine.due())
            for schedule_id in claim.schedule_ids:
                engine.schedules.top_up(schedule_id)
            for begun in engine.worker.begin(*claim.ids):
                engine.worker.settle(settlement(begun))

    run_for(15)
    engine.now_ms -= HOUR_MS
    run_for(90)

    made = fire_times_s(fired)
    assert len(made) == len(set(made))
    assert max(made) * 1000 > START_MS + 40 * MINUTE_MS
    assert schedule.id == fired[0].partition(".")[0]


def down_for(engine: Engine, gap_ms: int) -> list[str]:
    """Simulate a ticker that is down for `gap_ms`, and then claims for 20 s.

    Returns:
        The ids of the occurrences that these claims created.
    """
    engine.now_ms += gap_ms
    fired = []
    for _ in range(20):
        claim = engine.claim()
        fired += [each for each in claim.ids if each not in fired]
        for schedule_id in claim.schedule_ids:
            engine.schedules.top_up(schedule_id)
        engine.worker.settle(*map(settlement, engine.worker.begin(*claim.ids)))
        engine.now_ms += SECOND_MS
    return fired


@pytest.mark.parametrize(
    ("rule", "gap_ms"),
    [
        ("* * * * *", 5 * MINUTE_MS),
        ("* * * * *", 9 * MINUTE_MS + 30_000),
        ("* * * * *", HOUR_MS),
        ("*/5 * * * *", HOUR_MS),
        ("@hourly", DAY_MS),
        ("@hourly", 2 * HOUR_MS + 40 * MINUTE_MS),
        ("@daily", 40 * DAY_MS),
        ("@every 7m", DAY_MS),
        ("@every 1h", 100 * DAY_MS),
    ],
)
def test_r21_after_a_gap_the_latest_time_runs_and_the_others_are_counted(
    engine: Engine, rule: str, gap_ms: int
):
    schedule = engine.schedule(rule)
    end_of_gap_ms = engine.now_ms + gap_ms

    fired = [int(s) * 1000 for s in fire_times_s(down_for(engine, gap_ms))]

    cron = parse(rule)
    every = times_of(cron, after_ms=START_MS, until_ms=engine.now_ms - SECOND_MS)
    past = [at for at in every if at <= end_of_gap_ms]
    missed = engine.schedules.get(OWNER, schedule.id).missed
    assert fired == sorted(fired)
    assert len(fired) + missed == len(every)
    assert fired[0] == min(
        [at for at in past if at >= end_of_gap_ms - MISSED_GRACE_MS] or past[-1:]
    )
    assert fired == every[-len(fired) :]


def test_fire_times_within_the_grace_are_delivered_late(engine: Engine):
    schedule = engine.schedule("*/20 * * * * *")
    down_ms = 3 * 20 * SECOND_MS

    fired = down_for(engine, down_ms)

    assert fire_times_s(fired)[:3] == [at // 1000 for at in schedule.times_ms[:3]]
    assert engine.schedules.get(OWNER, schedule.id).missed == 0


def test_e8_planning_decides_which_missed_time_is_the_latest(engine: Engine):
    schedule = engine.schedule("* * * * *")
    engine.now_ms += DAY_MS

    first = engine.claim()

    assert first.ids == []
    assert first.schedule_ids == [schedule.id]
    assert engine.due() == {f"s:{schedule.id}": engine.now_ms + PLAN_AGAIN_MS}


def test_no_missed_time_runs_if_another_is_due_now(engine: Engine):
    schedule = engine.schedule("*/5 * * * *")
    engine.now_ms = schedule.times_ms[1]

    fired = [each for _ in range(2) for each in engine.claim().ids]

    assert fire_times_s(fired) == [schedule.times_ms[1] // 1000]
    assert engine.schedules.get(OWNER, schedule.id).missed == 1


def test_a_plan_for_an_older_revision_is_stale(engine: Engine):
    old, edited = engine.schedule(), list[Schedule]()

    def edit() -> None:
        edited.append(engine.edited(old, expression="@daily"))

    with before_next_call(engine.client, edit):
        answer = engine.schedules.top_up(old.id)

    assert answer == "stale"
    assert [engine.schedules.get(OWNER, old.id)] == edited
    assert engine.due() == {f"s:{old.id}": edited[0].times_ms[0]}


def test_e5_repeated_planning_is_done_once(engine: Engine):
    schedule = engine.schedule("* * * * *")
    engine.now_ms += DAY_MS
    engine.claim()

    with engine.repeating() as repeats:
        answer = engine.schedules.top_up(schedule.id)

    assert answer == "done"
    assert engine.schedules.get(OWNER, schedule.id).missed > 0
    assert engine.everything() == repeats.stored


def test_a_plan_leaves_out_times_used_meanwhile(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]

    with before_next_call(engine.client, engine.claim):
        answer = engine.schedules.top_up(schedule.id)

    later = schedule.times_ms[1:]
    assert answer == "done"
    assert engine.schedules.get(OWNER, schedule.id).times_ms[: len(later)] == later


def test_a_plan_whose_times_are_all_used_is_stale(engine: Engine):
    schedule = engine.schedule()

    def use_all() -> None:
        for at_ms in schedule.times_ms:
            engine.now_ms = at_ms
            engine.claim()

    with before_next_call(engine.client, use_all):
        answer = engine.schedules.top_up(schedule.id)

    assert answer == "stale"
    assert engine.schedules.get(OWNER, schedule.id).times_ms == ()


def test_a_schedule_ends_when_its_rule_has_no_more_times(engine: Engine):
    schedule = engine.schedule()
    engine.client.hset(keys.schedule(PREFIX, schedule.id), mapping=NEVER)

    answer = engine.schedules.top_up(schedule.id)

    assert answer == "ended"
    assert engine.schedules.get(OWNER, schedule.id).state is ScheduleState.ENDED
    assert engine.due() == {}


def test_planning_does_not_change_ended_paused_and_deleted_schedules(engine: Engine):
    ended, paused, deleted = (engine.schedule() for _ in range(3))
    engine.ended(ended)
    engine.schedules.edit(paused, grammar=FULL, state=ScheduleState.PAUSED)
    engine.schedules.delete(deleted)

    answers = [engine.schedules.top_up(each.id) for each in (ended, paused, deleted)]

    assert answers == ["stale"] * 3
    assert engine.due() == {}
