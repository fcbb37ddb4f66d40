"""Tests of cancelling events in any state.

A cancellation does not stop an attempt in progress.
"""

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

CALLBACK = Content("https://callback.example/", b"callback")


def cancel(engine: Engine, *event_ids: str) -> list[Cancelled]:
    return engine.store.cancel(OWNER, event_ids)


@pytest.mark.parametrize("stage", ["waits", "offered", "lost", "retried"])
def test_an_event_that_is_not_being_sent_is_cancelled_at_once(
    engine: Engine, stage: str
):
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


def test_the_cancellation_of_an_event_being_sent_is_recorded(engine: Engine):
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
def test_after_a_request_to_cancel_the_attempt_is_the_last(
    engine: Engine, outcome: Outcome, state: State
):
    begun = engine.begun()
    cancel(engine, begun.id)

    answers = engine.worker.settle(settlement(begun, outcome, delay_ms=5_000))

    assert codes(answers) == ["settled"]
    assert engine.get(begun.id).state is state
    assert engine.places(begun.id) == []


def test_after_a_request_to_cancel_a_failure_has_no_callback(engine: Engine):
    begun = engine.begun()
    cancel(engine, begun.id)
    callback = FollowUp(f"{begun.id}.c1", CALLBACK, DEADLINE_MS)

    engine.worker.settle(
        replace(settlement(begun, Outcome.DEAD), follow_ups=(callback,))
    )

    assert engine.due() == {}


def test_after_a_request_to_cancel_an_interruption_ends_the_event(engine: Engine):
    begun = engine.begun()
    cancel(engine, begun.id)

    engine.tick(LEASE_MS)

    assert engine.get(begun.id).state is State.CANCELLED
    assert engine.log(begun.id)["1"].startswith("i ")
    assert engine.places(begun.id) == []


def test_a_second_request_to_cancel_changes_nothing(engine: Engine):
    begun = engine.begun()
    cancel(engine, begun.id)
    stored = engine.everything()
    engine.now_ms += 10

    assert cancel(engine, begun.id) == [Cancelled.ALREADY_REQUESTED]
    assert engine.everything() == stored


def test_leases_are_renewed_after_a_request_to_cancel(engine: Engine):
    begun = engine.begun()
    cancel(engine, begun.id)

    assert engine.worker.renew(begun) == set()


@pytest.mark.parametrize("outcome", [Outcome.DELIVERED, Outcome.DEAD])
def test_an_ended_event_cannot_be_cancelled(engine: Engine, outcome: Outcome):
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


@pytest.mark.parametrize("other_owner", [Owner("2", "jiter"), Owner("1", "qstash")])
def test_events_of_other_owners_are_missing(engine: Engine, other_owner: Owner):
    event = engine.create()

    answers = engine.store.cancel(other_owner, [event.id, "nobody"])

    assert answers == [Cancelled.MISSING, Cancelled.MISSING]
    assert engine.get(event.id) == event


def test_each_id_gets_its_own_answer(engine: Engine):
    waits, begun, ended = engine.create(60_000), engine.begun(), engine.begun()
    engine.worker.settle(settlement(ended))

    answers = cancel(engine, waits.id, "nobody", begun.id, ended.id)

    assert answers == [
        Cancelled.DONE,
        Cancelled.MISSING,
        Cancelled.REQUESTED,
        Cancelled.ENDED,
    ]
    assert cancel(engine) == []


def test_an_unreadable_event_does_not_block_the_others(engine: Engine):
    engine.checks_faults = False
    bad, good = engine.create(), engine.create()
    engine.client.hset(keys.event(PREFIX, bad.id), EVENT.code("due_ms"), "soon")

    answers = cancel(engine, bad.id, good.id)

    assert answers == [Cancelled.MISSING, Cancelled.DONE]
    assert engine.places(bad.id) == ["due"]


@pytest.mark.parametrize("stage", ["waits", "begun"])
def test_e5_a_repeated_cancellation_returns_the_same_answer(engine: Engine, stage: str):
    event_id = engine.create().id if stage == "waits" else engine.begun().id

    with engine.repeating() as repeats:
        answers = cancel(engine, event_id)

    assert answers == [Cancelled.DONE if stage == "waits" else Cancelled.REQUESTED]
    assert engine.everything() == repeats.stored


def test_a_quarantined_event_can_be_cancelled(engine: Engine):
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


def test_an_occurrence_can_be_cancelled_while_it_is_sent(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    [begun] = engine.worker.begin(*engine.claim().ids)
    cancel(engine, begun.id)

    engine.worker.settle(settlement(begun, Outcome.RETRY))

    assert engine.get(begun.id).state is State.CANCELLED
    assert engine.get(begun.id).content == CONTENT


def test_after_a_cancelled_occurrence_its_schedule_continues(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    [event_id] = engine.claim().ids

    assert cancel(engine, event_id) == [Cancelled.DONE]
    assert engine.places(f"s:{schedule.id}") == ["due"]


def test_a_cancelled_offered_event_cannot_begin(engine: Engine):
    event = engine.offered()
    cancel(engine, event.id)

    assert engine.worker.try_begin(event.id) == ([], {event.id: "gone"})
