"""Replays: what finished is sent again, as it was, by an event that names it."""

import pytest
from scheduler_api.core.deduplication import DeduplicationKey, Duplicate, Repeated
from scheduler_api.core.errors import NotFinished, NotFound, StoreFull
from scheduler_api.core.model import Content, Outcome, Schedule
from scheduler_api.core.recovery.replays import replay
from scheduler_api.core.schedules import run_history
from scheduler_api.core.store import keys
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    OWNER,
    PREFIX,
    Engine,
    settlement,
)

OTHER = Content("https://other.example/", b"other")
ORIGIN = {"origin": "7"}


def send_again(engine: Engine, event_id: str):
    event = engine.get(event_id)
    return replay(engine.store, event, options=ORIGIN, deadline_ms=DEADLINE_MS)


def fired(engine: Engine, schedule: Schedule, *outcomes: Outcome) -> str:
    """The occurrence of the next fire time, after its attempts."""
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    for n, outcome in enumerate(outcomes):
        if n:
            engine.claim()
        [begun] = engine.worker.begin(event_id)
        engine.worker.settle(settlement(begun, outcome))
    return event_id


@pytest.mark.parametrize("outcome", [Outcome.DELIVERED, Outcome.DEAD])
def test_a_finished_event_is_sent_again_at_once(engine: Engine, outcome: Outcome):
    begun = engine.begun()
    engine.worker.settle(settlement(begun, outcome))

    event = send_again(engine, begun.id)

    assert event.id != begun.id
    assert event == engine.get(event.id)
    assert event.content == Content(CONTENT.url, CONTENT.body, ORIGIN)
    assert [again.id for again in engine.worker.begin(*engine.claim().ids)] == [
        event.id
    ]


def test_an_event_that_is_not_finished_is_not_sent_again(engine: Engine):
    waiting, begun = engine.create(), engine.begun()
    for event_id in (waiting.id, begun.id):
        with pytest.raises(NotFinished):
            send_again(engine, event_id)


def test_a_full_store_takes_none(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun))
    engine.client.set(keys.full(PREFIX), 1, ex=5)

    with pytest.raises(StoreFull):
        send_again(engine, begun.id)


def test_an_occurrence_is_sent_again_as_it_was(engine: Engine):
    schedule = engine.schedule()
    first = fired(engine, schedule, Outcome.RETRY, Outcome.DEAD)
    edited = engine.edited(schedule, content=OTHER)

    again = engine.schedules.run(edited, replay_of=first)

    assert engine.get(again).content == CONTENT
    assert engine.get(again).wanted_ms == engine.now_ms
    newest, _ = run_history.newest(engine.cell, edited, limit=2)
    assert (newest.event_id, newest.replay_of, newest.by_hand) == (again, first, True)
    assert engine.worker.begin(*engine.claim().ids)[0].content == CONTENT


def test_what_it_sends_is_kept_for_as_long_as_itself(engine: Engine):
    schedule = engine.schedule()
    first = fired(engine, schedule, Outcome.DELIVERED)
    edited = engine.edited(schedule, content=OTHER)
    engine.now_ms += 1_000
    engine.schedules.run(edited, replay_of=first)

    superseded = engine.scores(keys.superseded(PREFIX))

    assert superseded == {f"{schedule.id}:{schedule.revision}": engine.now_ms}


def test_what_is_sent_again_with_the_present_content_supersedes_nothing(
    engine: Engine,
):
    schedule = engine.schedule()
    first = fired(engine, schedule, Outcome.DELIVERED)

    again = engine.schedules.run(schedule, replay_of=first)

    assert engine.scores(keys.superseded(PREFIX)) == {}
    assert engine.record(again)["replay_of"] == first


def test_an_occurrence_that_is_not_finished_is_not_sent_again(engine: Engine):
    schedule = engine.schedule()
    first = fired(engine, schedule, Outcome.RETRY)

    with pytest.raises(NotFinished):
        engine.schedules.run(schedule, replay_of=first)


def test_only_an_occurrence_of_the_schedule_is_sent_again(engine: Engine):
    schedule, other = engine.schedule(), engine.schedule("@daily")
    first = fired(engine, schedule, Outcome.DELIVERED)
    event = engine.create()
    engine.store.cancel(OWNER, [event.id])

    for unknown in (f"{schedule.id}.1", event.id, "none"):
        with pytest.raises(NotFound):
            engine.schedules.run(schedule, replay_of=unknown)
    with pytest.raises(NotFound):
        engine.schedules.run(other, replay_of=first)


def test_what_an_occurrence_sent_may_be_gone(engine: Engine):
    schedule = engine.schedule()
    first = fired(engine, schedule, Outcome.DELIVERED)
    edited = engine.edited(schedule, content=OTHER)
    engine.client.delete(keys.template(PREFIX, schedule.id, schedule.revision))

    with pytest.raises(NotFound):
        engine.schedules.run(edited, replay_of=first)


def test_what_is_sent_again_with_a_deduplication_key_is_sent_once(engine: Engine):
    schedule = engine.schedule()
    deduplication = DeduplicationKey("m", 60_000, "d")
    first = fired(engine, schedule, Outcome.DELIVERED)
    again = engine.schedules.run(schedule, replay_of=first, deduplication=deduplication)

    with pytest.raises(Repeated) as refused:
        engine.schedules.run(schedule, replay_of=first, deduplication=deduplication)

    assert refused.value.duplicate_of == Duplicate(again, engine.now_ms, "d")
    assert engine.claim().ids == [again]


def test_e5_an_occurrence_that_is_sent_again_twice_in_silence_is_one(engine: Engine):
    schedule = engine.schedule()
    first = fired(engine, schedule, Outcome.DELIVERED)
    deduplication = DeduplicationKey("m", 60_000, "d")

    with engine.repeating() as repeats:
        again = engine.schedules.run(
            schedule, replay_of=first, deduplication=deduplication
        )

    assert engine.record(again)["replay_of"] == first
    assert engine.everything() == repeats.stored
