"""Tests of planning: which fire times are stored, and which are missed."""

import pytest
from scheduler_api.core.cron.expression import Cron, parse, upcoming
from scheduler_api.core.schedules.planning import (
    MAX_TIMES,
    MIN_TIMES,
    PLANNED_MS,
    newest_past,
    plan,
)
from tests.core.cron.fire_times import plan_ahead, times_of
from tests.core.engine import MISSED_GRACE_MS, START_MS

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
SECONDLY, MINUTELY, HOURLY = parse("* * * * * *"), parse("* * * * *"), parse("@hourly")


def plan_at(cron: Cron, *, last_ms: int, now_ms: int):
    return plan(cron, last_ms=last_ms, now_ms=now_ms, grace_ms=MISSED_GRACE_MS)


def test_ten_minutes_are_planned_ahead():
    times = plan_ahead(MINUTELY, after_ms=START_MS)

    assert times == times_of(
        MINUTELY, after_ms=START_MS, until_ms=START_MS + PLANNED_MS
    )
    assert len(times) == 10


def test_at_least_five_times_are_planned_ahead():
    times = plan_ahead(parse("0 0 29 2 *"), after_ms=START_MS)

    assert len(times) == MIN_TIMES
    assert times[-1] > START_MS + 10 * 365 * DAY_MS


def test_at_most_six_hundred_times_are_planned_ahead():
    times = plan_ahead(SECONDLY, after_ms=START_MS)

    assert len(times) == MAX_TIMES
    assert times == [START_MS + n * SECOND_MS for n in range(1, MAX_TIMES + 1)]


def test_a_fire_time_at_this_instant_is_not_planned():
    minute_ms = plan_ahead(MINUTELY, after_ms=START_MS)[0]

    assert plan_ahead(MINUTELY, after_ms=minute_ms)[0] == minute_ms + MINUTE_MS
    assert plan_ahead(MINUTELY, after_ms=minute_ms - 1)[0] == minute_ms


@pytest.mark.parametrize("rule", [MINUTELY, SECONDLY])
def test_all_instants_of_a_second_have_the_same_plan(rule: Cron):
    expected = times_of(rule, after_ms=START_MS, until_ms=START_MS + PLANNED_MS)

    assert plan_ahead(rule, after_ms=START_MS + 1) == expected
    assert plan_ahead(rule, after_ms=START_MS + 999) == expected


@pytest.mark.parametrize(
    "gap_ms",
    [SECOND_MS, MINUTE_MS, HOUR_MS + 1, 3 * DAY_MS, 100 * DAY_MS, 5 * 365 * DAY_MS],
)
@pytest.mark.parametrize("rule", ["*/7 * * * *", "@daily", "0 12 1 * *", "0 0 29 2 *"])
def test_the_newest_past_time_is_found_in_any_gap(gap_ms: int, rule: str):
    cron, last_ms = parse(rule), START_MS - gap_ms

    newest = next(iter(newest_past(cron, last_ms=last_ms, now_ms=START_MS)), None)

    if gap_ms <= 100 * DAY_MS:
        past = times_of(cron, after_ms=last_ms, until_ms=START_MS)
        assert newest == (past[-1] if past else None)
    elif newest is not None:
        assert last_ms < newest <= START_MS
        assert next(upcoming(cron, after_ms=newest)) > START_MS


def test_the_newest_past_time_may_be_now_but_not_the_last_used_time():
    minute_ms = plan_ahead(MINUTELY, after_ms=START_MS)[0]

    assert newest_past(MINUTELY, last_ms=START_MS, now_ms=minute_ms) == [minute_ms]
    assert newest_past(MINUTELY, last_ms=minute_ms, now_ms=minute_ms) == []


def test_without_a_gap_a_plan_has_future_times_only():
    planned = plan_at(MINUTELY, last_ms=START_MS, now_ms=START_MS)

    assert planned.times_ms == plan_ahead(MINUTELY, after_ms=START_MS)
    assert (planned.missed, planned.dropped_ms) == (0, ())


def test_all_past_times_within_the_grace_are_planned():
    cron, now_ms = parse("*/20 * * * * *"), START_MS + 1

    planned = plan_at(cron, last_ms=now_ms - MISSED_GRACE_MS, now_ms=now_ms)

    past = times_of(cron, after_ms=now_ms - MISSED_GRACE_MS, until_ms=now_ms)
    assert len(past) == 3
    assert planned.times_ms[:3] == past
    assert planned.missed == 0


def test_a_time_exactly_as_old_as_the_grace_is_not_missed():
    minute_ms = plan_ahead(HOURLY, after_ms=START_MS)[0]

    at_grace = plan_at(HOURLY, last_ms=START_MS, now_ms=minute_ms + MISSED_GRACE_MS)
    beyond = plan_at(HOURLY, last_ms=START_MS, now_ms=minute_ms + MISSED_GRACE_MS + 1)

    assert at_grace.times_ms[0] == beyond.times_ms[0] == minute_ms
    assert (at_grace.missed, beyond.missed) == (0, 0)


def test_after_a_gap_only_the_newest_missed_time_is_planned():
    now_ms = START_MS + 10 * HOUR_MS + 30 * MINUTE_MS

    planned = plan_at(HOURLY, last_ms=START_MS, now_ms=now_ms)

    past = times_of(HOURLY, after_ms=START_MS, until_ms=now_ms)
    assert planned.times_ms == [past[-1], *plan_ahead(HOURLY, after_ms=now_ms)]
    assert planned.missed == len(past) - 1
    assert list(planned.dropped_ms) == past[:-1]


def test_no_missed_time_is_planned_if_one_is_within_the_grace():
    now_ms = START_MS + 10 * MINUTE_MS

    planned = plan_at(MINUTELY, last_ms=START_MS, now_ms=now_ms)

    past = times_of(MINUTELY, after_ms=START_MS, until_ms=now_ms)
    young = [at for at in past if at >= now_ms - MISSED_GRACE_MS]
    assert planned.times_ms[: len(young)] == young
    assert planned.missed == len(past) - len(young)
    assert set(planned.dropped_ms) == set(past) - set(young)


def test_missed_times_of_a_ten_year_gap_are_counted_up_to_a_limit():
    planned = plan_at(SECONDLY, last_ms=START_MS - 3650 * DAY_MS, now_ms=START_MS)

    assert planned.missed == 10_000
    assert planned.times_ms == sorted(set(planned.times_ms))
    assert planned.times_ms[-1] == START_MS + MAX_TIMES * SECOND_MS


def test_after_the_clock_is_set_back_nothing_is_planned_twice():
    planned = plan_at(MINUTELY, last_ms=START_MS + HOUR_MS, now_ms=START_MS)

    assert planned.times_ms == plan_ahead(MINUTELY, after_ms=START_MS)
    assert planned.missed == 0


@pytest.mark.parametrize("seconds", [1, 7, 90, 3_600, 86_400])
@pytest.mark.parametrize("gap_ms", [0, 1, 999, 12_345, HOUR_MS + 7, 30 * DAY_MS + 1])
def test_an_interval_stays_on_its_grid_whenever_it_is_planned(
    seconds: int, gap_ms: int
):
    cron, step_ms = parse(f"@every {seconds}s"), seconds * SECOND_MS
    last_ms = START_MS - START_MS % SECOND_MS

    planned = plan_at(cron, last_ms=last_ms, now_ms=last_ms + gap_ms)

    assert {(at_ms - last_ms) % step_ms for at_ms in planned.times_ms} == {0}
    assert min(planned.times_ms) > last_ms
    ahead = [at_ms for at_ms in planned.times_ms if at_ms > last_ms + gap_ms]
    assert ahead[0] - (last_ms + gap_ms) <= step_ms


def test_missed_times_of_an_interval_are_counted():
    cron = parse("@every 1h")

    planned = plan_at(cron, last_ms=START_MS, now_ms=START_MS + 5 * HOUR_MS + 1)

    late = plan_at(cron, last_ms=START_MS, now_ms=START_MS + 5 * HOUR_MS + 30 * 60_000)
    assert planned.times_ms[0] == START_MS + 5 * HOUR_MS
    assert planned.missed == 4
    assert late.times_ms[:2] == [START_MS + 5 * HOUR_MS, START_MS + 6 * HOUR_MS]
    assert (late.missed, late.dropped_ms[-1]) == (4, START_MS + 4 * HOUR_MS)
