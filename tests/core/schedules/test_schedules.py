"""Tests of creating, editing, pausing and deleting schedules."""

import pytest
from dataclasses import replace
from itertools import islice
from scheduler_api.core.cron.expression import (
    FULL,
    CronError,
    parse,
    upcoming,
)
from scheduler_api.core.errors import (
    Conflict,
    NotFound,
    StoreFull,
    UnreadableRecord,
)
from scheduler_api.core.model import Content, Outcome, Owner, ScheduleState
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.records import SCHEDULE
from scheduler_api.dialects.events_v1.cron_grammar import GRAMMAR as EVENTS_V1
from tests.core.cron.fire_times import plan_ahead, times_of
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_MS,
    MISSED_GRACE_MS,
    OWNER,
    PREFIX,
    START_MS,
    Engine,
    ids,
    settlement,
)
from tests.core.function_calls import before_next_call

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
SECONDLY, MINUTELY, HOURLY = parse("* * * * * *"), parse("* * * * *"), parse("@hourly")
OTHER = Content("https://other.example/", b"changed")
LARGE = Content("https://other.example/", b"y" * 50_000)


class SlowCell(Cell):
    """A cell whose client has a clock two seconds behind the server's clock.

    This simulates calls that take two seconds to reach the server.
    """

    def now_ms(self) -> int:
        return super().now_ms() - 2 * SECOND_MS


def test_a_fire_time_that_passes_during_planning_is_not_stored(engine: Engine):
    slow = SlowCell(engine.client, PREFIX, clock_ms=engine.now_ms)
    schedules = Schedules(slow, grace_ms=MISSED_GRACE_MS)

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


def test_a_new_schedule_is_read_as_it_was_created(engine: Engine):
    made = engine.schedule("*/5 * * * *")

    assert engine.schedules.get(OWNER, made.id) == made
    assert made.state is ScheduleState.ACTIVE
    assert (made.expression, made.tz, made.content) == ("*/5 * * * *", "UTC", CONTENT)
    assert (made.deadline_ms, made.missed) == (DEADLINE_MS, 0)
    assert made.created_ms == made.updated_ms == made.last_used_ms == START_MS
    assert list(made.times_ms) == plan_ahead(parse("*/5 * * * *"), after_ms=START_MS)


def test_r10_a_full_store_refuses_new_schedules_but_not_the_pause_of_one(
    engine: Engine,
):
    schedule = engine.schedule()
    engine.client.set(keys.full(PREFIX), 1, ex=60)

    with pytest.raises(StoreFull):
        engine.schedule()

    assert engine.edited(schedule, state=ScheduleState.PAUSED).state == "paused"
    assert engine.faults() == []


def test_an_active_schedule_is_due_at_its_first_time(engine: Engine):
    schedule = engine.schedule()

    assert engine.due() == {f"s:{schedule.id}": schedule.times_ms[0]}
    assert engine.paused_schedules() == {}


def test_a_schedule_can_have_large_content(engine: Engine):
    schedule = engine.schedule(content=LARGE)

    assert schedule.content == LARGE
    key = keys.template(PREFIX, schedule.id, schedule.revision)
    assert engine.client.ttl(key) == -1


@pytest.mark.parametrize("alias", ["@hourly", "@daily", "@weekly", "@every 1h30m"])
def test_aliases_are_stored_unchanged(engine: Engine, alias: str):
    schedule = engine.schedule(alias)

    assert schedule.expression == alias
    assert list(schedule.times_ms) == list(
        islice(upcoming(parse(alias), after_ms=START_MS), len(schedule.times_ms))
    )


def test_a_rule_that_the_grammar_does_not_support_is_refused(engine: Engine):
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


def test_other_owners_cannot_see_or_change_a_schedule(engine: Engine):
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


def test_a_damaged_schedule_is_unreadable(engine: Engine):
    engine.checks_faults = False
    schedule = engine.schedule()
    engine.client.hset(
        keys.schedule(PREFIX, schedule.id), SCHEDULE.code("fire_times"), "soon"
    )

    with pytest.raises(UnreadableRecord):
        engine.schedules.get(OWNER, schedule.id)


@pytest.mark.parametrize("family", ["schedule", "template"])
def test_a_schedule_with_a_key_of_the_wrong_type_hides_no_other(
    engine: Engine, family: str
):
    engine.checks_faults = False
    bad, good = engine.schedule(), engine.schedule()
    key = {
        "schedule": keys.schedule(PREFIX, bad.id),
        "template": keys.template(PREFIX, bad.id, bad.revision),
    }[family]
    engine.client.delete(key)
    engine.client.zadd(key, {"x": 1})

    assert engine.schedules.all_of(OWNER) == [good]
    with pytest.raises(UnreadableRecord):
        engine.schedules.get(OWNER, bad.id)


def test_e5_a_repeated_creation_creates_one_schedule(engine: Engine):
    engine.use_server_clock()

    with engine.repeating() as repeats:
        made = engine.schedule("@hourly", name="hourly")

    assert engine.schedules.all_of(OWNER) == [made]
    assert engine.everything() == repeats.stored


def test_e5_a_repeated_edit_is_one_edit(engine: Engine):
    engine.use_server_clock()
    made = engine.schedule()

    with engine.repeating() as repeats:
        edited = engine.edited(made, expression="@hourly")

    assert edited.revision != made.revision
    assert engine.everything() == repeats.stored


def test_e4_an_id_that_is_in_use_is_not_reused(engine: Engine):
    made = engine.schedule()
    engine.client.delete(keys.sequence(PREFIX))

    other = engine.schedule("@daily")

    assert (made.id, other.id) == ("1", "2")
    assert engine.schedules.get(OWNER, made.id) == made


def test_an_edit_whose_content_expired_changes_nothing(engine: Engine):
    made = engine.schedule()
    present = keys.template(PREFIX, made.id, made.revision)

    def expire() -> None:
        templates = engine.client.keys(keys.template(PREFIX, made.id, "*"))
        [written] = {key.decode() for key in templates} - {present}
        engine.client.delete(written)

    with before_next_call(engine.client, expire), pytest.raises(Conflict):
        engine.edited(made, content=LARGE)

    assert engine.schedules.get(OWNER, made.id) == made


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


def test_the_second_of_two_concurrent_edits_is_refused(engine: Engine):
    schedule = engine.schedule()
    first = engine.schedules.edit(schedule, grammar=FULL, expression="@daily")

    with pytest.raises(Conflict):
        engine.schedules.edit(schedule, grammar=FULL, content=OTHER)

    assert engine.schedules.get(OWNER, schedule.id) == first


def test_an_edit_with_an_invalid_rule_changes_nothing(engine: Engine):
    schedule = engine.schedule()
    stored = engine.everything()

    with pytest.raises(CronError):
        engine.schedules.edit(schedule, grammar=FULL, expression="61 * * * *")

    assert engine.everything() == stored


def test_after_an_edit_no_occurrence_follows_the_old_rule(engine: Engine):
    schedule = engine.schedule("* * * * *")
    old_ms = schedule.times_ms[0]

    engine.schedules.edit(schedule, grammar=FULL, expression="30 * * * *")
    engine.now_ms = old_ms + 5 * SECOND_MS

    assert engine.claim().ids == []


def test_an_occurrence_created_before_an_edit_is_sent_unchanged(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    engine.schedules.edit(schedule, grammar=FULL, content=OTHER)

    [begun] = engine.worker.begin(event_id)

    assert begun.content == CONTENT


def test_an_edit_records_which_template_it_supersedes(engine: Engine):
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


def test_a_paused_schedule_is_not_due_and_does_not_fire(engine: Engine):
    schedule = engine.schedule()

    paused = engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)
    engine.now_ms += HOUR_MS

    assert paused.state is ScheduleState.PAUSED
    assert engine.paused_schedules() == {schedule.id: START_MS}
    assert engine.due() == {}
    assert engine.claim().ids == []


def test_a_resumed_schedule_fires_only_from_now_on(engine: Engine):
    schedule = engine.schedule()
    paused = engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)
    engine.now_ms += DAY_MS

    resumed = engine.schedules.edit(paused, grammar=FULL, state=ScheduleState.ACTIVE)
    engine.claim()

    assert engine.paused_schedules() == {}
    assert engine.due() == {f"s:{schedule.id}": resumed.times_ms[0]}
    assert engine.now_ms < resumed.times_ms[0] <= engine.now_ms + MINUTE_MS
    assert resumed.missed == 0


def test_an_occurrence_created_before_a_pause_is_sent(engine: Engine):
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
    assert left == {"server", "seq", "owners", "next_check", "superseded", template}
    with pytest.raises(NotFound):
        engine.schedules.get(OWNER, schedule.id)


def test_a_paused_schedule_can_be_deleted(engine: Engine):
    schedule = engine.schedule()
    paused = engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)

    engine.schedules.delete(paused)

    assert engine.paused_schedules() == {}


def test_e5_a_repeated_deletion_has_the_same_answer(engine: Engine):
    schedule = engine.schedule()
    engine.schedules.delete(schedule)
    stored = engine.everything()

    engine.schedules.delete(schedule)

    assert engine.everything() == stored


def test_a_schedule_that_never_existed_cannot_be_deleted(engine: Engine):
    schedule = engine.schedule()

    with pytest.raises(NotFound):
        engine.schedules.delete(replace(schedule, id="nobody"))

    assert engine.schedules.get(OWNER, schedule.id) == schedule


def test_an_occurrence_created_before_the_deletion_is_sent(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    engine.schedules.delete(schedule)

    [begun] = engine.worker.begin(event_id)
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=LEASE_MS))

    assert begun.content == CONTENT
    assert engine.due().keys() == {event_id}


def test_e16_a_schedule_that_fires_before_the_next_claim_wakes_the_tickers(
    engine: Engine,
):
    engine.create(HOUR_MS)
    engine.claim()
    listener = engine.listen_for_wakeups()

    engine.schedule("* * * * *")

    assert engine.count_wakeups(listener) == 1


def test_a_member_of_due_without_a_schedule_is_removed(engine: Engine):
    engine.client.zadd(keys.due(PREFIX), {"s:nobody": START_MS})

    claim = engine.claim()

    assert claim.ids == claim.quarantined == []
    assert engine.due() == {}


def test_a_member_of_due_of_a_paused_schedule_is_removed(engine: Engine):
    schedule = engine.schedule()
    engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)
    engine.client.zadd(keys.due(PREFIX), {f"s:{schedule.id}": START_MS})

    assert engine.claim().ids == []
    assert engine.due() == {}


def test_the_next_fire_time_is_reported_even_while_paused(engine: Engine):
    schedule = engine.schedule("@hourly")
    paused = engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)
    first_ms = engine.schedules.next_ms(schedule)
    engine.now_ms += 30 * DAY_MS

    later_ms = engine.schedules.next_ms(paused)

    assert first_ms == schedule.times_ms[0]
    assert later_ms is not None
    assert engine.now_ms < later_ms <= engine.now_ms + HOUR_MS


def test_a_fire_time_is_missed_earlier_with_a_shorter_grace(engine: Engine):
    strict = Schedules(engine.cell, grace_ms=0)
    schedule = engine.schedule("* * * * *")
    engine.now_ms += DAY_MS + 1
    engine.claim()

    strict.top_up(schedule.id)

    planned = engine.schedules.get(OWNER, schedule.id)
    assert planned.times_ms[0] <= engine.now_ms < planned.times_ms[1]
