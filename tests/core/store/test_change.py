"""Tests of editing and cancelling events before the first attempt."""

import pytest
from dataclasses import replace
from scheduler_api.core.errors import Conflict, NotFound, NotPending, TimePassed
from scheduler_api.core.model import Content, Event, Outcome, Owner, State
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from tests.core.engine import (
    CONTENT,
    LEASE_MS,
    OWNER,
    PREFIX,
    START_MS,
    Engine,
    ids,
    settlement,
)
from tests.core.function_calls import before_next_call

OTHER = Content("https://other.example/", b"changed")
LARGE = Content("https://other.example/", b"y" * 50_000)


def test_an_edit_of_the_time_moves_the_event(engine: Engine):
    event = engine.create(5_000)

    engine.store.change(event, at_ms=START_MS + 60_000)

    assert engine.due() == {event.id: START_MS + 60_000}
    assert engine.get(event.id).wanted_ms == START_MS + 60_000
    active = engine.scores(keys.by_time(PREFIX, str(OWNER), "active"))
    assert active == {event.id: START_MS + 60_000}


@pytest.mark.parametrize("content", [OTHER, LARGE])
def test_new_content_replaces_the_old(engine: Engine, content: Content):
    event = engine.create(5_000)
    engine.now_ms += 10

    engine.store.change(event, content=content)

    changed = engine.get(event.id)
    assert changed.content == content
    assert (changed.wanted_ms, changed.updated_ms) == (event.wanted_ms, engine.now_ms)
    assert engine.client.exists(keys.body(PREFIX, event.id)) == 0


def test_only_the_content_of_the_last_edit_is_stored(engine: Engine):
    event = engine.create(5_000, content=LARGE)
    for n in range(3):
        content = Content("https://other.example/", b"%d" % n * 5_000)
        engine.store.change(engine.get(event.id), content=content)

    bodies = [key for key in engine.everything() if key.startswith(f"{PREFIX}b:")]
    assert len(bodies) == 1
    assert engine.client.ttl(bodies[0]) == -1


def test_the_edited_content_is_sent(engine: Engine):
    event = engine.offered()

    engine.store.change(event, content=OTHER)

    [begun] = engine.worker.begin(event.id)
    assert begun.content == OTHER


def test_time_and_content_change_together(engine: Engine):
    event = engine.create(5_000)

    engine.store.change(event, content=OTHER, at_ms=START_MS + 1_000)

    changed = engine.get(event.id)
    assert (changed.content, changed.wanted_ms) == (OTHER, START_MS + 1_000)


def test_a_cancelled_event_is_in_no_place(engine: Engine):
    event = engine.create(5_000)

    engine.store.change(event, cancel=True)

    cancelled = engine.get(event.id)
    assert (cancelled.state, cancelled.finished_ms) == (State.CANCELLED, START_MS)
    assert engine.places(event.id) == []
    finished = engine.scores(keys.finished(PREFIX, str(OWNER), "cancelled"))
    assert finished == {event.id: START_MS}


def test_an_offered_event_can_be_cancelled(engine: Engine):
    event = engine.offered()

    engine.store.change(event, cancel=True)

    assert engine.worker.try_begin(event.id) == ([], {event.id: "gone"})
    assert engine.leased() == {}


def test_after_an_edit_of_the_time_the_old_envelope_does_not_begin_the_event(
    engine: Engine,
):
    event = engine.offered()

    engine.store.change(event, at_ms=engine.now_ms + 1)
    engine.now_ms += 1

    assert engine.worker.begin(event.id) == []
    assert engine.claim().ids == [event.id]
    assert ids(engine.worker.begin(event.id)) == [event.id]


@pytest.mark.parametrize("stage", ["begun", "lost", "waits", "ended"])
@pytest.mark.parametrize("what", ["cancel", "at", "content"])
def test_after_the_first_begin_an_event_cannot_be_changed(
    engine: Engine, stage: str, what: str
):
    begun = engine.begun()
    if stage == "lost":
        engine.tick(LEASE_MS)
    if stage == "waits":
        engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=60_000))
    if stage == "ended":
        engine.worker.settle(settlement(begun))
    event = engine.get(begun.id)
    stored = engine.everything()
    change = {"cancel": True, "at": engine.now_ms + 9_000, "content": OTHER}
    name = {"at": "at_ms"}.get(what, what)

    with pytest.raises(NotPending):
        engine.store.change(event, **{name: change[what]})

    assert engine.everything() == stored


def test_the_next_attempt_after_a_failure_is_brought_forward(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=60_000))
    event = engine.get(begun.id)
    lists = engine.scores(keys.by_time(PREFIX, str(OWNER), "active"))

    engine.store.change(event, at_ms=engine.now_ms + 1_000, between_attempts=True)

    changed = engine.get(event.id)
    assert engine.due() == {event.id: engine.now_ms + 1_000}
    assert changed.next_ms == engine.now_ms + 1_000
    assert (changed.wanted_ms, changed.attempts) == (event.wanted_ms, 1)
    assert engine.scores(keys.by_time(PREFIX, str(OWNER), "active")) == lists
    assert engine.claim_and_begin(event.id).attempt == 2


@pytest.mark.parametrize("stage", ["running", "interrupted", "later"])
def test_an_attempt_that_is_due_or_running_is_not_brought_forward(
    engine: Engine, stage: str
):
    begun = engine.begun()
    if stage == "interrupted":
        engine.tick(LEASE_MS)
    if stage == "later":
        engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=500))
    event, stored = engine.get(begun.id), engine.everything()

    with pytest.raises(NotPending):
        engine.store.change(event, at_ms=engine.now_ms + 1_000, between_attempts=True)

    assert engine.everything() == stored


def test_a_cancelled_event_cannot_be_cancelled_again(engine: Engine):
    event = engine.create()
    engine.store.change(event, cancel=True)

    with pytest.raises(NotPending):
        engine.store.change(engine.get(event.id), cancel=True)


@pytest.mark.parametrize("other_owner", [Owner("2", "jiter"), Owner("1", "qstash")])
def test_other_owners_cannot_change_an_event(engine: Engine, other_owner: Owner):
    event = engine.create()

    with pytest.raises(NotFound):
        engine.store.change(replace(event, owner=other_owner), cancel=True)

    assert engine.get(event.id) == event


def test_a_missing_event_cannot_be_changed(engine: Engine):
    event = engine.create()
    engine.store.change(event, cancel=True)
    engine.store.forget([event.id], before_ms=engine.now_ms + 1)

    with pytest.raises(NotFound):
        engine.store.change(event, cancel=True)


@pytest.mark.parametrize("ago_ms", [0, 1])
def test_e10_a_new_time_must_be_in_the_future_by_the_store_s_clock(
    engine: Engine, ago_ms: int
):
    event = engine.create(5_000)

    with pytest.raises(TimePassed):
        engine.store.change(event, content=OTHER, at_ms=START_MS - ago_ms)

    assert engine.get(event.id) == event


def test_an_edit_of_an_outdated_event_is_refused(engine: Engine):
    event = engine.create(5_000)
    engine.store.change(event, at_ms=START_MS + 6_000)

    with pytest.raises(Conflict):
        engine.store.change(event, content=OTHER)

    assert engine.get(event.id).content == CONTENT


@pytest.mark.parametrize("what", ["content", "time", "cancel"])
def test_e5_a_repeated_change_returns_the_same_answer(engine: Engine, what: str):
    engine.use_server_clock()
    event = engine.create(60_000)
    at_ms = event.wanted_ms + 60_000
    changes = {
        "content": {"content": OTHER},
        "time": {"at_ms": at_ms},
        "cancel": {"cancel": True},
    }

    with engine.repeating() as repeats:
        engine.store.change(event, **changes[what])

    assert engine.get(event.id) != event
    assert engine.everything() == repeats.stored


def test_an_edit_is_refused_if_its_content_has_expired(engine: Engine):
    event = engine.create(5_000)
    edit = {"content": LARGE, "at_ms": START_MS + 9_000}

    def expire() -> None:
        [written] = engine.client.keys(keys.body(PREFIX, event.id, "*"))
        engine.client.delete(written)

    with before_next_call(engine.client, expire), pytest.raises(Conflict):
        engine.store.change(event, **edit)

    assert engine.get(event.id) == event


def test_a_quarantined_event_cannot_be_changed(engine: Engine):
    event = engine.create(5_000)
    engine.client.zadd(keys.quarantine(PREFIX), {event.id: START_MS})
    engine.client.hset(keys.quarantine_reasons(PREFIX), event.id, "broken")
    engine.client.zrem(keys.due(PREFIX), event.id)

    with pytest.raises(NotPending):
        engine.store.change(event, cancel=True)


def test_e16_an_edit_to_an_earlier_time_wakes_the_tickers(engine: Engine):
    event = engine.create(60_000)
    engine.claim()
    listener = engine.listen_for_wakeups()

    engine.store.change(event, at_ms=START_MS + 100)

    assert engine.count_wakeups(listener) == 1


def occurrence(engine: Engine) -> Event:
    schedule = engine.schedule("* * * * *")
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids
    return engine.get(event_id)


def test_an_occurrence_can_be_cancelled(engine: Engine):
    event = occurrence(engine)

    engine.store.change(event, cancel=True)

    assert engine.get(event.id).state is State.CANCELLED
    assert engine.leased() == {}


@pytest.mark.parametrize("change", [{"at_ms": START_MS * 2}, {"content": OTHER}])
def test_time_and_content_of_an_occurrence_cannot_be_changed(engine: Engine, change):
    event = occurrence(engine)

    with pytest.raises(NotPending):
        engine.store.change(event, **change)

    assert engine.get(event.id) == event


def test_an_edit_by_another_process_is_seen(engine: Engine):
    event = engine.create(5_000)
    other = EventStore(Cell(engine.client, PREFIX, clock_ms=engine.now_ms))

    other.change(event, content=OTHER)

    assert engine.get(event.id).content == OTHER
