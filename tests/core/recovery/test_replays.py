"""Tests of replays of finished events and occurrences."""

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
    """Attempt the next occurrence once for each outcome; return the occurrence's id."""
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    for n, outcome in enumerate(outcomes):
        if n:
            engine.claim()
        [begun] = engine.worker.begin(event_id)
        engine.worker.settle(settlement(begun, outcome))
    return event_id


@pytest.mark.parametrize("outcome", [Outcome.DELIVERED, Outcome.DEAD])
def test_a_finished_event_is_replayed_at_once(engine: Engine, outcome: Outcome):
    begun = engine.begun()
    engine.worker.settle(settlement(begun, outcome))

    event = send_again(engine, begun.id)

    assert event.id != begun.id
    assert event == engine.get(event.id)
    assert event.content == Content(CONTENT.url, CONTENT.body, ORIGIN)
    assert [again.id for again in engine.worker.begin(*engine.claim().ids)] == [
        event.id
    ]


def test_an_unfinished_event_cannot_be_replayed(engine: Engine):
    waiting, begun = engine.create(), engine.begun()
    for event_id in (waiting.id, begun.id):
        with pytest.raises(NotFinished):
            send_again(engine, event_id)


def test_a_full_store_refuses_replays(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun))
    engine.client.set(keys.full(PREFIX), 1, ex=5)

    with pytest.raises(StoreFull):
        send_again(engine, begun.id)


def test_an_occurrence_is_replayed_with_its_old_content(engine: Engine):
    schedule = engine.schedule()
    first = fired(engine, schedule, Outcome.RETRY, Outcome.DEAD)
    edited = engine.edited(schedule, content=OTHER)

    again = engine.schedules.run(edited, replay_of=first)

    assert engine.get(again).content == CONTENT
    assert engine.get(again).wanted_ms == engine.now_ms
    newest, _ = run_history.newest(engine.cell, edited, limit=2)
    assert (newest.event_id, newest.replay_of, newest.by_hand) == (again, first, True)
    assert engine.worker.begin(*engine.claim().ids)[0].content == CONTENT


def test_the_content_of_a_replay_is_kept_as_long_as_the_replay(engine: Engine):
    schedule = engine.schedule()
    first = fired(engine, schedule, Outcome.DELIVERED)
    edited = engine.edited(schedule, content=OTHER)
    engine.now_ms += 1_000
    engine.schedules.run(edited, replay_of=first)

    superseded = engine.scores(keys.superseded(PREFIX))

    assert superseded == {f"{schedule.id}:{schedule.revision}": engine.now_ms}


def test_a_replay_of_the_present_content_supersedes_nothing(
    engine: Engine,
):
    schedule = engine.schedule()
    first = fired(engine, schedule, Outcome.DELIVERED)

    again = engine.schedules.run(schedule, replay_of=first)

    assert engine.scores(keys.superseded(PREFIX)) == {}
    assert engine.record(again)["replay_of"] == first


def test_an_unfinished_occurrence_cannot_be_replayed(engine: Engine):
    schedule = engine.schedule()
    first = fired(engine, schedule, Outcome.RETRY)

    with pytest.raises(NotFinished):
        engine.schedules.run(schedule, replay_of=first)


def test_a_schedule_replays_only_its_own_occurrences(engine: Engine):
    schedule, other = engine.schedule(), engine.schedule("@daily")
    first = fired(engine, schedule, Outcome.DELIVERED)
    event = engine.create()
    engine.store.cancel(OWNER, [event.id])

    for unknown in (f"{schedule.id}.1", event.id, "none"):
        with pytest.raises(NotFound):
            engine.schedules.run(schedule, replay_of=unknown)
    with pytest.raises(NotFound):
        engine.schedules.run(other, replay_of=first)


def test_an_occurrence_without_stored_content_cannot_be_replayed(engine: Engine):
    schedule = engine.schedule()
    first = fired(engine, schedule, Outcome.DELIVERED)
    edited = engine.edited(schedule, content=OTHER)
    engine.client.delete(keys.template(PREFIX, schedule.id, schedule.revision))

    with pytest.raises(NotFound):
        engine.schedules.run(edited, replay_of=first)


def test_a_replay_with_a_deduplication_key_is_sent_once(engine: Engine):
    schedule = engine.schedule()
    deduplication = DeduplicationKey("m", 60_000, "d")
    first = fired(engine, schedule, Outcome.DELIVERED)
    again = engine.schedules.run(schedule, replay_of=first, deduplication=deduplication)

    with pytest.raises(Repeated) as refused:
        engine.schedules.run(schedule, replay_of=first, deduplication=deduplication)

    assert refused.value.duplicate_of == Duplicate(again, engine.now_ms, "d")
    assert engine.claim().ids == [again]


def test_e5_a_repeated_replay_of_an_occurrence_creates_one_event(engine: Engine):
    schedule = engine.schedule()
    first = fired(engine, schedule, Outcome.DELIVERED)
    deduplication = DeduplicationKey("m", 60_000, "d")

    with engine.repeating() as repeats:
        again = engine.schedules.run(
            schedule, replay_of=first, deduplication=deduplication
        )

    assert engine.record(again)["replay_of"] == first
    assert engine.everything() == repeats.stored
