"""Marks: within its window a repeated request is the one that it repeats."""

import pytest
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.deduplication import Held, Mark, Repeated
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import (
    Draft,
    Gates,
    Owner,
    Schedule,
    ScheduleState,
    Verdict,
)
from scheduler_api.core.store.leases import Outcome
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    HELD_BACK_MS,
    LEASE_MS,
    OWNER,
    PREFIX,
    Engine,
    settlement,
)

WINDOW_MS = 600_000


def marked(name: str) -> Mark | None:
    return Mark(name, WINDOW_MS) if name else None


def accept(engine: Engine, *marks: str, owner: Owner = OWNER):
    drafts = [
        Draft(CONTENT, DEADLINE_MS, delay_ms=1_000, mark=marked(name)) for name in marks
    ]
    return engine.store.create_many(owner, drafts)


def test_a_repeated_mark_answers_the_event_that_holds_it(engine: Engine):
    [first], [second] = accept(engine, "m"), accept(engine, "m")

    assert (first.verdict, second.verdict) == (Verdict.OK, Verdict.DOUBLE)
    assert second.id == first.id
    assert list(engine.due()) == [first.id]


def test_two_of_one_mark_in_one_call_are_one_event(engine: Engine):
    first, other, second = accept(engine, "m", "n", "m")

    assert [first.verdict, other.verdict] == [Verdict.OK, Verdict.OK]
    assert (second.verdict, second.id) == (Verdict.DOUBLE, first.id)


def test_a_mark_holds_after_the_delivery_and_ends_with_its_window(engine: Engine):
    [first] = accept(engine, "m")
    engine.now_ms += 1_000
    engine.worker.settle(settlement(*engine.worker.begin(*engine.claim().ids)))

    assert accept(engine, "m")[0].id == first.id
    assert 0 < engine.client.pttl(f"{{s1}}:dd:{OWNER}:m") <= WINDOW_MS


@pytest.mark.parametrize("how", ["cancelled", "changed", "asked", "dead", "poison"])
def test_a_mark_goes_with_what_failed_or_was_withdrawn(engine: Engine, how: str):
    [first] = accept(engine, "m")
    engine.now_ms += 1_000
    if how == "cancelled":
        engine.store.cancel(OWNER, [first.id])
    elif how == "changed":
        engine.store.change(engine.get(first.id), cancel=True)
    elif how == "poison":
        for _ in range(5):
            engine.worker_begins(first.id)
            engine.tick(LEASE_MS)
            engine.tick(HELD_BACK_MS)
    else:
        begun = engine.worker_begins(first.id)
        if how == "asked":
            engine.store.cancel(OWNER, [first.id])
        else:
            engine.worker.settle(settlement(begun, Outcome.DEAD))

    [second] = accept(engine, "m")

    assert second.verdict is Verdict.OK
    assert accept(engine, "m")[0].id == second.id


def test_a_deleted_queue_takes_its_marks_along(engine: Engine, queues: Queues):
    in_queue = [
        Draft(CONTENT, DEADLINE_MS, mark=marked(name), gates=Gates(queue="orders"))
        for name in ("sent", "waiting")
    ]
    engine.store.create_many(OWNER, in_queue)
    [_sent] = engine.worker.begin(*engine.claim().ids)
    queues.delete(OWNER, "orders")

    again = accept(engine, "sent", "waiting")

    assert [each.verdict for each in again] == [Verdict.OK, Verdict.OK]


def test_a_mark_that_another_has_taken_over_stays(engine: Engine):
    [first] = accept(engine, "m")
    engine.now_ms += 1_000
    begun = engine.worker_begins(first.id)
    engine.store.cancel(OWNER, [first.id])
    [second] = accept(engine, "m")

    engine.worker.settle(settlement(begun, Outcome.DEAD))

    assert accept(engine, "m")[0].id == second.id


def test_a_mark_that_answers_for_a_request_outlives_what_it_names(engine: Engine):
    draft = Draft(CONTENT, DEADLINE_MS, mark=Mark("m", WINDOW_MS, "d1"))
    [first] = engine.store.create_many(OWNER, [draft])
    engine.store.cancel(OWNER, [first.id])

    [second] = engine.store.create_many(OWNER, [draft])

    held = Held(first.id, created_ms=first.created_ms, digest="d1")
    assert (second.verdict, second.id, second.held) == (Verdict.DOUBLE, first.id, held)
    assert engine.store.holder(OWNER, Mark("m", WINDOW_MS)) == held
    assert engine.store.holder(OWNER, Mark("n", WINDOW_MS)) is None


def test_an_event_that_is_marked_is_created_once(engine: Engine):
    def create():
        at_ms, mark = engine.now_ms + 1, Mark("m", WINDOW_MS, "d")
        return engine.store.create(
            OWNER,
            Draft(CONTENT, DEADLINE_MS, at_ms=at_ms, must_be_future=True, mark=mark),
        )

    event = create()

    with pytest.raises(Repeated) as refused:
        create()
    assert refused.value.held.id == event.id
    assert [*engine.due()] == [event.id]


def put(engine: Engine, mark: Mark | None, *, name: str = ""):
    return engine.schedules.create(
        OWNER,
        CONTENT,
        expression="* * * * *",
        tz="UTC",
        grammar=FULL,
        deadline_ms=DEADLINE_MS,
        name=name,
        mark=mark,
    )


def edit(engine: Engine, schedule: Schedule, name: str):
    return engine.schedules.edit(schedule, grammar=FULL, mark=marked(name))


def test_a_schedule_of_a_held_mark_is_stored_no_second_time(engine: Engine):
    schedule = put(engine, marked("m"))
    before = engine.everything()

    with pytest.raises(Repeated) as refused:
        put(engine, marked("m"), name="other")

    assert refused.value.held == Held(schedule.id)
    stored = engine.everything()
    assert stored | {f"{PREFIX}seq": None} == before | {f"{PREFIX}seq": None}


def test_an_edit_of_a_held_mark_changes_nothing(engine: Engine):
    schedule, other = put(engine, marked("m")), put(engine, marked("n"))

    with pytest.raises(Repeated):
        edit(engine, schedule, "m")
    with pytest.raises(Repeated):
        edit(engine, schedule, "n")

    assert engine.schedules.get(OWNER, schedule.id) == schedule
    assert engine.schedules.get(OWNER, other.id) == other


def test_a_schedule_s_mark_goes_with_it(engine: Engine):
    schedule = put(engine, marked("m"))
    paused = engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)
    with pytest.raises(Repeated):
        put(engine, marked("m"))

    engine.schedules.delete(paused)

    assert put(engine, marked("m")).id != schedule.id


def test_a_schedule_has_the_mark_of_its_newest_request(engine: Engine):
    schedule = put(engine, marked("m"))
    engine.schedules.delete(edit(engine, schedule, "n"))

    assert put(engine, marked("n")).id != put(engine, marked("m")).id


def test_a_schedule_s_mark_that_answers_for_a_request_outlives_it(engine: Engine):
    mark = Mark("m", WINDOW_MS, "d")
    schedule = put(engine, mark)
    engine.schedules.delete(schedule)

    with pytest.raises(Repeated) as refused:
        put(engine, mark)

    assert refused.value.held == Held(schedule.id, schedule.created_ms, "d")


def test_e5_a_marked_schedule_that_is_put_twice_is_no_double_of_itself(engine: Engine):
    with engine.repeating() as repeats:
        made = put(engine, marked("m"))

    assert engine.schedules.all_of(OWNER) == [made]
    assert engine.everything() == repeats.stored


def test_a_mark_is_its_owner_s_alone(engine: Engine):
    accept(engine, "m")

    [foreign] = accept(engine, "m", owner=Owner("2", "jiter"))

    assert foreign.verdict is Verdict.OK


def test_drafts_without_a_mark_are_never_doubles(engine: Engine):
    answers = accept(engine, "", "")

    assert [answer.verdict for answer in answers] == [Verdict.OK, Verdict.OK]
    assert len(engine.due()) == 2


def test_a_refused_draft_takes_no_mark(engine: Engine):
    past = Draft(CONTENT, 1, at_ms=engine.now_ms, must_be_future=True, mark=marked("m"))

    [refused] = engine.store.create_many(OWNER, [past])

    assert refused.verdict is Verdict.PAST
    assert accept(engine, "m")[0].verdict is Verdict.OK


def test_five_hundred_drafts_take_a_few_round_trips_and_keep_their_order(
    engine: Engine,
):
    drafts = [Draft(CONTENT, 1, delay_ms=n) for n in range(500)]

    answers = engine.store.create_many(OWNER, drafts)

    assert [a.wanted_ms - engine.now_ms for a in answers] == list(range(500))
    assert len({answer.id for answer in answers}) == 500
