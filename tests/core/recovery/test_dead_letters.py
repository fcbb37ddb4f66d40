"""Tests of listing, removing and replaying dead letters."""

import pytest
import redis
from scheduler_api.core.model import (
    Content,
    Draft,
    Event,
    Outcome,
    Owner,
    State,
    Verdict,
)
from scheduler_api.core.queries.filters import ALWAYS
from scheduler_api.core.recovery.dead_letters import DeadLetters, Place
from scheduler_api.core.store import keys
from scheduler_api.core.store.records import EVENT
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    OWNER,
    PREFIX,
    Engine,
    settlement,
)

LARGE = Draft(Content(CONTENT.url, b"x" * 5_000), DEADLINE_MS, delay_ms=7)
OTHERS = (Owner("2", OWNER.dialect), Owner(OWNER.tenant, "other"))


def letters(engine: Engine) -> DeadLetters:
    return DeadLetters(engine.store)


def dead(engine: Engine) -> Event:
    begun = engine.begun()
    engine.worker.settle(settlement(begun, Outcome.DEAD))
    return engine.get(begun.id)


def listed(engine: Engine) -> list[Place]:
    chunks = letters(engine).chunks(OWNER, ALWAYS, after=None, newest_first=False)
    return [place for chunk in chunks for place in chunk]


def test_dead_letters_are_listed_by_the_time_of_failure(engine: Engine):
    event = dead(engine)

    assert event.finished_ms is not None
    assert listed(engine) == [Place(event.finished_ms, event.id)]


def test_a_removed_dead_letter_is_kept_as_a_cleared_event(engine: Engine):
    event = dead(engine)
    with engine.repeating():
        answers = letters(engine).clear(OWNER, [event.id])
    after = engine.get(event.id)

    assert (answers, listed(engine)) == ([True], [])
    assert (after.state, after.content) == (State.CLEARED, event.content)
    assert after.finished_ms == event.finished_ms
    assert letters(engine).clear(OWNER, [event.id]) == [False]
    before_ms = engine.now_ms + 1
    assert engine.store.forget([event.id], before_ms=before_ms) == 1


@pytest.mark.parametrize("stage", ["waits", "begun", "delivered", "cancelled", "none"])
def test_events_that_did_not_fail_are_not_dead_letters(engine: Engine, stage: str):
    event_id = "zz" if stage == "none" else engine.create().id
    if stage in ("begun", "delivered"):
        begun = engine.begun()
        event_id = begun.id
        if stage == "delivered":
            engine.worker.settle(settlement(begun))
    if stage == "cancelled":
        engine.store.cancel(OWNER, [event_id])

    assert letters(engine).clear(OWNER, [event_id]) == [False]
    assert letters(engine).replay(OWNER, [(event_id, LARGE)]) == [None]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_dead_letters_of_other_owners_cannot_be_removed_or_replayed(
    engine: Engine, other: Owner
):
    event = dead(engine)

    assert letters(engine).clear(other, [event.id]) == [False]
    assert letters(engine).replay(other, [(event.id, LARGE)]) == [None]
    assert engine.get(event.id).state is State.DEAD


def test_a_replay_replaces_the_dead_letter_by_a_new_event(engine: Engine):
    event, left = dead(engine), dead(engine)
    [accepted] = letters(engine).replay(OWNER, [(event.id, LARGE)])
    assert accepted is not None
    new = engine.get(accepted.id)

    assert (new.content, new.wanted_ms) == (LARGE.content, engine.now_ms + 7)
    assert [place.id for place in listed(engine)] == [left.id]
    assert engine.claim_and_begin(new.id).attempt == 1
    assert letters(engine).replay(OWNER, [(event.id, LARGE)]) == [None]


@pytest.mark.parametrize("ascending", [False, True])
def test_a_repeated_replay_creates_one_event(engine: Engine, ascending: bool):
    event = dead(engine)
    draft = Draft(CONTENT, DEADLINE_MS, delay_ms=7, ascending=ascending)
    with engine.repeating():
        [accepted] = letters(engine).replay(OWNER, [(event.id, draft)])

    assert accepted is not None and accepted.verdict is Verdict.OK
    assert engine.get(accepted.id).content == CONTENT
    assert listed(engine) == []
    assert [*engine.due()] == [accepted.id]


def test_a_replay_in_a_full_store_keeps_the_dead_letter(engine: Engine):
    event = dead(engine)
    engine.client.set(keys.full(PREFIX), "1", ex=5)
    [accepted] = letters(engine).replay(OWNER, [(event.id, LARGE)])

    assert accepted is not None and accepted.verdict is Verdict.FULL
    assert [place.id for place in listed(engine)] == [event.id]


def test_each_dead_letter_is_replayed_once(engine: Engine):
    events = [dead(engine) for _ in range(3)]
    drafts = [(event.id, LARGE) for event in (*events, events[0])]
    found = letters(engine).replay(OWNER, drafts)

    assert [each is None for each in found] == [False, False, False, True]
    assert listed(engine) == []


def test_an_unreadable_dead_letter_is_logged_and_does_not_block_others(
    engine: Engine, store_client: redis.Redis, caplog: pytest.LogCaptureFixture
):
    bad, good = dead(engine), dead(engine)
    left = [*engine.due()]
    engine.checks_faults = False
    store_client.hset(keys.event(PREFIX, bad.id), EVENT.code("finished_ms"), "x")
    drafts = [(each.id, LARGE) for each in (bad, good)]

    assert letters(engine).clear(OWNER, [bad.id]) == [False]
    none, accepted = letters(engine).replay(OWNER, drafts)
    assert none is None and accepted is not None
    assert f"letter.unreadable event={bad.id}" in caplog.text
    assert "finished_ms is not an integer: x" in caplog.text
    assert [*engine.due()] == [*left, accepted.id]
