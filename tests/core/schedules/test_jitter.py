"""Tests of jitter, which delays events, but never until the next fire time.

Each fire time of a schedule always has the same jitter.
"""

import pytest
from scheduler_api.core.cron.expression import parse, upcoming
from scheduler_api.core.model import MissedRuns, ScheduleOptions
from scheduler_api.core.schedules.planning import (
    MAX_TIMES,
    MIN_TIMES,
    encode_times,
    plan_ahead,
)
from tests.core.engine import OTHER, OWNER, START_MS, Engine, settlement
from tests.core.runs import reasons

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000


def work_until(engine: Engine, until_ms: int) -> list[tuple[str, int]]:
    """Claim, plan, begin and settle until `until_ms`.

    Returns:
        The id and the begin time of each occurrence that began.
    """
    begun = []
    while engine.now_ms < until_ms:
        next_ms = min(engine.due().values(), default=until_ms)
        engine.now_ms = min(max(engine.now_ms + 1, next_ms), until_ms)
        claim = engine.claim()
        for schedule_id in claim.schedule_ids:
            engine.schedules.top_up(schedule_id)
        for each in engine.worker.begin(*claim.ids):
            begun.append((each.id, engine.now_ms))
            engine.worker.settle(settlement(each))
    return begun


@pytest.mark.parametrize("rule", ["* * * * *", "* * * * * *", "@daily", "@every 90s"])
@pytest.mark.parametrize("jitter_ms", [1, 30_000, DAY_MS])
def test_jitter_is_stable_and_ends_before_the_next_fire_time(rule: str, jitter_ms: int):
    options = ScheduleOptions(jitter_ms=jitter_ms)
    ahead = plan_ahead(parse(rule), after_ms=START_MS)

    words = encode_times(ahead, options, seed="7")

    late = [[int(ms) for ms in word.split(":")] for word in words]
    following = [*ahead.times_ms[1:], ahead.following_ms]
    assert [nominal for _, nominal in late] == [*ahead.times_ms]
    for (at_ms, nominal_ms), next_ms in zip(late, following, strict=True):
        assert nominal_ms <= at_ms <= nominal_ms + jitter_ms
        assert at_ms < next_ms
    assert words == encode_times(ahead, options, seed="7")
    assert words != encode_times(ahead, options, seed="8") or jitter_ms == 1


def test_a_plan_includes_the_fire_time_after_the_stored_ones():
    cases = [("* * * * * *", MAX_TIMES), ("* * * * *", 10), ("@daily", MIN_TIMES)]
    for rule, count in cases:
        ahead = plan_ahead(parse(rule), after_ms=START_MS)
        expected = upcoming(parse(rule), after_ms=START_MS)

        assert len(ahead.times_ms) == count
        assert [*ahead.times_ms] == [next(expected) for _ in range(count)]
        assert ahead.following_ms == next(expected)


def test_jitter_does_not_exceed_the_end():
    ahead = plan_ahead(parse("@daily"), after_ms=START_MS)
    end_ms = ahead.times_ms[0] + 5
    options = ScheduleOptions(jitter_ms=HOUR_MS, end_ms=end_ms)

    firsts = {encode_times(ahead, options, seed=str(n))[0] for n in range(50)}

    assert {int(word.partition(":")[0]) - ahead.times_ms[0] for word in firsts} <= {
        *range(6)
    }


def test_a_schedule_with_jitter_fires_once_for_each_fire_time(engine: Engine):
    schedule = engine.schedule("* * * * *", jitter_ms=50_000)

    begun = work_until(engine, START_MS + 30 * MINUTE_MS)

    nominal = [int(event_id.partition(".")[2]) * 1_000 for event_id, _ in begun]
    expected = upcoming(parse("* * * * *"), after_ms=START_MS)
    assert nominal == [next(expected) for _ in nominal]
    assert len(nominal) >= 29
    late = [at - fired for (_, at), fired in zip(begun, nominal, strict=True)]
    assert all(0 <= each < 50_000 for each in late)
    assert len(set(late)) > 20
    assert engine.schedules.get(OWNER, schedule.id).missed == 0


def test_planning_does_not_miss_a_time_delayed_by_jitter(engine: Engine):
    skip = MissedRuns.SKIP
    schedule = engine.schedule("@hourly", jitter_ms=HOUR_MS, missed_runs=skip)
    nominal_ms = schedule.times_ms[0] - schedule.times_ms[0] % HOUR_MS
    assert schedule.times_ms[0] > nominal_ms + 2 * MINUTE_MS
    engine.now_ms = nominal_ms + 2 * MINUTE_MS

    engine.schedules.top_up(schedule.id)

    planned = engine.schedules.get(OWNER, schedule.id)
    assert planned.times_ms[0] == schedule.times_ms[0]
    assert planned.missed == 0


def test_an_edit_keeps_times_delayed_by_jitter(engine: Engine):
    schedule = engine.schedule("@hourly", jitter_ms=HOUR_MS)
    engine.now_ms = schedule.times_ms[0] - 1

    edited = engine.edited(schedule, content=OTHER)

    assert edited.times_ms[:5] == schedule.times_ms[:5]


def test_changing_the_end_keeps_times_delayed_by_jitter(engine: Engine):
    schedule = engine.schedule("@hourly", jitter_ms=HOUR_MS)
    nominal_ms = schedule.times_ms[0] - schedule.times_ms[0] % HOUR_MS
    engine.now_ms = schedule.times_ms[0] - 1

    edited = engine.edited(schedule, end_ms=engine.now_ms + DAY_MS)
    cut = engine.edited(schedule, end_ms=engine.now_ms + 1)
    engine.edited(schedule, end_ms=engine.now_ms + 1)
    engine.now_ms += 2
    engine.claim()

    assert edited.times_ms[:5] == cut.times_ms[:5] == schedule.times_ms[:5]
    assert reasons(engine, schedule) == [(nominal_ms, "end")]
