"""Tests of deduplication keys: a repeated request within the window stores nothing."""

import pytest
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.deduplication import DeduplicationKey, Duplicate, Repeated
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import (
    Draft,
    Gates,
    Outcome,
    Owner,
    Schedule,
    ScheduleState,
    Verdict,
)
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    ISOLATION_DELAY_MS,
    LEASE_MS,
    OWNER,
    PREFIX,
    Engine,
    settlement,
)

WINDOW_MS = 600_000


def key_of(name: str) -> DeduplicationKey | None:
    return DeduplicationKey(name, WINDOW_MS) if name else None


def accept(engine: Engine, *names: str, owner: Owner = OWNER):
    drafts = [
        Draft(CONTENT, DEADLINE_MS, delay_ms=1_000, deduplication=key_of(name))
        for name in names
    ]
    return engine.store.create_many(owner, drafts)


def test_a_repeated_key_answers_the_event_that_has_it(engine: Engine):
    [first], [second] = accept(engine, "m"), accept(engine, "m")

    assert (first.verdict, second.verdict) == (Verdict.OK, Verdict.DUPLICATE)
    assert second.id == first.id
    assert list(engine.due()) == [first.id]


def test_two_drafts_with_one_key_in_one_call_are_one_event(engine: Engine):
    first, other, second = accept(engine, "m", "n", "m")

    assert [first.verdict, other.verdict] == [Verdict.OK, Verdict.OK]
    assert (second.verdict, second.id) == (Verdict.DUPLICATE, first.id)


def test_a_key_outlives_the_delivery_and_expires_with_its_window(engine: Engine):
    [first] = accept(engine, "m")
    engine.now_ms += 1_000
    engine.worker.settle(settlement(*engine.worker.begin(*engine.claim().ids)))

    assert accept(engine, "m")[0].id == first.id
    assert 0 < engine.client.pttl(f"{{s1}}:dd:{OWNER}:m") <= WINDOW_MS


@pytest.mark.parametrize(
    "how", ["cancelled", "changed", "cancelled while sent", "dead", "poison"]
)
def test_a_failed_or_cancelled_event_releases_its_key(engine: Engine, how: str):
    [first] = accept(engine, "m")
    engine.now_ms += 1_000
    if how == "cancelled":
        engine.store.cancel(OWNER, [first.id])
    elif how == "changed":
        engine.store.change(engine.get(first.id), cancel=True)
    elif how == "poison":
        for _ in range(5):
            engine.claim_and_begin(first.id)
            engine.tick(LEASE_MS)
            engine.tick(ISOLATION_DELAY_MS)
    else:
        begun = engine.claim_and_begin(first.id)
        if how == "cancelled while sent":
            engine.store.cancel(OWNER, [first.id])
        else:
            engine.worker.settle(settlement(begun, Outcome.DEAD))

    [second] = accept(engine, "m")

    assert second.verdict is Verdict.OK
    assert accept(engine, "m")[0].id == second.id


def test_a_deleted_queue_releases_the_keys_of_its_events(
    engine: Engine, queues: Queues
):
    in_queue = [
        Draft(
            CONTENT,
            DEADLINE_MS,
            deduplication=key_of(name),
            gates=Gates(queue="orders"),
        )
        for name in ("sent", "waiting")
    ]
    engine.store.create_many(OWNER, in_queue)
    [_sent] = engine.worker.begin(*engine.claim().ids)
    queues.delete(OWNER, "orders")

    again = accept(engine, "sent", "waiting")

    assert [each.verdict for each in again] == [Verdict.OK, Verdict.OK]


def test_an_event_does_not_release_a_key_that_another_event_has_taken(engine: Engine):
    [first] = accept(engine, "m")
    engine.now_ms += 1_000
    begun = engine.claim_and_begin(first.id)
    engine.store.cancel(OWNER, [first.id])
    [second] = accept(engine, "m")

    engine.worker.settle(settlement(begun, Outcome.DEAD))

    assert accept(engine, "m")[0].id == second.id


def test_a_key_with_a_digest_outlives_its_event(engine: Engine):
    draft = Draft(
        CONTENT, DEADLINE_MS, deduplication=DeduplicationKey("m", WINDOW_MS, "d1")
    )
    [first] = engine.store.create_many(OWNER, [draft])
    engine.store.cancel(OWNER, [first.id])

    [second] = engine.store.create_many(OWNER, [draft])

    duplicate = Duplicate(first.id, created_ms=first.created_ms, digest="d1")
    assert (second.verdict, second.id, second.duplicate_of) == (
        Verdict.DUPLICATE,
        first.id,
        duplicate,
    )
    assert (
        engine.store.find_duplicate(OWNER, DeduplicationKey("m", WINDOW_MS))
        == duplicate
    )
    assert engine.store.find_duplicate(OWNER, DeduplicationKey("n", WINDOW_MS)) is None


def test_an_event_with_a_key_is_created_once(engine: Engine):
    def create():
        at_ms = engine.now_ms + 1
        return engine.store.create(
            OWNER,
            Draft(
                CONTENT,
                DEADLINE_MS,
                at_ms=at_ms,
                must_be_future=True,
                deduplication=DeduplicationKey("m", WINDOW_MS, "d"),
            ),
        )

    event = create()

    with pytest.raises(Repeated) as refused:
        create()
    assert refused.value.duplicate_of.id == event.id
    assert [*engine.due()] == [event.id]


def put(engine: Engine, deduplication: DeduplicationKey | None, *, name: str = ""):
    return engine.schedules.create(
        OWNER,
        CONTENT,
        expression="* * * * *",
        tz="UTC",
        grammar=FULL,
        deadline_ms=DEADLINE_MS,
        name=name,
        deduplication=deduplication,
    )


def edit(engine: Engine, schedule: Schedule, name: str):
    return engine.schedules.edit(schedule, grammar=FULL, deduplication=key_of(name))


def test_a_schedule_with_a_repeated_key_is_not_stored(engine: Engine):
    schedule = put(engine, key_of("m"))
    before = engine.everything()

    with pytest.raises(Repeated) as refused:
        put(engine, key_of("m"), name="other")

    assert refused.value.duplicate_of == Duplicate(schedule.id)
    stored = engine.everything()
    assert stored | {f"{PREFIX}seq": None} == before | {f"{PREFIX}seq": None}


def test_an_edit_with_a_repeated_key_changes_nothing(engine: Engine):
    schedule, other = put(engine, key_of("m")), put(engine, key_of("n"))

    with pytest.raises(Repeated):
        edit(engine, schedule, "m")
    with pytest.raises(Repeated):
        edit(engine, schedule, "n")

    assert engine.schedules.get(OWNER, schedule.id) == schedule
    assert engine.schedules.get(OWNER, other.id) == other


def test_a_deleted_schedule_releases_its_key(engine: Engine):
    schedule = put(engine, key_of("m"))
    paused = engine.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)
    with pytest.raises(Repeated):
        put(engine, key_of("m"))

    engine.schedules.delete(paused)

    assert put(engine, key_of("m")).id != schedule.id


def test_a_schedule_has_the_key_of_its_newest_request(engine: Engine):
    schedule = put(engine, key_of("m"))
    engine.schedules.delete(edit(engine, schedule, "n"))

    assert put(engine, key_of("n")).id != put(engine, key_of("m")).id


def test_a_key_with_a_digest_outlives_its_schedule(engine: Engine):
    key = DeduplicationKey("m", WINDOW_MS, "d")
    schedule = put(engine, key)
    engine.schedules.delete(schedule)

    with pytest.raises(Repeated) as refused:
        put(engine, key)

    assert refused.value.duplicate_of == Duplicate(
        schedule.id, schedule.created_ms, "d"
    )


def test_e5_a_schedule_that_is_put_twice_is_not_a_duplicate_of_itself(engine: Engine):
    with engine.repeating() as repeats:
        made = put(engine, key_of("m"))

    assert engine.schedules.all_of(OWNER) == [made]
    assert engine.everything() == repeats.stored


def test_owners_do_not_share_keys(engine: Engine):
    accept(engine, "m")

    [foreign] = accept(engine, "m", owner=Owner("2", "jiter"))

    assert foreign.verdict is Verdict.OK


def test_drafts_without_a_key_are_never_duplicates(engine: Engine):
    answers = accept(engine, "", "")

    assert [answer.verdict for answer in answers] == [Verdict.OK, Verdict.OK]
    assert len(engine.due()) == 2


def test_a_refused_draft_leaves_no_key(engine: Engine):
    past = Draft(
        CONTENT, 1, at_ms=engine.now_ms, must_be_future=True, deduplication=key_of("m")
    )

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
