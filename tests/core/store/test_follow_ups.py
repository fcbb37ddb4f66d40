"""Tests of the follow-up events that a settlement creates, and of the journal."""

import pytest
from dataclasses import replace
from scheduler_api.core.model import Begun, Content, Draft, FollowUp, Outcome
from scheduler_api.core.store import keys
from tests.core.engine import (
    DEADLINE_MS,
    LEASE_MS,
    OWNER,
    PREFIX,
    Engine,
    codes,
    settlement,
)

CALLBACK = Content("https://callback.example/", b"result")
LARGE = Content("https://callback.example/", b"y" * 50_000)


def journaled(engine: Engine) -> Begun:
    draft = Draft(CALLBACK, DEADLINE_MS, journal=True)
    [accepted] = engine.store.create_many(OWNER, [draft])
    assert engine.claim().ids == [accepted.id]
    return engine.worker.begin(accepted.id)[0]


def with_callback(
    begun: Begun, outcome: Outcome, content: Content = CALLBACK, **how: int
):
    child = FollowUp(f"{begun.id}.c{begun.attempt}", content, DEADLINE_MS, **how)
    return replace(settlement(begun, outcome), follow_ups=(child,))


def journal(engine: Engine) -> list[tuple[str, str, int]]:
    entries = engine.client.xrange(keys.journal(PREFIX, str(OWNER)))
    return [
        (fields[b"e"].decode(), fields[b"k"].decode(), int(fields[b"n"]))
        for _, fields in entries
    ]


@pytest.mark.parametrize("content", [CALLBACK, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("outcome", [Outcome.DELIVERED, Outcome.RETRY, Outcome.DEAD])
def test_a_follow_up_is_a_new_event(engine: Engine, outcome: Outcome, content: Content):
    begun = engine.begun()

    engine.worker.settle(with_callback(begun, outcome, content))

    child = engine.get(f"{begun.id}.c1")
    assert child.content == content
    assert child.wanted_ms == engine.now_ms
    assert child.id in engine.claim().ids


def test_a_follow_up_can_have_a_delay(engine: Engine):
    begun = engine.begun()

    engine.worker.settle(with_callback(begun, Outcome.DELIVERED, delay_ms=7_000))

    assert engine.due() == {f"{begun.id}.c1": engine.now_ms + 7_000}


def test_e5_a_repeated_settle_creates_its_follow_up_once(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(with_callback(begun, Outcome.DELIVERED))
    stored = engine.everything()

    answers = engine.worker.settle(with_callback(begun, Outcome.DELIVERED))

    assert codes(answers) == ["repeated"]
    assert engine.everything() == stored


def test_a_late_settle_creates_no_follow_up(engine: Engine):
    begun = engine.begun()
    engine.tick(LEASE_MS)
    engine.worker.begin(*engine.claim().ids)

    answers = engine.worker.settle(with_callback(begun, Outcome.DELIVERED))

    assert codes(answers) == ["late"]
    assert engine.record(f"{begun.id}.c1") == {}


def test_the_failure_of_a_cancelled_event_creates_no_follow_up(engine: Engine):
    begun = engine.begun()
    engine.store.cancel(OWNER, [begun.id])

    engine.worker.settle(with_callback(begun, Outcome.DEAD))

    assert engine.record(f"{begun.id}.c1") == {}


def test_the_journal_has_a_delivery_in_order(engine: Engine):
    begun = journaled(engine)

    engine.worker.settle(settlement(begun))

    assert journal(engine) == [
        (begun.id, "created", 0),
        (begun.id, "begun", 1),
        (begun.id, "delivered", 1),
    ]


def test_the_journal_has_every_attempt_and_the_end(engine: Engine):
    begun = journaled(engine)
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=1_000))
    engine.now_ms += 1_000
    [again] = engine.worker.begin(*engine.claim().ids)

    engine.worker.settle(settlement(again, Outcome.DEAD))

    kinds = [(kind, n) for _, kind, n in journal(engine)]
    assert kinds == [
        ("created", 0),
        ("begun", 1),
        ("failed", 1),
        ("retry", 1),
        ("begun", 2),
        ("failed", 2),
        ("dead", 2),
    ]


def test_the_journal_has_a_cancellation(engine: Engine):
    begun = journaled(engine)
    engine.store.cancel(OWNER, [begun.id])

    engine.worker.settle(settlement(begun, Outcome.RETRY))

    kinds = [kind for _, kind, _ in journal(engine)]
    assert kinds == ["created", "begun", "cancel_requested", "failed", "cancelled"]


def test_a_follow_up_is_journaled_if_its_parent_is(engine: Engine):
    begun = journaled(engine)

    engine.worker.settle(with_callback(begun, Outcome.DELIVERED))

    assert (f"{begun.id}.c1", "created", 0) in journal(engine)


def test_an_event_that_is_not_journaled_has_no_entries(engine: Engine):
    engine.worker.settle(settlement(engine.begun()))

    assert journal(engine) == []
