"""Jitter, overlap, runs by hand, and what is told of each fire time."""

import pytest
from scheduler_api.core import keys, rules, runs
from scheduler_api.core.clock_changes import ClockChange, Fold, Gap
from scheduler_api.core.cron import FULL, parse, upcoming
from scheduler_api.core.errors import NotFound, Over, Overlaps, StoreFull
from scheduler_api.core.leases import Outcome
from scheduler_api.core.model import (
    Begun,
    MissedRuns,
    Overlap,
    Owner,
    Schedule,
    ScheduleOptions,
    ScheduleState,
    State,
)
from scheduler_api.core.planning import FEWEST, MOST, plan_ahead, spread
from scheduler_api.core.preview import preview
from scheduler_api.core.runs import Run
from tests.core.engine import (
    LEASE_MS,
    OTHER,
    OWNER,
    PREFIX,
    START_MS,
    Engine,
    all_ids,
    ids,
    settlement,
)

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
LOOK_AGAIN_MS = 10_000
FIRING_COMMANDS = 24
NOT_COUNTED = ("cmdstat_info", "cmdstat_evalsha")
ACTIVE, PAUSED = ScheduleState.ACTIVE, ScheduleState.PAUSED


def told(engine: Engine, schedule: Schedule, most: int = 100) -> list[Run]:
    return runs.newest(engine.store, schedule, most=most)


def reasons(engine: Engine, schedule: Schedule) -> list[tuple[int, str]]:
    """Fire times that were skipped and why, oldest first."""
    found = reversed(told(engine, schedule))
    return [(run.at_ms, run.reason) for run in found if run.event_id is None]


def first_begun(engine: Engine, schedule: Schedule) -> Begun:
    engine.now_ms = schedule.times_ms[0]
    [begun] = engine.worker.begin(*engine.claim().ids)
    return begun


def work_until(engine: Engine, until_ms: int) -> list[tuple[str, int]]:
    """Everybody works whenever anything is due: what was begun, and when."""
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
def test_jitter_is_the_same_each_time_and_never_reaches_the_next_fire_time(
    rule: str, jitter_ms: int
):
    options = ScheduleOptions(jitter_ms=jitter_ms)
    ahead = plan_ahead(parse(rule), after_ms=START_MS)

    words = spread(ahead, options, seed="7")

    late = [[int(ms) for ms in word.split(":")] for word in words]
    following = [*ahead.times_ms[1:], ahead.following_ms]
    assert [nominal for _, nominal in late] == [*ahead.times_ms]
    for (at_ms, nominal_ms), next_ms in zip(late, following, strict=True):
        assert nominal_ms <= at_ms <= nominal_ms + jitter_ms
        assert at_ms < next_ms
    assert words == spread(ahead, options, seed="7")
    assert words != spread(ahead, options, seed="8") or jitter_ms == 1


def test_the_fire_time_after_the_stored_ones_is_known():
    cases = [("* * * * * *", MOST), ("* * * * *", 10), ("@daily", FEWEST)]
    for rule, count in cases:
        ahead = plan_ahead(parse(rule), after_ms=START_MS)
        expected = upcoming(parse(rule), after_ms=START_MS)

        assert len(ahead.times_ms) == count
        assert [*ahead.times_ms] == [next(expected) for _ in range(count)]
        assert ahead.following_ms == next(expected)


def test_jitter_is_not_past_the_end():
    ahead = plan_ahead(parse("@daily"), after_ms=START_MS)
    end_ms = ahead.times_ms[0] + 5
    options = ScheduleOptions(jitter_ms=HOUR_MS, end_ms=end_ms)

    firsts = {spread(ahead, options, seed=str(n))[0] for n in range(50)}

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


def test_what_jitter_has_put_off_is_not_missed_when_it_is_planned(engine: Engine):
    skip = MissedRuns.SKIP
    schedule = engine.schedule("@hourly", jitter_ms=HOUR_MS, missed_runs=skip)
    nominal_ms = schedule.times_ms[0] - schedule.times_ms[0] % HOUR_MS
    assert schedule.times_ms[0] > nominal_ms + 2 * MINUTE_MS
    engine.now_ms = nominal_ms + 2 * MINUTE_MS

    engine.schedules.top_up(schedule.id)

    planned = engine.schedules.get(OWNER, schedule.id)
    assert planned.times_ms[0] == schedule.times_ms[0]
    assert planned.missed == 0


def test_an_edit_keeps_what_jitter_has_put_off(engine: Engine):
    schedule = engine.schedule("@hourly", jitter_ms=HOUR_MS)
    engine.now_ms = schedule.times_ms[0] - 1

    edited = engine.edited(schedule, content=OTHER)

    assert edited.times_ms[:5] == schedule.times_ms[:5]


def test_another_end_keeps_what_jitter_has_put_off(engine: Engine):
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


def test_options_of_the_rule_read_back_and_count(engine: Engine):
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


def _before_gap() -> int:
    """The midnight before the spring change of 2031 in Berlin (30 March)."""
    return 1_932_591_600_000


def test_while_one_has_not_ended_the_next_is_skipped(engine: Engine):
    schedule = engine.schedule("* * * * *", overlap=Overlap.SKIP)
    begun = first_begun(engine, schedule)
    _, second, third, fourth = schedule.times_ms[:4]
    engine.now_ms = second
    none = engine.claim().ids
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=HOUR_MS))
    engine.now_ms = third
    still_none = engine.claim().ids
    engine.store.cancel(OWNER, [begun.id])
    engine.now_ms = fourth

    assert none == still_none == []
    assert engine.claim().ids == [f"{schedule.id}.{fourth // 1_000}"]
    assert reasons(engine, schedule) == [(second, "overlap"), (third, "overlap")]
    assert engine.schedules.get(OWNER, schedule.id).missed == 0


def test_an_edit_that_forbids_overlaps_knows_the_newest_occurrence(engine: Engine):
    schedule = engine.schedule("* * * * *")
    begun = first_begun(engine, schedule)
    engine.edited(schedule, overlap=Overlap.SKIP)
    engine.now_ms = schedule.times_ms[1]
    skipped = engine.claim().ids
    engine.worker.settle(settlement(begun))
    engine.now_ms = schedule.times_ms[2]

    assert skipped == []
    assert len(engine.claim().ids) == 1


def test_what_is_forgotten_holds_nothing_up(engine: Engine):
    schedule = engine.schedule("* * * * *", overlap=Overlap.SKIP)
    begun = first_begun(engine, schedule)
    engine.worker.settle(settlement(begun))
    engine.store.forget([begun.id], before_ms=engine.now_ms + 1)
    engine.now_ms = schedule.times_ms[1]

    assert len(engine.claim().ids) == 1


ENDS = {
    "delivered": lambda engine, begun: engine.worker.settle(settlement(begun)),
    "dead": lambda engine, begun: engine.worker.settle(settlement(begun, Outcome.DEAD)),
    "cancelled": lambda engine, begun: (
        engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=DAY_MS)),
        engine.store.cancel(OWNER, [begun.id]),
    ),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_queued_occurrence_goes_as_soon_as_the_one_before_has_ended(
    engine: Engine, how: str
):
    schedule = engine.schedule("* * * * *", overlap=Overlap.QUEUE)
    begun = first_begun(engine, schedule)
    engine.now_ms = schedule.times_ms[1]
    [second] = engine.claim().ids
    none, fallen = engine.worker.begin_or_not(second)
    listener = engine.listen()
    engine.now_ms += 1

    ENDS[how](engine, begun)

    assert (none, fallen) == ([], {second: "waits"})
    assert engine.woken(listener) >= 1
    assert engine.due()[second] == engine.now_ms
    assert engine.claim().ids == [second]
    assert ids(engine.worker.begin(second)) == [second]
    assert engine.get(second).wanted_ms == schedule.times_ms[1]


def test_queued_occurrences_go_one_after_another_in_their_order(engine: Engine):
    schedule = engine.schedule("* * * * *", overlap=Overlap.QUEUE)
    hanging = first_begun(engine, schedule)
    for at_ms in schedule.times_ms[1:5]:
        engine.now_ms = at_ms
        assert engine.worker.begin(*all_ids(engine.claim())) == []
    engine.edited(schedule, state=PAUSED)
    engine.worker.settle(settlement(hanging))

    order = []
    for _ in range(5):
        begun = engine.worker.begin(*all_ids(engine.claim()))
        order.append([int(each.id.partition(".")[2]) * 1_000 for each in begun])
        engine.worker.settle(*map(settlement, begun))

    assert order == [*([at] for at in schedule.times_ms[1:5]), []]


def test_a_queued_occurrence_that_nobody_sends_for_looks_again(engine: Engine):
    schedule = engine.schedule("* * * * *", overlap=Overlap.QUEUE)
    begun = first_begun(engine, schedule)
    engine.now_ms = schedule.times_ms[1]
    [second] = engine.claim().ids
    engine.worker.begin(second)
    engine.client.hdel(keys.event(PREFIX, begun.id), "nx")
    engine.worker.settle(settlement(begun))
    engine.now_ms += LOOK_AGAIN_MS

    assert ids(engine.worker.begin(*engine.claim().ids)) == [second]


def test_an_interrupted_occurrence_holds_the_queue_up(engine: Engine):
    schedule = engine.schedule("*/10 * * * * *", overlap=Overlap.QUEUE)
    lost = first_begun(engine, schedule)
    engine.tick(LEASE_MS)

    begun = engine.worker.begin(*all_ids(engine.claim()))

    assert ids(begun) == [lost.id]


def test_a_delayed_occurrence_is_not_sent_for_before_its_time(engine: Engine):
    options = {"overlap": Overlap.QUEUE, "delay_ms": 30_000}
    schedule = engine.schedule("* * * * *", **options)
    engine.now_ms = schedule.times_ms[0]
    engine.claim()
    engine.now_ms += 30_000
    [begun] = engine.worker.begin(*engine.claim().ids)
    engine.now_ms = schedule.times_ms[1]
    engine.claim()
    second = f"{schedule.id}.{schedule.times_ms[1] // 1_000}"

    engine.worker.settle(settlement(begun))

    assert engine.due()[second] == schedule.times_ms[1] + 30_000


def test_a_run_by_hand_is_wanted_now_and_moves_nothing_on(engine: Engine):
    schedule = engine.schedule("@daily", most_runs=3)
    engine.now_ms += 1_234
    listener = engine.listen()

    event_id = engine.schedules.run(schedule)

    after = engine.schedules.get(OWNER, schedule.id)
    assert after == schedule
    assert engine.woken(listener) == 1
    assert engine.claim().ids == [event_id]
    assert engine.get(event_id).wanted_ms == engine.now_ms
    assert engine.get(event_id).content == schedule.content
    [run] = told(engine, schedule)
    assert run == Run(engine.now_ms, event_id, State.ACTIVE, by_hand=True)


def test_e5_a_run_by_hand_that_runs_twice_is_one(engine: Engine):
    schedule = engine.schedule()
    words = ("run", schedule.id, str(OWNER), f"{schedule.id}.7r1")
    engine.run(*words)
    stored = engine.everything()

    assert engine.run(*words) == b"ok"
    assert engine.everything() == stored


@pytest.mark.parametrize("strict", [False, True])
def test_a_paused_schedule_runs_by_hand(engine: Engine, strict: bool):
    schedule = engine.schedule(strict=strict)
    engine.edited(schedule, state=PAUSED)

    event_id = engine.schedules.run(schedule)

    assert ids(engine.worker.begin(*engine.claim().ids)) == [event_id]


def test_a_run_by_hand_is_taken_back_like_any_other(engine: Engine):
    schedule = engine.schedule(strict=True)
    event_id = engine.schedules.run(schedule)
    engine.claim()
    engine.now_ms += 1
    engine.edited(schedule, state=PAUSED)

    assert engine.worker.begin_or_not(event_id)[1] == {event_id: "withdrawn"}


def test_what_cannot_be_run_by_hand_is_refused(engine: Engine):
    schedule = engine.schedule(end_ms=START_MS + MINUTE_MS)
    other = engine.schedule(owner=Owner("2", "jiter"))
    engine.client.set(keys.full(PREFIX), 1, ex=60)
    with pytest.raises(StoreFull):
        engine.schedules.run(schedule)
    engine.client.delete(keys.full(PREFIX))
    engine.now_ms += MINUTE_MS + 1

    with pytest.raises(Over):
        engine.schedules.run(schedule)
    engine.claim()
    with pytest.raises(Over):
        engine.schedules.run(schedule)
    engine.schedules.delete(other)
    with pytest.raises(NotFound):
        engine.schedules.run(other)


def test_runs_by_hand_do_not_overlap_where_none_may(engine: Engine):
    skipping = engine.schedule("@daily", overlap=Overlap.SKIP)
    queueing = engine.schedule("@daily", overlap=Overlap.QUEUE)
    first = {each.id: engine.schedules.run(each) for each in (skipping, queueing)}
    second = engine.schedules.run(queueing)

    with pytest.raises(Overlaps):
        engine.schedules.run(skipping)
    begun, fallen = engine.worker.begin_or_not(*engine.claim().ids)

    assert sorted(ids(begun)) == sorted(first.values())
    assert fallen == {second: "waits"}


def test_every_fire_time_tells_what_came_of_it(engine: Engine):
    schedule = engine.schedule("* * * * *", missed_runs=MissedRuns.SKIP)
    begun = first_begun(engine, schedule)
    engine.worker.settle(settlement(begun, Outcome.DEAD, reason="exhausted"))
    engine.now_ms = schedule.times_ms[3] + 1
    [late] = engine.claim().ids

    found = told(engine, schedule)

    first, second, third, fourth = schedule.times_ms[:4]
    assert found == [
        Run(fourth, late, State.ACTIVE),
        Run(third, reason="missed"),
        Run(second, reason="missed"),
        Run(first, begun.id, State.DEAD, attempts=1, reason="exhausted"),
    ]
    assert told(engine, schedule, most=2) == found[:2]


def test_what_planning_passes_over_is_told(engine: Engine):
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


def test_fire_times_of_a_pause_are_told_during_it_and_afterwards(engine: Engine):
    schedule = engine.schedule("@hourly")
    paused = engine.edited(schedule, state=PAUSED)
    engine.now_ms += 5 * HOUR_MS
    during = reasons(engine, paused)
    resumed = engine.edited(paused, state=ACTIVE)

    assert during == [(at_ms, "paused") for at_ms in schedule.times_ms[:5]]
    assert reasons(engine, resumed) == during


def test_fire_times_that_a_late_claim_finds_past_the_end_are_told(engine: Engine):
    schedule = engine.schedule("* * * * *", end_ms=START_MS + 3 * MINUTE_MS)
    engine.now_ms += HOUR_MS

    engine.claim()

    before = [at for at in schedule.times_ms if at <= START_MS + 3 * MINUTE_MS]
    assert reasons(engine, schedule) == [(at_ms, "end") for at_ms in before]


def test_of_skipped_fire_times_a_thousand_are_kept_for_a_month(engine: Engine):
    schedule = engine.schedule("* * * * *")
    key = keys.skipped(PREFIX, schedule.id)
    for start in range(0, 1_500, 300):
        times = ",".join(str(START_MS + n) for n in range(start, start + 300))
        engine.run("plan", schedule.id, schedule.revision, 300, times, START_MS * 2)

    assert engine.client.zcard(key) == 1_000
    assert min(engine.scores(key).values()) == START_MS + 500
    assert 0 < engine.client.pttl(key) <= 30 * DAY_MS


def test_what_was_skipped_goes_with_its_schedule(engine: Engine):
    schedule = engine.schedule("@hourly")
    engine.now_ms += DAY_MS
    engine.claim()
    engine.schedules.top_up(schedule.id)

    engine.schedules.delete(schedule)

    assert not engine.client.exists(keys.skipped(PREFIX, schedule.id))


# Berlin skips 02:00 to 03:00 two weeks after the clock of these tests starts.
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
def test_what_a_clock_change_skips_is_told_as_its_preview_foretold(
    engine: Engine, rule: str, gap: Gap, skipped: bool
):
    schedule = engine.schedule(f"{BERLIN} {rule}", clock=ClockChange(gap=gap))
    cron = rules.cron_of(schedule)
    foretold = preview(cron, after_ms=START_MS, count=100).skipped
    before = reasons(engine, schedule)

    engine.now_ms = SPRING_MS + DAY_MS

    assert before == []
    assert reasons(engine, schedule) == [(SPRING_MS, "clock change")] * skipped
    assert all(each.why.startswith("clock change: ") for each in foretold)
    assert any(each.local.month == 3 for each in foretold) is skipped


def test_what_a_clock_change_skips_is_not_told_of_a_rule_that_was_not_in_force(
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


def test_what_a_clock_change_skips_is_forgotten_like_the_rest(engine: Engine):
    clock = ClockChange(gap=Gap.SKIP)
    schedule = engine.schedule(f"{BERLIN} 30 2 * * *", clock=clock)

    engine.now_ms = SPRING_MS + 30 * DAY_MS + 1_000

    assert reasons(engine, schedule) == []


@pytest.mark.parametrize("store_client", ["valkey"], indirect=True)
def test_a_fire_time_without_options_costs_as_many_commands_as_ever(engine: Engine):
    schedule = engine.schedule()
    engine.claim()
    engine.now_ms = schedule.times_ms[0]
    before = _commands(engine)

    engine.claim()

    assert _commands(engine) - before <= FIRING_COMMANDS


def _commands(engine: Engine) -> int:
    """How many commands the server has carried out, those of scripts included."""
    counted = engine.client.info("commandstats").items()
    return sum(count["calls"] for name, count in counted if name not in NOT_COUNTED)
