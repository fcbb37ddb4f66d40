"""Cancelling events wherever they stand, also while they are being sent."""

import pytest
from scheduler_api.core.leases import Outcome
from scheduler_api.core.model import Owner, State
from scheduler_api.core.store import Cancelled
from tests.core.engine import LEASE_MS, OWNER, Engine, codes, settlement


def cancel(engine: Engine, *event_ids: str, owner: Owner = OWNER) -> list[Cancelled]:
    return engine.store.cancel(owner, event_ids)


def test_an_event_that_waits_is_cancelled(engine: Engine):
    event = engine.create(1_000)

    assert cancel(engine, event.id) == [Cancelled.DONE]
    assert engine.get(event.id).state is State.CANCELLED
    assert engine.places(event.id) == []


def test_an_offered_event_is_cancelled_and_cannot_be_begun(engine: Engine):
    event = engine.offered()

    assert cancel(engine, event.id) == [Cancelled.DONE]
    assert engine.worker.begin(event.id) == []


def test_an_event_between_two_attempts_is_cancelled(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=5_000))

    assert cancel(engine, begun.id) == [Cancelled.DONE]
    engine.now_ms += 5_000
    assert engine.claim().ids == []


def test_an_event_being_sent_is_asked_to_stop_and_ends_delivered_on_success(
    engine: Engine,
):
    begun = engine.begun()

    assert cancel(engine, begun.id) == [Cancelled.ASKED]
    engine.worker.settle(settlement(begun))
    assert engine.get(begun.id).state is State.DELIVERED


@pytest.mark.parametrize("outcome", [Outcome.RETRY, Outcome.DEAD])
def test_an_event_asked_to_stop_is_neither_retried_nor_a_dead_letter(
    engine: Engine, outcome: Outcome
):
    begun = engine.begun()
    cancel(engine, begun.id)

    answers = engine.worker.settle(settlement(begun, outcome, delay_ms=1_000))

    assert codes(answers) == ["settled"]
    assert engine.get(begun.id).state is State.CANCELLED
    assert engine.places(begun.id) == []


def test_an_event_asked_to_stop_whose_worker_dies_is_cancelled(engine: Engine):
    begun = engine.begun()
    cancel(engine, begun.id)

    engine.tick(LEASE_MS)

    assert engine.get(begun.id).state is State.CANCELLED
    assert engine.log(begun.id)["1"].startswith("i ")


def test_asking_twice_is_told(engine: Engine):
    begun = engine.begun()

    answers = cancel(engine, begun.id) + cancel(engine, begun.id)

    assert answers == [Cancelled.ASKED, Cancelled.AGAIN]


def test_each_of_many_is_answered_for_itself(engine: Engine):
    waits, done, foreign = engine.create(1), engine.begun(), engine.create(9_000)
    engine.worker.settle(settlement(done))

    answers = cancel(engine, waits.id, done.id, "nobody")

    assert answers == [Cancelled.DONE, Cancelled.ENDED, Cancelled.MISSING]
    assert cancel(engine, foreign.id, owner=Owner("2", "jiter")) == [Cancelled.MISSING]
    assert engine.places(foreign.id) == ["due"]


def test_a_cancelled_occurrence_leaves_its_schedule_going(engine: Engine):
    schedule = engine.schedule()
    engine.now_ms = schedule.times_ms[0]
    [occurrence] = engine.claim().ids

    assert cancel(engine, occurrence) == [Cancelled.DONE]
    assert engine.places(f"s:{schedule.id}") == ["due"]


def test_an_unreadable_event_does_not_hold_up_the_others(engine: Engine):
    engine.stays_sound = False
    event = engine.create(1_000)
    engine.client.set("{s1}:e:bad", "x")

    assert cancel(engine, "bad", event.id) == [Cancelled.MISSING, Cancelled.DONE]
