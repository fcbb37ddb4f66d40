"""Cancelling wherever an event stands; one being sent is only asked to stop."""

import pytest
from dataclasses import replace
from scheduler_api.core.model import Content, FollowUp, Outcome, Owner, State
from scheduler_api.core.store import keys
from scheduler_api.core.store.events import Cancelled
from scheduler_api.core.store.records import EVENT
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_MS,
    OWNER,
    PREFIX,
    Engine,
    codes,
    settlement,
)

ASIDE = Content("https://callback.example/", b"told")


def cancel(engine: Engine, *event_ids: str) -> list[Cancelled]:
    return engine.store.cancel(OWNER, event_ids)


@pytest.mark.parametrize("stage", ["waits", "offered", "lost", "retried"])
def test_what_is_in_nobody_s_hand_is_cancelled_at_once(engine: Engine, stage: str):
    if stage == "waits":
        event_id = engine.create().id
    elif stage == "offered":
        event_id = engine.offered().id
    elif stage == "lost":
        event_id = engine.interrupted().id
    else:
        begun = engine.begun()
        engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=60_000))
        event_id = begun.id

    assert cancel(engine, event_id) == [Cancelled.DONE]
    assert engine.get(event_id).state is State.CANCELLED
    assert engine.places(event_id) == []


def test_what_is_being_sent_is_asked_to_stop(engine: Engine):
    begun = engine.begun()

    assert cancel(engine, begun.id) == [Cancelled.REQUESTED]
    assert engine.get(begun.id).state is State.ACTIVE
    assert engine.leased().keys() == {begun.id}


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.DELIVERED, State.DELIVERED),
        (Outcome.RETRY, State.CANCELLED),
        (Outcome.DEAD, State.CANCELLED),
    ],
)
def test_once_asked_this_attempt_is_the_last(
    engine: Engine, outcome: Outcome, state: State
):
    begun = engine.begun()
    cancel(engine, begun.id)

    answers = engine.worker.settle(settlement(begun, outcome, delay_ms=5_000))

    assert codes(answers) == ["settled"]
    assert engine.get(begun.id).state is state
    assert engine.places(begun.id) == []


def test_once_asked_a_failed_attempt_is_told_to_nobody(engine: Engine):
    begun = engine.begun()
    cancel(engine, begun.id)
    told = FollowUp(f"{begun.id}.c1", ASIDE, DEADLINE_MS)

    engine.worker.settle(replace(settlement(begun, Outcome.DEAD), follow_ups=(told,)))

    assert engine.due() == {}


def test_once_asked_a_lost_attempt_is_the_last(engine: Engine):
    begun = engine.begun()
    cancel(engine, begun.id)

    engine.tick(LEASE_MS)

    assert engine.get(begun.id).state is State.CANCELLED
    assert engine.log(begun.id)["1"].startswith("i ")
    assert engine.places(begun.id) == []


def test_asking_again_changes_nothing(engine: Engine):
    begun = engine.begun()
    cancel(engine, begun.id)
    stored = engine.everything()
    engine.now_ms += 10

    assert cancel(engine, begun.id) == [Cancelled.ALREADY_REQUESTED]
    assert engine.everything() == stored


def test_renewals_go_on_for_what_was_asked_to_stop(engine: Engine):
    begun = engine.begun()
    cancel(engine, begun.id)

    assert engine.worker.renew(begun) == set()


@pytest.mark.parametrize("outcome", [Outcome.DELIVERED, Outcome.DEAD])
def test_what_has_ended_stays_as_it_is(engine: Engine, outcome: Outcome):
    begun = engine.begun()
    engine.worker.settle(settlement(begun, outcome))
    stored = engine.everything()

    assert cancel(engine, begun.id) == [Cancelled.ENDED]
    assert engine.everything() == stored


def test_a_late_settle_after_the_cancellation_is_only_logged(engine: Engine):
    begun = engine.interrupted()
    cancel(engine, begun.id)

    answers = engine.worker.settle(settlement(begun))

    assert codes(answers) == ["late"]
    assert engine.get(begun.id).state is State.CANCELLED


@pytest.mark.parametrize("stranger", [Owner("2", "jiter"), Owner("1", "qstash")])
def test_others_events_are_missing(engine: Engine, stranger: Owner):
    event = engine.create()

    answers = engine.store.cancel(stranger, [event.id, "nobody"])

    assert answers == [Cancelled.MISSING, Cancelled.MISSING]
    assert engine.get(event.id) == event


def test_each_of_many_is_answered_by_itself(engine: Engine):
    waits, held, ended = engine.create(60_000), engine.begun(), engine.begun()
    engine.worker.settle(settlement(ended))

    answers = cancel(engine, waits.id, "nobody", held.id, ended.id)

    assert answers == [
        Cancelled.DONE,
        Cancelled.MISSING,
        Cancelled.REQUESTED,
        Cancelled.ENDED,
    ]
    assert cancel(engine) == []


def test_an_unreadable_event_does_not_hold_up_the_others(engine: Engine):
    engine.checks_faults = False
    bad, good = engine.create(), engine.create()
    engine.client.hset(keys.event(PREFIX, bad.id), EVENT.code("due_ms"), "soon")

    answers = cancel(engine, bad.id, good.id)

    assert answers == [Cancelled.MISSING, Cancelled.DONE]
    assert engine.places(bad.id) == ["due"]


@pytest.mark.parametrize("stage", ["waits", "held"])
def test_e5_a_cancellation_that_runs_twice_is_answered_alike(
    engine: Engine, stage: str
):
    event_id = engine.create().id if stage == "waits" else engine.begun().id

    with engine.repeating() as repeats:
        answers = cancel(engine, event_id)

    assert answers == [Cancelled.DONE if stage == "waits" else Cancelled.REQUESTED]
    assert engine.everything() == repeats.stored


def test_what_stands_aside_can_be_cancelled(engine: Engine):
    event = engine.offered()
    engine.client.hset(keys.event(PREFIX, event.id), EVENT.code("created_ms"), "soon")
    engine.worker.begin(event.id)
    assert engine.places(event.id) == ["quarantine"]
    engine.client.hset(
        keys.event(PREFIX, event.id), EVENT.code("created_ms"), engine.now_ms
    )

    assert cancel(engine, event.id) == [Cancelled.DONE]
    assert engine.quarantine() == {}
    assert engine.quarantine_reasons() == {}


def test_an_occurrence_can_be_cancelled_in_flight(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    [begun] = engine.worker.begin(*engine.claim().ids)
    cancel(engine, begun.id)

    engine.worker.settle(settlement(begun, Outcome.RETRY))

    assert engine.get(begun.id).state is State.CANCELLED
    assert engine.get(begun.id).content == CONTENT


def test_a_cancelled_occurrence_leaves_its_schedule_going(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids

    assert cancel(engine, event_id) == [Cancelled.DONE]
    assert engine.places(f"s:{schedule.id}") == ["due"]


def test_an_offered_event_that_was_cancelled_cannot_be_begun(engine: Engine):
    event = engine.offered()
    cancel(engine, event.id)

    assert engine.worker.try_begin(event.id) == ([], {event.id: "gone"})
