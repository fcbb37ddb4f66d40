"""Tests of schedules with a start, an end, a number of runs, or the option `strict`."""

import pytest
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.errors import TimePassed
from scheduler_api.core.model import Outcome, Schedule, ScheduleState, State
from tests.core.engine import CONTENT, LEASE_MS, OTHER, START_MS, Engine, settlement

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
PAUSED, ACTIVE = ScheduleState.PAUSED, ScheduleState.ACTIVE


def state_of(engine: Engine, schedule: Schedule) -> ScheduleState:
    return engine.schedules.get(schedule.owner, schedule.id).state


def first_offered(engine: Engine, schedule: Schedule) -> str:
    """Claim at the first fire time; return the id of the offered occurrence."""
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    return event_id


def work_until(engine: Engine, until_ms: int) -> list[int]:
    """Claim, plan, begin and settle until `until_ms`; return the fire times, in ms."""
    fired = []
    while engine.now_ms < until_ms:
        next_ms = min(engine.due().values(), default=until_ms)
        engine.now_ms = min(max(engine.now_ms + 1, next_ms), until_ms)
        claim = engine.claim()
        fired += [int(each.partition(".")[2]) * 1_000 for each in claim.ids]
        for schedule_id in claim.schedule_ids:
            engine.schedules.top_up(schedule_id)
        engine.worker.settle(*map(settlement, engine.worker.begin(*claim.ids)))
    return fired


@pytest.mark.parametrize("strict", [False, True])
def test_start_end_and_number_of_runs_are_stored_and_can_be_replaced(
    engine: Engine, strict: bool
):
    start_ms, end_ms = START_MS + HOUR_MS, START_MS + DAY_MS
    options = {"start_ms": start_ms, "end_ms": end_ms, "max_runs": 5, "strict": strict}

    schedule = engine.schedule(**options)
    edited = engine.edited(schedule, start_ms=None, end_ms=None, max_runs=None)

    read = schedule.options
    assert (read.start_ms, read.end_ms, read.max_runs) == (start_ms, end_ms, 5)
    assert (read.strict, schedule.runs_left) == (strict, 5)
    assert edited.options.end_ms is edited.runs_left is None


def test_the_first_fire_time_is_not_before_the_start(engine: Engine):
    start_ms = START_MS - START_MS % HOUR_MS + 5 * HOUR_MS

    exactly = engine.schedule("@hourly", start_ms=start_ms)
    later = engine.schedule("@hourly", start_ms=start_ms + 1)
    interval = engine.schedule("@every 90s", start_ms=start_ms)

    assert exactly.times_ms[0] == start_ms
    assert later.times_ms[0] == start_ms + HOUR_MS
    assert interval.times_ms[:2] == (start_ms + 90_000, start_ms + 180_000)
    assert engine.schedules.next_ms(exactly) == start_ms


def test_planning_and_pausing_do_not_move_the_start(engine: Engine):
    start_ms = START_MS - START_MS % DAY_MS + DAY_MS
    schedule = engine.schedule("* * * * * *", start_ms=start_ms)
    engine.schedules.top_up(schedule.id)

    engine.edited(schedule, state=PAUSED)
    resumed = engine.edited(schedule, state=ACTIVE)
    engine.schedules.top_up(schedule.id)

    planned = engine.schedules.get(schedule.owner, schedule.id)
    assert planned.times_ms == resumed.times_ms == schedule.times_ms
    assert planned.times_ms[0] == start_ms


@pytest.mark.parametrize("by_ms", [0, 1, DAY_MS])
def test_an_end_that_is_not_in_the_future_is_refused(engine: Engine, by_ms: int):
    schedule = engine.schedule()
    stored = engine.everything()

    with pytest.raises(TimePassed):
        engine.edited(schedule, end_ms=START_MS - by_ms)
    unchanged = engine.everything() == stored
    with pytest.raises(TimePassed):
        engine.schedule(end_ms=START_MS - by_ms)

    assert unchanged
    assert engine.schedules.all_of(schedule.owner) == [schedule]


@pytest.mark.parametrize("rule", ["* * * * *", "@daily", "*/7 * * * * *"])
def test_a_schedule_ends_1_ms_after_its_end(engine: Engine, rule: str):
    end_ms = START_MS + 3 * MINUTE_MS
    schedule = engine.schedule(rule, end_ms=end_ms)

    fired = work_until(engine, end_ms)
    at_its_end = engine.claim(), state_of(engine, schedule)
    engine.now_ms += 1
    engine.claim()

    assert fired == [at for at in schedule.times_ms if at <= end_ms]
    assert at_its_end[1] is ACTIVE
    assert at_its_end[0].next_us == 1_000
    assert state_of(engine, schedule) is ScheduleState.ENDED
    assert engine.due() == engine.paused_schedules() == {}
    assert engine.schedules.next_ms(schedule) is None


def test_a_fire_time_at_exactly_the_end_runs(engine: Engine):
    first_ms = engine.schedule().times_ms[0]
    schedule = engine.schedule(end_ms=first_ms)

    engine.now_ms = first_ms
    begun = engine.worker.begin(*engine.claim().ids)

    assert schedule.id in {each.schedule for each in begun}


def test_a_paused_schedule_with_an_end_is_due_when_it_ends(engine: Engine):
    end_ms = START_MS + HOUR_MS
    schedule = engine.schedule(end_ms=end_ms)
    paused = engine.edited(schedule, state=PAUSED)
    places = engine.due(), engine.paused_schedules()
    engine.now_ms = end_ms
    early = engine.claim().next_us, state_of(engine, schedule)
    engine.now_ms += 1
    engine.claim()

    assert paused.state is PAUSED
    assert places == ({f"s:{schedule.id}": end_ms + 1}, {})
    assert early == (1_000, PAUSED)
    assert state_of(engine, schedule) is ScheduleState.ENDED
    assert engine.due() == engine.paused_schedules() == {}


def test_a_paused_schedule_is_due_only_while_it_has_an_end(engine: Engine):
    schedule = engine.schedule()
    engine.edited(schedule, state=PAUSED)
    without = engine.due(), engine.paused_schedules()
    engine.edited(schedule, end_ms=START_MS + HOUR_MS)
    with_end = engine.due(), engine.paused_schedules()
    engine.edited(schedule, end_ms=None)

    assert (
        without
        == (engine.due(), engine.paused_schedules())
        == ({}, {schedule.id: START_MS})
    )
    assert with_end == ({f"s:{schedule.id}": START_MS + HOUR_MS + 1}, {})


def test_a_later_end_restarts_an_ended_schedule(engine: Engine):
    schedule = engine.schedule(end_ms=START_MS + MINUTE_MS)
    work_until(engine, START_MS + HOUR_MS)
    other = engine.edited(schedule, content=OTHER)
    engine.claim()

    revived = engine.edited(schedule, end_ms=engine.now_ms + HOUR_MS)

    assert other.state is ScheduleState.ENDED
    assert revived.state is ACTIVE
    assert engine.now_ms < revived.times_ms[0] <= engine.now_ms + MINUTE_MS
    assert revived.missed == 0
    assert work_until(engine, engine.now_ms + 2 * MINUTE_MS) == [*revived.times_ms[:2]]


def test_a_schedule_restarted_before_its_end_was_claimed_makes_up_for_nothing(
    engine: Engine,
):
    schedule = engine.schedule(end_ms=START_MS + MINUTE_MS)
    engine.now_ms += HOUR_MS

    revived = engine.edited(schedule, end_ms=engine.now_ms + HOUR_MS)

    assert revived.state is ACTIVE
    assert engine.claim().ids == []
    assert revived.times_ms[0] > engine.now_ms


def test_a_late_claim_creates_no_occurrence_once_the_end_has_passed(engine: Engine):
    schedule = engine.schedule(end_ms=START_MS + MINUTE_MS + 1)
    engine.now_ms = START_MS + MINUTE_MS + 2

    claim = engine.claim()

    assert schedule.times_ms[0] < START_MS + MINUTE_MS
    assert claim.ids == []
    assert state_of(engine, schedule) is ScheduleState.ENDED


@pytest.mark.parametrize("strict", [False, True])
def test_an_occurrence_cannot_begin_after_the_end(engine: Engine, strict: bool):
    schedule = engine.schedule("* * * * *", end_ms=START_MS + MINUTE_MS, strict=strict)
    event_id = first_offered(engine, schedule)
    engine.now_ms = START_MS + MINUTE_MS + 1

    begun, refused = engine.worker.try_begin(event_id)

    event = engine.get(event_id)
    assert (begun, refused) == ([], {event_id: "withdrawn"})
    assert (event.state, event.reason) == (State.CANCELLED, "end")


@pytest.mark.parametrize("strict", [False, True])
def test_no_retry_is_planned_past_the_end(engine: Engine, strict: bool):
    schedule = engine.schedule("@hourly", strict=strict)
    engine.edited(schedule, end_ms=schedule.times_ms[0] + 5 * SECOND_MS)
    [first] = engine.worker.begin(first_offered(engine, schedule))
    within = settlement(first, Outcome.RETRY, delay_ms=5 * SECOND_MS)
    past = settlement(first, Outcome.RETRY, delay_ms=5 * SECOND_MS + 1)

    [answer] = engine.worker.settle(past)

    event = engine.get(first.id)
    assert answer.code == "settled"
    assert (event.state, event.reason) == (State.DEAD, "end")
    assert engine.worker.settle(within)[0].code == "repeated"


def test_a_begun_event_has_the_time_left_until_the_end(engine: Engine):
    schedule = engine.schedule("@hourly")
    engine.schedule("@hourly")
    engine.edited(schedule, end_ms=schedule.times_ms[0] + 7 * SECOND_MS)
    engine.now_ms = schedule.times_ms[0] + 3 * SECOND_MS

    begun = engine.worker.begin(*engine.claim().ids)

    left = {each.schedule == schedule.id: each.left_ms for each in begun}
    assert left == {True: 4 * SECOND_MS, False: None}


def test_a_retry_planned_before_the_end_cannot_begin_after_it(engine: Engine):
    schedule = engine.schedule("@hourly")
    engine.edited(schedule, end_ms=schedule.times_ms[0] + 5 * SECOND_MS)
    [first] = engine.worker.begin(first_offered(engine, schedule))
    engine.worker.settle(settlement(first, Outcome.RETRY, delay_ms=5 * SECOND_MS))
    engine.now_ms += 5 * SECOND_MS
    claimed = engine.claim().ids
    engine.now_ms += 1

    _, refused = engine.worker.try_begin(first.id)

    event = engine.get(first.id)
    assert claimed == [first.id]
    assert refused == {first.id: "withdrawn"}
    assert (event.state, event.reason) == (State.DEAD, "end")


def test_a_schedule_ends_after_its_maximum_number_of_runs(engine: Engine):
    schedule = engine.schedule("*/10 * * * * *", max_runs=3)

    fired = work_until(engine, START_MS + MINUTE_MS)

    ended = engine.schedules.get(schedule.owner, schedule.id)
    assert fired == [*schedule.times_ms[:3]]
    assert (ended.state, ended.runs_left) == (ScheduleState.ENDED, 0)
    assert engine.schedules.next_ms(ended) is None
    assert engine.due() == {}


def test_an_edit_keeps_count_of_earlier_runs(engine: Engine):
    schedule = engine.schedule("*/10 * * * * *", max_runs=3)
    work_until(engine, schedule.times_ms[1])

    same = engine.edited(schedule, content=OTHER)
    more = engine.edited(schedule, max_runs=4)
    fewer = engine.edited(schedule, max_runs=2)
    revived = engine.edited(schedule, max_runs=5, state=ACTIVE)

    left = [each.runs_left for each in (same, more, fewer, revived)]
    assert left == [1, 2, 0, 3]
    assert fewer.state is ScheduleState.ENDED
    assert revived.state is ACTIVE


def test_missed_fire_times_do_not_count_as_runs(engine: Engine):
    schedule = engine.schedule("* * * * *", max_runs=2)
    engine.now_ms += DAY_MS

    fired = work_until(engine, engine.now_ms + 10 * MINUTE_MS)

    assert len(fired) == 2
    assert state_of(engine, schedule) is ScheduleState.ENDED


def test_an_edit_after_a_claim_repeats_no_fire_time(engine: Engine):
    schedule = engine.schedule("*/10 * * * * *", max_runs=9)
    work_until(engine, schedule.times_ms[1])

    # `schedule` was read before the claims, so `schedule.times_ms` still contains the
    # fire times of the claimed occurrences.
    edited = engine.schedules.edit(schedule, grammar=FULL, content=OTHER)

    assert edited.times_ms[0] == schedule.times_ms[2]
    assert edited.runs_left == 7


def test_e22_an_edit_repeats_no_fire_time_after_the_clock_is_set_back(
    engine: Engine,
):
    schedule = engine.schedule("*/10 * * * * *")
    work_until(engine, schedule.times_ms[3])
    engine.now_ms -= HOUR_MS

    edited = engine.edited(schedule, content=OTHER)

    assert edited.times_ms[0] == schedule.times_ms[4]
    assert edited.times_ms == tuple(sorted(set(edited.times_ms)))
    assert engine.claim().ids == []


WITHDRAWALS = {
    "paused": lambda engine, schedule: engine.edited(schedule, state=PAUSED),
    "deleted": lambda engine, schedule: engine.schedules.delete(schedule),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("how", WITHDRAWALS)
def test_only_a_strict_schedule_withdraws_its_occurrences(
    engine: Engine, how: str, strict: bool
):
    schedule = engine.schedule(strict=strict)
    event_id = first_offered(engine, schedule)
    WITHDRAWALS[how](engine, schedule)

    begun, refused = engine.worker.try_begin(event_id)

    event = engine.get(event_id)
    if strict:
        assert (begun, refused) == ([], {event_id: "withdrawn"})
        assert (event.state, event.reason) == (State.CANCELLED, how)
    else:
        assert [each.id for each in begun] == [event_id]


def test_a_strict_schedule_does_not_send_old_occurrences_after_a_pause(engine: Engine):
    schedule = engine.schedule(strict=True)
    event_id = first_offered(engine, schedule)
    engine.edited(schedule, state=PAUSED)
    engine.edited(schedule, content=OTHER)
    resumed = engine.edited(schedule, state=ACTIVE)

    _, refused = engine.worker.try_begin(event_id)
    engine.now_ms = resumed.times_ms[0]
    [later] = engine.worker.begin(*engine.claim().ids)

    assert refused == {event_id: "withdrawn"}
    assert later.content == OTHER


def test_e22_occurrences_after_a_pause_are_sent_even_if_the_clock_is_set_back(
    engine: Engine,
):
    schedule = engine.schedule("*/10 * * * * *", strict=True)
    engine.edited(schedule, state=PAUSED)
    engine.now_ms -= HOUR_MS
    resumed = engine.edited(schedule, state=ACTIVE)
    engine.now_ms = resumed.times_ms[0]

    [begun] = engine.worker.begin(*engine.claim().ids)

    assert begun.schedule == schedule.id


def test_other_edits_of_a_strict_schedule_do_not_withdraw_occurrences(engine: Engine):
    schedule = engine.schedule(strict=True, end_ms=START_MS + DAY_MS)
    event_id = first_offered(engine, schedule)
    engine.edited(schedule, content=OTHER, expression="@daily")

    [begun] = engine.worker.begin(event_id)

    assert begun.content == CONTENT


def test_an_earlier_end_withdraws_occurrences_of_a_strict_schedule(engine: Engine):
    schedule = engine.schedule(strict=True, end_ms=START_MS + DAY_MS)
    event_id = first_offered(engine, schedule)
    engine.edited(schedule, end_ms=engine.now_ms + 1)
    engine.now_ms += 2

    assert engine.worker.try_begin(event_id)[1] == {event_id: "withdrawn"}


@pytest.mark.parametrize("how", WITHDRAWALS)
def test_a_withdrawn_occurrence_is_not_retried(engine: Engine, how: str):
    schedule = engine.schedule("@hourly", strict=True)
    [waits] = engine.worker.begin(first_offered(engine, schedule))
    engine.worker.settle(settlement(waits, Outcome.RETRY, delay_ms=3_000))
    WITHDRAWALS[how](engine, schedule)
    engine.now_ms += 3_000

    _, refused = engine.worker.try_begin(*engine.claim().ids)

    event = engine.get(waits.id)
    assert refused == {waits.id: "withdrawn"}
    assert (event.state, event.reason, event.attempts) == (State.CANCELLED, how, 1)


@pytest.mark.parametrize("how", WITHDRAWALS)
def test_a_withdrawn_occurrence_is_cancelled_when_its_attempt_fails(
    engine: Engine, how: str
):
    schedule = engine.schedule("@hourly", strict=True)
    [under_way] = engine.worker.begin(first_offered(engine, schedule))
    WITHDRAWALS[how](engine, schedule)

    [answer] = engine.worker.settle(
        settlement(under_way, Outcome.RETRY, delay_ms=3_000)
    )

    event = engine.get(under_way.id)
    assert answer.next_ms == 0
    assert (event.state, event.reason) == (State.CANCELLED, how)


@pytest.mark.parametrize(
    ("rule", "delay_ms", "planned"),
    [
        ("* * * * *", 3_000, True),
        ("* * * * *", 59_999, True),
        ("* * * * *", 60_000, False),
        ("*/30 * * * * *", 3_000, False),
    ],
)
def test_a_strict_schedule_retries_only_before_its_next_fire_time(
    engine: Engine, rule: str, delay_ms: int, planned: bool
):
    schedule = engine.schedule(rule, strict=True)
    [begun] = engine.worker.begin(first_offered(engine, schedule))

    [answer] = engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=delay_ms))

    event = engine.get(begun.id)
    assert (answer.next_ms > 0) == planned
    assert (event.state, event.reason) == (
        (State.ACTIVE, None) if planned else (State.DEAD, "next")
    )


def test_a_late_retry_of_a_strict_schedule_is_withdrawn_at_the_next_fire_time(
    engine: Engine,
):
    schedule = engine.schedule("* * * * *", strict=True)
    [first] = engine.worker.begin(first_offered(engine, schedule))
    engine.worker.settle(settlement(first, Outcome.RETRY, delay_ms=3_000))
    engine.now_ms = schedule.times_ms[1]
    claimed = engine.claim().ids

    begun, refused = engine.worker.try_begin(*claimed)

    assert refused == {first.id: "withdrawn"}
    assert [each.id for each in begun] == [each for each in claimed if each != first.id]
    assert engine.get(first.id).reason == "next"


def test_a_strict_schedule_records_when_its_first_attempt_began(engine: Engine):
    schedule = engine.schedule(strict=True)
    event_id = first_offered(engine, schedule)
    offered = engine.schedules.get(schedule.owner, schedule.id)
    [begun] = engine.worker.begin(event_id)
    first_begun_ms = engine.now_ms
    engine.worker.settle(settlement(begun, Outcome.DEAD, reason="exhausted"))
    work_until(engine, first_begun_ms + 2 * MINUTE_MS)

    paused = engine.edited(schedule, state=PAUSED)

    assert offered.first_begun_ms is None
    assert paused.first_begun_ms == first_begun_ms
    assert (offered.pauses, paused.pauses) == (0, 1)


def test_an_interrupted_attempt_is_not_repeated_after_the_end(engine: Engine):
    schedule = engine.schedule("@hourly")
    engine.edited(schedule, end_ms=schedule.times_ms[0] + SECOND_MS)
    [lost] = engine.worker.begin(first_offered(engine, schedule))
    engine.tick(LEASE_MS - 1)
    engine.now_ms += 1
    engine.claim()

    assert engine.worker.try_begin(lost.id)[1] == {lost.id: "withdrawn"}
    assert engine.get(lost.id).state is State.DEAD
