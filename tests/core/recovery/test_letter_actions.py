"""Tests of retrying and deleting dead letters of any dialect."""

import pytest
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Content, Draft, Event, Outcome, State
from scheduler_api.core.queries.journal import Journal
from scheduler_api.core.recovery.dead_letters import DeadLetters
from scheduler_api.core.recovery.letter_actions import Handled, LetterActions
from scheduler_api.core.store import keys
from scheduler_api.dialects import outbound
from tests.core.engine import OWNER, PREFIX, Engine, settlement
from tests.dialects.engine import settings_with

MANY = 30


def redraft(letter: Event) -> Draft:
    if letter.content.body == b"bad":
        raise UnreadableRecord("options")
    return Draft(letter.content, letter.deadline_ms)


@pytest.fixture
def actions(engine: Engine) -> LetterActions:
    redrafts = {OWNER.dialect: redraft}
    return LetterActions(DeadLetters(engine.store), Journal(engine.cell), redrafts)


def dead(engine: Engine, count: int = 1, *, body: bytes = b"b") -> list[str]:
    draft = Draft(Content("https://h/x", body), 7_000)
    ids = [engine.store.create(OWNER, draft).id for _ in range(count)]
    engine.claim()
    for begun in engine.worker.begin(*ids):
        engine.worker.settle(settlement(begun, Outcome.DEAD))
    return ids


def test_retried_letters_are_sent_again_once(engine: Engine, actions: LetterActions):
    ids = dead(engine, MANY)

    assert actions.retry(OWNER, ids) == Handled(done=MANY)
    assert actions.retry(OWNER, ids) == Handled()
    assert len(engine.due()) == MANY
    assert {engine.get(each).deadline_ms for each in engine.due()} == {7_000}


def test_what_cannot_be_read_is_skipped(engine: Engine, actions: LetterActions):
    ids = [*dead(engine), *dead(engine, body=b"bad"), *dead(engine)]
    engine.checks_faults = False
    engine.client.delete(keys.body(PREFIX, ids[2]))

    assert actions.retry(OWNER, ids) == Handled(done=1, skipped=2)
    assert engine.get(ids[1]).state is State.DEAD


def test_a_full_store_keeps_all_letters(engine: Engine, actions: LetterActions):
    ids = dead(engine, MANY)
    engine.client.set(keys.full(PREFIX), "1", ex=5)

    assert actions.retry(OWNER, ids) == Handled(refused="full")
    assert actions.delete(OWNER, ids) == Handled(done=MANY)


def test_deleted_letters_are_not_sent(engine: Engine, actions: LetterActions):
    ids = dead(engine, 2)

    assert actions.delete(OWNER, ids) == Handled(done=2)
    assert actions.delete(OWNER, ids) == Handled()
    assert [engine.get(each).state for each in ids] == [State.CLEARED] * 2
    assert engine.due() == {}


@pytest.mark.parametrize("dialect", [each.name for each in outbound.DIALECTS])
def test_each_dialect_drafts_the_same_request_due_now(dialect: str):
    settings = settings_with(None, {}, redis_url="redis://h/0")
    letter = Event.new(
        *("7", OWNER, Content("https://h/x", b"body")),
        wanted_ms=1,
        created_ms=1,
        deadline_ms=9_000,
    )
    draft = outbound.redrafts(settings)[dialect](letter)

    assert (draft.content.url, draft.content.body) == ("https://h/x", b"body")
    assert (draft.at_ms, draft.delay_ms, draft.deduplication) == (None, 0, None)
    assert draft.deadline_ms > 0
