"""Schedules: planning ahead, firing from stored times, edits while they fire."""

import pytest
from dataclasses import replace
from itertools import islice
from scheduler_api.core import keys, planning
from scheduler_api.core.cron import EVENTS_V1, FULL, Cron, CronError, parse, upcoming
from scheduler_api.core.errors import Conflict, NotFound, UnreadableRecord
from scheduler_api.core.leases import Outcome
from scheduler_api.core.model import Content, Owner, Schedule, ScheduleState, State
from scheduler_api.core.planning import (
    COVERED_MS,
    FEWEST,
    MOST,
    newest_past,
    plan,
)
from scheduler_api.core.schedules import Schedules
from scheduler_api.core.store import Store
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    GRACE_MS,
    LEASE_MS,
    OFFER_MS,
    OWNER,
    PREFIX,
    START_MS,
    Engine,
    ids,
    settlement,
)

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
PLAN_AGAIN_MS = 5_000
SECONDLY, MINUTELY, HOURLY = parse("* * * * * *"), parse("* * * * *"), parse("@hourly")
OTHER = Content("https://other.example/", b"changed")
LARGE = Content("https://other.example/", b"y" * 50_000)


def times_of(cron: Cron, *, after_ms: int, until_ms: int) -> list[int]:
    found = []
    for at_ms in upcoming(cron, after_ms=after_ms):
        if at_ms > until_ms:
            return found
        found.append(at_ms)
    return found


def plan_ahead(cron: Cron, *, after_ms: int) -> list[int]:
    return list(planning.plan_ahead(cron, after_ms=after_ms).times_ms)


def plan_at(cron: Cron, *, last_ms: int, now_ms: int):
    return plan(cron, last_ms=last_ms, now_ms=now_ms, grace_ms=GRACE_MS)


def nominal_s(event_ids: list[str]) -> list[int]:
    return [int(event_id.partition(".")[2]) for event_id in event_ids]


class Slow(Store):
    """A store that is asked for the time long before a script runs."""

    def now_ms(self) -> int:
        return super().now_ms() - 2 * SECOND_MS


def test_a_fire_time_that_passed_while_it_was_planned_is_none(engine: Engine):
    slow = Slow(engine.store.client, PREFIX, clock_ms=engine.now_ms)
    schedules = Schedules(slow, grace_ms=GRACE_MS)

    made = schedules.create(
        OWNER,
        CONTENT,
        expression="* * * * * *",
        tz="UTC",
        grammar=FULL,
        deadline_ms=DEADLINE_MS,
    )

    assert (
        made.times_ms[0]
        == times_of(
            SECONDLY, after_ms=engine.now_ms, until_ms=engine.now_ms + SECOND_MS
        )[0]
    )


def test_ten_minutes_are_planned_ahead():
    times = plan_ahead(MINUTELY, after_ms=START_MS)

    assert times == times_of(
        MINUTELY, after_ms=START_MS, until_ms=START_MS + COVERED_MS
    )
    assert len(times) == 10


def test_at_least_five_times_are_planned_ahead():
    times = plan_ahead(parse("0 0 29 2 *"), after_ms=START_MS)

    assert len(times) == FEWEST
    assert times[-1] > START_MS + 10 * 365 * DAY_MS


def test_at_most_six_hundred_times_are_planned_ahead():
    times = plan_ahead(SECONDLY, after_ms=START_MS)

    assert len(times) == MOST
    assert times == [START_MS + n * SECOND_MS for n in range(1, MOST + 1)]


def test_what_fires_now_is_not_ahead():
    minute_ms = plan_ahead(MINUTELY, after_ms=START_MS)[0]

    assert plan_ahead(MINUTELY, after_ms=minute_ms)[0] == minute_ms + MINUTE_MS
    assert plan_ahead(MINUTELY, after_ms=minute_ms - 1)[0] == minute_ms


@pytest.mark.parametrize("rule", [MINUTELY, SECONDLY])
def test_the_instants_of_a_second_have_the_same_times_ahead(rule: Cron):
    expected = times_of(rule, after_ms=START_MS, until_ms=START_MS + COVERED_MS)

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


def test_the_newest_past_time_may_be_now_but_not_the_last_one():
    minute_ms = plan_ahead(MINUTELY, after_ms=START_MS)[0]

    assert newest_past(MINUTELY, last_ms=START_MS, now_ms=minute_ms) == [minute_ms]
    assert newest_past(MINUTELY, last_ms=minute_ms, now_ms=minute_ms) == []


def test_without_a_gap_a_plan_is_what_lies_ahead():
    planned = plan_at(MINUTELY, last_ms=START_MS, now_ms=START_MS)

    assert planned.times_ms == plan_ahead(MINUTELY, after_ms=START_MS)
    assert (planned.missed, planned.dropped_ms) == (0, ())


def test_within_the_grace_every_past_time_is_kept():
    cron, now_ms = parse("*/20 * * * * *"), START_MS + 1

    planned = plan_at(cron, last_ms=now_ms - GRACE_MS, now_ms=now_ms)

    past = times_of(cron, after_ms=now_ms - GRACE_MS, until_ms=now_ms)
    assert len(past) == 3
    assert planned.times_ms[:3] == past
    assert planned.missed == 0


def test_a_time_exactly_as_old_as_the_grace_is_not_missed():
    minute_ms = plan_ahead(HOURLY, after_ms=START_MS)[0]

    at_grace = plan_at(HOURLY, last_ms=START_MS, now_ms=minute_ms + GRACE_MS)
    beyond = plan_at(HOURLY, last_ms=START_MS, now_ms=minute_ms + GRACE_MS + 1)

    assert at_grace.times_ms[0] == beyond.times_ms[0] == minute_ms
    assert (at_grace.missed, beyond.missed) == (0, 0)


def test_after_a_gap_only_the_newest_missed_time_is_kept():
    now_ms = START_MS + 10 * HOUR_MS + 30 * MINUTE_MS

    planned = plan_at(HOURLY, last_ms=START_MS, now_ms=now_ms)

    past = times_of(HOURLY, after_ms=START_MS, until_ms=now_ms)
    assert planned.times_ms == [past[-1], *plan_ahead(HOURLY, after_ms=now_ms)]
    assert planned.missed == len(past) - 1
    assert list(planned.dropped_ms) == past[:-1]


def test_beside_younger_ones_no_missed_time_is_kept():
    now_ms = START_MS + 10 * MINUTE_MS

    planned = plan_at(MINUTELY, last_ms=START_MS, now_ms=now_ms)

    past = times_of(MINUTELY, after_ms=START_MS, until_ms=now_ms)
    young = [at for at in past if at >= now_ms - GRACE_MS]
    assert planned.times_ms[: len(young)] == young
    assert planned.missed == len(past) - len(young)
    assert set(planned.dropped_ms) == set(past) - set(young)


def test_a_gap_of_a_decade_is_planned_over_quickly():
    planned = plan_at(SECONDLY, last_ms=START_MS - 3650 * DAY_MS, now_ms=START_MS)

    assert planned.missed == 10_000
    assert planned.times_ms == sorted(set(planned.times_ms))
    assert planned.times_ms[-1] == START_MS + MOST * SECOND_MS


def test_after_a_clock_step_back_nothing_is_planned_twice():
    planned = plan_at(MINUTELY, last_ms=START_MS + HOUR_MS, now_ms=START_MS)

    assert planned.times_ms == plan_ahead(MINUTELY, after_ms=START_MS)
    assert planned.missed == 0


@pytest.mark.parametrize("seconds", [1, 7, 90, 3_600, 86_400])
@pytest.mark.parametrize("gap_ms", [0, 1, 999, 12_345, HOUR_MS + 7, 30 * DAY_MS + 1])
def test_a_distance_keeps_its_rhythm_whenever_it_is_planned(seconds: int, gap_ms: int):
    cron, step_ms = parse(f"@every {seconds}s"), seconds * SECOND_MS
    last_ms = START_MS - START_MS % SECOND_MS

    planned = plan_at(cron, last_ms=last_ms, now_ms=last_ms + gap_ms)

    assert {(at_ms - last_ms) % step_ms for at_ms in planned.times_ms} == {0}
    assert min(planned.times_ms) > last_ms
    ahead = [at_ms for at_ms in planned.times_ms if at_ms > last_ms + gap_ms]
    assert ahead[0] - (last_ms + gap_ms) <= step_ms


def test_a_distance_counts_what_it_missed():
    cron = parse("@every 1h")

    planned = plan_at(cron, last_ms=START_MS, now_ms=START_MS + 5 * HOUR_MS + 1)

    late = plan_at(cron, last_ms=START_MS, now_ms=START_MS + 5 * HOUR_MS + 30 * 60_000)
    assert planned.times_ms[0] == START_MS + 5 * HOUR_MS
    assert planned.missed == 4
    assert late.times_ms[:2] == [START_MS + 5 * HOUR_MS, START_MS + 6 * HOUR_MS]
    assert (late.missed, late.dropped_ms[-1]) == (4, START_MS + 4 * HOUR_MS)


def test_a_new_schedule_reads_back_as_it_was_given(engine: Engine):
    made = engine.schedule("*/5 * * * *")

    assert engine.schedules.get(OWNER, made.id) == made
    assert made.state is ScheduleState.ACTIVE
    assert (made.expression, made.tz, made.content) == ("*/5 * * * *", "UTC", CONTENT)
    assert (made.deadline_ms, made.missed) == (DEADLINE_MS, 0)
    assert made.created_ms == made.updated_ms == made.last_ms == START_MS
    assert list(made.times_ms) == plan_ahead(parse("*/5 * * * *"), after_ms=START_MS)


def test_an_active_schedule_is_due_at_its_first_time(engine: Engine):
    schedule = engine.schedule()

    assert engine.due() == {f"s:{schedule.id}": schedule.times_ms[0]}
    assert engine.parked() == {}


def test_a_schedule_with_large_content_keeps_it(engine: Engine):
    schedule = engine.schedule(content=LARGE)

    assert schedule.content == LARGE
    key = keys.template(PREFIX, schedule.id, schedule.revision)
    assert engine.client.ttl(key) == -1


@pytest.mark.parametrize("alias", ["@hourly", "@daily", "@weekly", "@every 1h30m"])
def test_aliases_are_taken_as_they_stand(engine: Engine, alias: str):
    schedule = engine.schedule(alias)

    assert schedule.expression == alias
    assert list(schedule.times_ms) == list(
        islice(upcoming(parse(alias), after_ms=START_MS), len(schedule.times_ms))
    )


def test_what_a_grammar_does_not_take_is_no_schedule(engine: Engine):
    with pytest.raises(CronError):
        engine.schedules.create(
            OWNER,
            CONTENT,
            expression="@every 1h",
            tz="UTC",
            grammar=EVENTS_V1,
            deadline_ms=DEADLINE_MS,
        )

    assert engine.due() == {}


def test_schedules_are_listed_oldest_first_and_counted(engine: Engine):
    first = engine.schedule()
    engine.now_ms += 1
    second = engine.schedule("@hourly")

    assert engine.schedules.all_of(OWNER) == [first, second]
    assert engine.schedules.count(OWNER) == 2
    assert engine.schedules.all_of(Owner("2", "jiter")) == []


def test_many_schedules_are_read_in_batches(engine: Engine):
    made = [engine.schedule("@daily") for _ in range(205)]

    batches = list(engine.schedules.batches_of(OWNER))

    assert [len(batch) for batch in batches] == [100, 100, 5]
    read = [schedule for batch in batches for schedule in batch]
    assert sorted(read, key=lambda each: each.id) == sorted(
        made, key=lambda each: each.id
    )


def test_others_see_no_schedule(engine: Engine):
    schedule = engine.schedule()

    with pytest.raises(NotFound):
        engine.schedules.get(Owner("1", "qstash"), schedule.id)
    with pytest.raises(NotFound):
        engine.schedules.edit(
            replace(schedule, owner=Owner("2", "jiter")), grammar=FULL, content=OTHER
        )
    with pytest.raises(NotFound):
        engine.schedules.delete(replace(schedule, owner=Owner("2", "jiter")))
    assert engine.schedules.get(OWNER, schedule.id) == schedule


def test_a_broken_schedule_is_unreadable(engine: Engine):
    engine.stays_sound = False
    schedule = engine.schedule()
    engine.client.hset(keys.schedule(PREFIX, schedule.id), "times", "soon")

    with pytest.raises(UnreadableRecord):
        engine.schedules.get(OWNER, schedule.id)


def put_words(schedule: Schedule, revision: str, *, was: str, content: str = "{}\n"):
    return (
        *(schedule.id, str(OWNER), was, revision, "", "active", ""),
        *(START_MS + HOUR_MS, "", content, "", "", "ex", "@hourly", "tz", "UTC"),
        *("dl", DEADLINE_MS, "k", 1),
    )


def test_e5_a_creation_that_runs_twice_is_one_schedule(engine: Engine):
    made = engine.schedule()
    engine.schedules.delete(made)
    words = put_words(replace(made, id="new"), "r1", was="")
    first = engine.run("schedule_put", *words)
    stored = engine.everything()
    engine.now_ms += 10

    second = engine.run("schedule_put", *words)

    assert [code for code, *_ in (first, second)] == [b"ok", b"ok"]
    assert int(first[1]) == int(second[1]) == START_MS
    assert engine.everything() == stored


def test_e5_an_edit_that_runs_twice_is_one_edit(engine: Engine):
    made = engine.schedule()
    words = put_words(made, "r1", was=made.revision)
    engine.run("schedule_put", *words)
    stored = engine.everything()

    assert engine.run("schedule_put", *words)[0] == b"ok"
    assert engine.everything() == stored


def test_e4_an_id_in_use_is_taken(engine: Engine):
    made = engine.schedule()

    answer = engine.run("schedule_put", *put_words(made, "r1", was=""))

    assert answer == [b"taken", 0, made.id.encode()]
    assert engine.schedules.get(OWNER, made.id) == made


def test_a_template_that_expired_makes_no_schedule(engine: Engine):
    made = engine.schedule()

    answer = engine.run(
        "schedule_put", *put_words(made, "r1", was=made.revision, content="")
    )

    assert answer == [b"nobody", 0, made.id.encode()]
    assert engine.schedules.get(OWNER, made.id) == made


def test_a_schedule_fires_exactly_at_its_time(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0] - 1
    early = engine.claim()
    engine.now_ms += 1

    claim = engine.claim()

    assert early.ids == []
    assert early.next_us == 1_000
    assert claim.ids == [f"{schedule.id}.{schedule.times_ms[0] // 1000}"]


def test_an_occurrence_is_offered_by_the_claim_that_makes_it(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]

    [event_id] = engine.claim().ids

    event = engine.get(event_id)
    assert engine.leased() == {event_id: engine.now_ms + OFFER_MS}
    assert engine.due() == {f"s:{schedule.id}": schedule.times_ms[1]}
    assert (event.wanted_ms, event.owner) == (schedule.times_ms[0], OWNER)
    assert event.content == schedule.content


def test_the_state_of_a_newest_occurrence_is_told(engine: Engine):
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


def test_a_newest_occurrence_that_cannot_be_read_is_told_as_such(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    engine.stays_sound = False
    engine.client.hset(keys.event(PREFIX, event_id), "st", "odd")

    with pytest.raises(UnreadableRecord):
        engine.schedules.newest_states([engine.schedules.get(OWNER, schedule.id)])


def test_a_begun_occurrence_names_its_schedule_and_template(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]

    [begun] = engine.worker.begin(*engine.claim().ids)

    assert begun.schedule == schedule.id
    assert begun.content == CONTENT
    assert begun.content_key == keys.template(PREFIX, schedule.id, schedule.revision)


def test_a_claim_fires_a_schedule_once_a_look(engine: Engine):
    schedule = engine.schedule("*/10 * * * * *")
    engine.now_ms = schedule.times_ms[2]

    fired = [engine.claim().ids for _ in range(4)]

    assert [len(each) for each in fired] == [1, 1, 1, 0]
    made = [event_id for each in fired for event_id in each]
    assert nominal_s(made) == [at // 1000 for at in schedule.times_ms[:3]]


def test_e5_an_occurrence_already_made_is_not_made_again(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    engine.claim()
    key = keys.schedule(PREFIX, schedule.id)
    engine.client.hset(key, "times", ",".join(map(str, schedule.times_ms)))
    engine.client.zadd(keys.due(PREFIX), {f"s:{schedule.id}": engine.now_ms})

    repeated = engine.claim()

    assert repeated.ids == []
    assert len(engine.leased()) == 1


def test_the_past_times_of_a_schedule_share_the_room_of_a_claim(engine: Engine):
    schedules = [engine.schedule() for _ in range(8)]
    engine.now_ms = schedules[0].times_ms[0]

    first, second = engine.claim(5), engine.claim(5)

    assert (len(first.ids), len(second.ids)) == (5, 3)


def test_e8_planning_is_asked_for_below_half_of_the_list(engine: Engine):
    schedule = engine.schedule("* * * * *")
    asked = []
    for n, at_ms in enumerate(schedule.times_ms, 1):
        engine.now_ms = at_ms
        if engine.claim().schedule_ids:
            asked.append(n)

    assert len(schedule.times_ms) == 10
    assert asked == [6, 7, 8, 9, 10]


def test_e8_planning_is_asked_for_again_after_five_seconds(engine: Engine):
    schedule = engine.schedule("* * * * * *")
    engine.now_ms = schedule.times_ms[400]
    asked = []
    for _ in range(12):
        asked.append(bool(engine.claim().schedule_ids))
        engine.now_ms += SECOND_MS

    assert [n for n, each in enumerate(asked) if each] == [0, 5, 10]


def test_e8_a_planned_schedule_is_not_asked_for_again(engine: Engine):
    schedule = engine.schedule("* * * * * *")
    engine.now_ms = schedule.times_ms[400]
    engine.claim()

    answer = engine.schedules.top_up(schedule.id)
    asked = []
    for _ in range(10):
        asked += engine.claim().schedule_ids
        engine.now_ms += SECOND_MS

    assert answer == "done"
    assert asked == []
    assert "pl" not in engine.schedule_record(schedule.id)


def test_e8_a_chain_without_planning_fires_again_once_it_is_planned(engine: Engine):
    schedule = engine.schedule("* * * * *")
    for at_ms in schedule.times_ms:
        engine.now_ms = at_ms
        engine.claim()
    dry = engine.schedules.get(OWNER, schedule.id)
    next_look_ms = engine.due()[f"s:{schedule.id}"]
    engine.now_ms += 30 * SECOND_MS

    engine.schedules.top_up(schedule.id)

    assert dry.times_ms == ()
    assert next_look_ms == schedule.times_ms[-1] + PLAN_AGAIN_MS
    planned_ms = engine.due()[f"s:{schedule.id}"]
    assert planned_ms == schedule.times_ms[-1] + MINUTE_MS


def test_e8_a_dry_schedule_tells_since_when(engine: Engine):
    schedule = engine.schedule("* * * * *")
    for at_ms in schedule.times_ms:
        engine.now_ms = at_ms
        engine.claim()
    engine.tick(30 * SECOND_MS)
    engine.claim()

    assert engine.schedule_record(schedule.id)["dry"] == str(schedule.times_ms[-1])
    engine.schedules.top_up(schedule.id)
    assert "dry" not in engine.schedule_record(schedule.id)


def test_e8_occurrences_that_nobody_begins_do_not_break_the_chain(engine: Engine):
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


def test_e22_planning_is_asked_for_after_a_step_back_of_the_clock(engine: Engine):
    schedule = engine.schedule("* * * * * *")
    engine.now_ms = schedule.times_ms[400]
    engine.claim()
    engine.now_ms -= 300 * SECOND_MS
    key = keys.schedule(PREFIX, schedule.id)
    engine.client.hset(key, "times", f"{engine.now_ms}")
    engine.client.zadd(keys.due(PREFIX), {f"s:{schedule.id}": engine.now_ms})

    assert engine.claim().schedule_ids == [schedule.id]


def test_e22_a_repeated_hour_makes_no_occurrence_twice(engine: Engine):
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

    made = nominal_s(fired)
    assert len(made) == len(set(made))
    assert max(made) * 1000 > START_MS + 40 * MINUTE_MS
    assert schedule.id == fired[0].partition(".")[0]


def down_for(engine: Engine, gap_ms: int) -> list[str]:
    """Nobody claims for that long; then all is claimed and planned for a while."""
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
def test_after_a_gap_the_latest_runs_and_the_others_are_counted(
    engine: Engine, rule: str, gap_ms: int
):
    schedule = engine.schedule(rule)
    began_ms = engine.now_ms + gap_ms

    fired = [int(s) * 1000 for s in nominal_s(down_for(engine, gap_ms))]

    cron = parse(rule)
    every = times_of(cron, after_ms=START_MS, until_ms=engine.now_ms - SECOND_MS)
    past = [at for at in every if at <= began_ms]
    missed = engine.schedules.get(OWNER, schedule.id).missed
    assert fired == sorted(fired)
    assert len(fired) + missed == len(every)
    assert fired[0] == min(
        [at for at in past if at >= began_ms - GRACE_MS] or past[-1:]
    )
    assert fired == every[-len(fired) :]


def test_what_is_younger_than_the_grace_is_delivered_late(engine: Engine):
    schedule = engine.schedule("*/20 * * * * *")
    down_ms = 3 * 20 * SECOND_MS

    fired = down_for(engine, down_ms)

    assert nominal_s(fired)[:3] == [at // 1000 for at in schedule.times_ms[:3]]
    assert engine.schedules.get(OWNER, schedule.id).missed == 0


def test_e8_the_true_latest_is_not_guessed_from_a_list_that_ends(engine: Engine):
    schedule = engine.schedule("* * * * *")
    engine.now_ms += DAY_MS

    first = engine.claim()

    assert first.ids == []
    assert first.schedule_ids == [schedule.id]
    assert engine.due() == {f"s:{schedule.id}": engine.now_ms + PLAN_AGAIN_MS}


def test_beside_a_time_that_is_due_now_no_missed_one_runs(engine: Engine):
    schedule = engine.schedule("*/5 * * * *")
    engine.now_ms = schedule.times_ms[1]

    fired = [each for _ in range(2) for each in engine.claim().ids]

    assert nominal_s(fired) == [schedule.times_ms[1] // 1000]
    assert engine.schedules.get(OWNER, schedule.id).missed == 1


def test_a_plan_for_an_older_revision_is_stale(engine: Engine):
    old = engine.schedule()
    engine.schedules.edit(old, grammar=FULL, expression="@daily")
    stored = engine.everything()

    answer = engine.run("plan", old.id, old.revision, 0, 0, START_MS + 1)

    assert answer == b"stale"
    assert engine.everything() == stored


def test_e5_a_plan_that_runs_twice_is_one_plan(engine: Engine):
    schedule = engine.schedule("* * * * *")
    engine.now_ms += DAY_MS
    engine.claim()
    words = ("plan", schedule.id, schedule.revision, 7, engine.now_ms - MINUTE_MS)
    times = [engine.now_ms + n * MINUTE_MS for n in range(1, 4)]
    engine.run(*words, *times)
    stored = engine.everything()

    assert engine.run(*words, *times) == b"done"
    assert engine.everything() == stored


def test_a_plan_drops_what_was_used_meanwhile(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    engine.claim()

    engine.run("plan", schedule.id, schedule.revision, 0, 0, *schedule.times_ms)

    assert engine.schedules.get(OWNER, schedule.id).times_ms == schedule.times_ms[1:]


def test_a_plan_with_nothing_new_is_stale(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    engine.claim()

    answer = engine.run(
        "plan", schedule.id, schedule.revision, 0, 0, schedule.times_ms[0]
    )

    assert answer == b"stale"


def test_a_rule_that_yields_no_more_ends_the_schedule(engine: Engine):
    schedule = engine.schedule()

    answer = engine.run("plan", schedule.id, schedule.revision, 0, 0)

    assert answer == b"ended"
    assert engine.schedules.get(OWNER, schedule.id).state is ScheduleState.ENDED
    assert engine.due() == {}


def test_planning_leaves_ended_paused_and_deleted_schedules_alone(engine: Engine):
    ended, paused, deleted = (engine.schedule() for _ in range(3))
    engine.run("plan", ended.id, ended.revision, 0, 0)
    engine.schedules.edit(paused, grammar=FULL, state=ScheduleState.PAUSED)
    engine.schedules.delete(deleted)

    answers = [engine.schedules.top_up(each.id) for each in (ended, paused, deleted)]

    assert answers == ["stale"] * 3
    assert engine.due() == {}


def test_an_edit_replaces_rule_and_content(engine: Engine):
    schedule = engine.schedule("* * * * *")
    engine.now_ms += 10

    edited = engine.schedules.edit(
        schedule, grammar=FULL, content=OTHER, expression="@daily"
    )

    assert (edited.content, edited.expression) == (OTHER, "@daily")
    assert edited.revision != schedule.revision
    assert (edited.created_ms, edited.updated_ms) == (START_MS, engine.now_ms)
    assert list(edited.times_ms) == plan_ahead(parse("@daily"), after_ms=engine.now_ms)
    assert engine.due() == {f"s:{schedule.id}": edited.times_ms[0]}


def test_of_two_edits_from_one_reading_the_second_is_refused(engine: Engine):
    schedule = engine.schedule()
    first = engine.schedules.edit(schedule, grammar=FULL, expression="@daily")

    with pytest.raises(Conflict):
        engine.schedules.edit(schedule, grammar=FULL, content=OTHER)

    assert engine.schedules.get(OWNER, schedule.id) == first


def test_an_edit_that_is_no_rule_changes_nothing(engine: Engine):
    schedule = engine.schedule()
    stored = engine.everything()

    with pytest.raises(CronError):
        engine.schedules.edit(schedule, grammar=FULL, expression="61 * * * *")

    assert engine.everything() == stored


def test_once_an_edit_returns_no_occurrence_follows_the_old_rule(engine: Engine):
    schedule = engine.schedule("* * * * *")
    old_ms = schedule.times_ms[0]

    engine.schedules.edit(schedule, grammar=FULL, expression="30 * * * *")
    engine.now_ms = old_ms + 5 * SECOND_MS

    assert engine.claim().ids == []


def test_an_occurrence_made_before_an_edit_goes_out_as_it_was(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    engine.schedules.edit(schedule, grammar=FULL, content=OTHER)

    [begun] = engine.worker.begin(event_id)

    assert begun.content == CONTENT


def test_a_template_is_kept_until_it_is_superseded_and_noted_then(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms += 10
    edited = engine.schedules.edit(schedule, grammar=FULL, content=OTHER)

    old, new = (
        keys.template(PREFIX, each.id, each.revision) for each in (schedule, edited)
    )
    assert engine.client.exists(old, new) == 2
    assert engine.scores(keys.superseded(PREFIX)) == {
        f"{schedule.id}:{schedule.revision}": engine.now_ms
    }


def test_a_paused_schedule_is_parked_and_does_not_fire(engine: Engine):
    schedule = engine.schedule()

    paused = engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)
    engine.now_ms += HOUR_MS

    assert paused.state is ScheduleState.PAUSED
    assert engine.parked() == {schedule.id: START_MS}
    assert engine.due() == {}
    assert engine.claim().ids == []


def test_a_resumed_schedule_fires_from_then_on(engine: Engine):
    schedule = engine.schedule()
    paused = engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)
    engine.now_ms += DAY_MS

    resumed = engine.schedules.edit(paused, grammar=FULL, state=ScheduleState.ACTIVE)
    engine.claim()

    assert engine.parked() == {}
    assert engine.due() == {f"s:{schedule.id}": resumed.times_ms[0]}
    assert engine.now_ms < resumed.times_ms[0] <= engine.now_ms + MINUTE_MS
    assert resumed.missed == 0


def test_an_occurrence_made_before_the_pause_goes_out(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids

    engine.schedules.edit(
        engine.schedules.get(OWNER, schedule.id),
        grammar=FULL,
        state=ScheduleState.PAUSED,
    )

    assert ids(engine.worker.begin(event_id)) == [event_id]


def test_a_deleted_schedule_leaves_only_its_template(engine: Engine):
    schedule = engine.schedule()

    engine.schedules.delete(schedule)

    left = {key.removeprefix(PREFIX) for key in engine.everything()}
    template = f"t:{schedule.id}:{schedule.revision}"
    assert left == {"seq", "owners", "next", "superseded", template}
    with pytest.raises(NotFound):
        engine.schedules.get(OWNER, schedule.id)


def test_a_paused_schedule_can_be_deleted(engine: Engine):
    schedule = engine.schedule()
    paused = engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)

    engine.schedules.delete(paused)

    assert engine.parked() == {}


def test_e5_a_deletion_that_runs_twice_is_answered_alike(engine: Engine):
    schedule = engine.schedule()
    engine.schedules.delete(schedule)
    stored = engine.everything()

    engine.schedules.delete(schedule)

    assert engine.everything() == stored


def test_what_never_was_cannot_be_deleted(engine: Engine):
    schedule = engine.schedule()

    with pytest.raises(NotFound):
        engine.schedules.delete(replace(schedule, id="nobody"))

    assert engine.schedules.get(OWNER, schedule.id) == schedule


def test_an_occurrence_made_before_the_deletion_goes_out(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    engine.schedules.delete(schedule)

    [begun] = engine.worker.begin(event_id)
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=LEASE_MS))

    assert begun.content == CONTENT
    assert engine.due().keys() == {event_id}


def test_e16_a_schedule_that_fires_before_the_planned_look_wakes_the_tickers(
    engine: Engine,
):
    engine.create(HOUR_MS)
    engine.claim()
    listener = engine.listen()

    engine.schedule("* * * * *")

    assert engine.woken(listener) == 1


def test_a_member_whose_schedule_is_gone_falls_out(engine: Engine):
    engine.client.zadd(keys.due(PREFIX), {"s:nobody": START_MS})

    claim = engine.claim()

    assert claim.ids == claim.set_aside == []
    assert engine.due() == {}


def test_a_member_of_a_paused_schedule_falls_out(engine: Engine):
    schedule = engine.schedule()
    engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)
    engine.client.zadd(keys.due(PREFIX), {f"s:{schedule.id}": START_MS})

    assert engine.claim().ids == []
    assert engine.due() == {}


def test_the_next_time_is_told_even_while_paused(engine: Engine):
    schedule = engine.schedule("@hourly")
    paused = engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)
    first_ms = engine.schedules.next_ms(schedule)
    engine.now_ms += 30 * DAY_MS

    later_ms = engine.schedules.next_ms(paused)

    assert first_ms == schedule.times_ms[0]
    assert later_ms is not None
    assert engine.now_ms < later_ms <= engine.now_ms + HOUR_MS


def test_a_shorter_grace_misses_sooner(engine: Engine):
    strict = Schedules(engine.store, grace_ms=0)
    schedule = engine.schedule("* * * * *")
    engine.now_ms += DAY_MS + 1
    engine.claim()

    strict.top_up(schedule.id)

    planned = engine.schedules.get(OWNER, schedule.id)
    assert planned.times_ms[0] <= engine.now_ms < planned.times_ms[1]
