"""Tests of creating many events at once, deduplication, the journal and follow-ups."""

import pytest
import redis
from dataclasses import replace
from functools import partial
from scheduler_api.core.deduplication import DeduplicationKey
from scheduler_api.core.model import (
    Begun,
    Content,
    Draft,
    FollowUp,
    Outcome,
    Owner,
    Verdict,
)
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_MS,
    OWNER,
    PREFIX,
    START_MS,
    Engine,
    codes,
    settlement,
)

MINUTE_MS = 60_000
KEY_A = DeduplicationKey("a", MINUTE_MS)
LARGE = Content("https://receiver.example/", b"x" * 50_000)
CALLBACK = Content("https://callback.example/", b"callback")


def draft(content: Content = CONTENT, **how) -> Draft:
    return Draft(content, DEADLINE_MS, **how)


def create(engine: Engine, *drafts: Draft, owner: Owner = OWNER):
    return engine.store.create_many(owner, drafts)


def journal(engine: Engine) -> list[tuple[str, str, int]]:
    entries = engine.client.xrange(keys.journal(PREFIX, str(OWNER)))
    return [
        (fields[b"e"].decode(), fields[b"k"].decode(), int(fields[b"n"]))
        for _, fields in entries
    ]


def deduplication_keys(engine: Engine) -> list[bytes]:
    return list(engine.client.scan_iter(match=f"{PREFIX}dd:*"))


def test_a_delay_starts_at_the_store_s_time(engine: Engine):
    [accepted] = create(engine, draft(delay_ms=5_000))

    assert accepted.verdict is Verdict.OK
    assert (accepted.created_ms, accepted.wanted_ms) == (START_MS, START_MS + 5_000)
    assert engine.due() == {accepted.id: START_MS + 5_000}


def test_an_event_without_a_delay_is_due_at_once(engine: Engine):
    [accepted] = create(engine, draft())

    assert engine.claim().ids == [accepted.id]


def test_answers_are_in_the_order_of_the_drafts(engine: Engine):
    accepted = create(
        engine,
        draft(at_ms=START_MS + 1, must_be_future=True),
        draft(at_ms=START_MS, must_be_future=True),
        draft(at_ms=START_MS),
        draft(LARGE, delay_ms=1),
    )

    verdicts = [each.verdict for each in accepted]
    assert verdicts == [Verdict.OK, Verdict.PAST, Verdict.OK, Verdict.OK]
    assert engine.get(accepted[3].id).content == LARGE
    assert engine.due().keys() == {accepted[n].id for n in (0, 2, 3)}


def test_no_drafts_create_no_events(engine: Engine):
    assert create(engine) == []
    assert engine.everything() == {}


def test_e4_ids_in_use_are_skipped(engine: Engine):
    first = create(engine, *[draft(delay_ms=1)] * 150)
    engine.client.delete(keys.sequence(PREFIX))
    other = EventStore(Cell(engine.client, PREFIX, clock_ms=engine.now_ms))

    second = other.create_many(OWNER, [draft(LARGE, delay_ms=1)] * 150)

    made = {each.id for each in (*first, *second)}
    assert len(made) == 300
    assert engine.due().keys() == made
    assert {each.verdict for each in second} == {Verdict.OK}


def test_e17_a_full_store_refuses_each_draft(engine: Engine):
    engine.client.set(keys.full(PREFIX), 1, ex=5)

    accepted = create(engine, draft(), draft(LARGE))

    assert [each.verdict for each in accepted] == [Verdict.FULL] * 2
    assert engine.due() == {}


def test_a_deduplication_key_outlives_its_event(engine: Engine):
    [first] = create(engine, draft(deduplication=KEY_A))
    engine.claim()
    engine.worker.settle(settlement(engine.worker.begin(first.id)[0]))
    engine.store.forget([first.id], before_ms=engine.now_ms + 1)

    [second] = create(engine, draft(deduplication=KEY_A))

    assert (second.verdict, second.id) == (Verdict.DUPLICATE, first.id)


def test_e5_a_creation_that_runs_twice_is_not_a_duplicate_of_itself(engine: Engine):
    once = draft(delay_ms=5, journal=True, deduplication=KEY_A)

    with engine.repeating() as repeats:
        [accepted] = create(engine, once)

    assert accepted.verdict is Verdict.OK
    assert engine.everything() == repeats.stored


def test_large_content_of_a_duplicate_is_not_stored(engine: Engine):
    create(engine, draft(deduplication=KEY_A))

    create(engine, draft(LARGE, deduplication=KEY_A))

    bodies = [key for key in engine.everything() if key.startswith(f"{PREFIX}b:")]
    assert len(bodies) == 1


def test_the_journal_has_all_steps_of_a_delivery_in_order(engine: Engine):
    [accepted] = create(engine, draft(journal=True))
    engine.claim()
    [begun] = engine.worker.begin(accepted.id)
    engine.worker.settle(settlement(begun, Outcome.RETRY))
    engine.claim()
    engine.worker.begin(accepted.id)
    engine.tick(LEASE_MS)
    engine.claim()
    [begun] = engine.worker.begin(accepted.id)
    engine.worker.settle(settlement(begun))

    entries = [(kind, number) for _, kind, number in journal(engine)]
    assert entries == [
        ("created", 0),
        ("begun", 1),
        ("failed", 1),
        ("retry", 1),
        ("begun", 2),
        ("failed", 2),
        ("begun", 3),
        ("delivered", 3),
    ]
    assert {event_id for event_id, *_ in journal(engine)} == {accepted.id}


def test_the_journal_has_cancellations_and_dead_letters(engine: Engine):
    waits, sent, dead = create(engine, *[draft(journal=True)] * 3)
    engine.claim()
    begun = {each.id: each for each in engine.worker.begin(sent.id, dead.id)}
    engine.store.cancel(OWNER, [waits.id, sent.id])
    engine.worker.settle(
        settlement(begun[sent.id], Outcome.RETRY),
        settlement(begun[dead.id], Outcome.DEAD),
    )

    entries = [
        (event_id, kind) for event_id, kind, _ in journal(engine) if kind != "created"
    ]
    assert entries == [
        (sent.id, "begun"),
        (dead.id, "begun"),
        (waits.id, "cancel_requested"),
        (waits.id, "cancelled"),
        (sent.id, "cancel_requested"),
        (sent.id, "failed"),
        (sent.id, "cancelled"),
        (dead.id, "failed"),
        (dead.id, "dead"),
    ]


@pytest.mark.parametrize("call", ["settle", "cancel", "begin"])
def test_e5_a_repeated_call_is_journaled_once(engine: Engine, call: str):
    [accepted] = create(engine, draft(journal=True))
    engine.claim()
    before = journal(engine)
    if call == "settle":
        begun = engine.worker.begin(accepted.id)[0]
        act = partial(engine.worker.settle, settlement(begun))
    elif call == "cancel":
        act = partial(engine.store.cancel, OWNER, [accepted.id])
    else:
        act = partial(engine.worker.begin, accepted.id)
    entries: list[tuple[str, str, int]] = []

    with engine.repeating(
        lambda: entries.extend(journal(engine)), same_answer=call != "settle"
    ):
        act()

    assert len(entries) > len(before)
    assert journal(engine) == entries


def follow(begun: Begun, number: int = 1, **how) -> FollowUp:
    content = how.pop("content", CALLBACK)
    return FollowUp(f"{begun.id}.c{number}", content, DEADLINE_MS, **how)


def test_settlements_of_one_call_can_have_several_follow_ups(engine: Engine):
    one, two, three = (engine.begun() for _ in range(3))

    answers = engine.worker.settle(
        replace(settlement(one), follow_ups=(follow(one, 1), follow(one, 2))),
        settlement(two),
        replace(settlement(three, Outcome.DEAD), follow_ups=(follow(three, 1),)),
    )

    assert codes(answers) == ["settled"] * 3
    assert engine.due().keys() == {f"{one.id}.c1", f"{one.id}.c2", f"{three.id}.c1"}


def test_e5_a_repeated_settle_creates_a_follow_up_once(engine: Engine):
    begun = engine.begun()
    attempt_end = replace(
        settlement(begun, Outcome.RETRY, delay_ms=MINUTE_MS),
        follow_ups=(follow(begun),),
    )
    engine.worker.settle(attempt_end)
    engine.worker.settle(settlement(engine.claim_and_begin(follow(begun).id)))
    stored = engine.everything()

    answers = engine.worker.settle(attempt_end)

    assert codes(answers) == ["repeated"]
    assert engine.everything() == stored


def test_follow_ups_with_the_same_id_are_created_once(engine: Engine):
    begun = engine.begun()
    child = follow(begun, delay_ms=MINUTE_MS)
    attempt_end = settlement(begun, Outcome.RETRY)
    engine.worker.settle(replace(attempt_end, follow_ups=(child,)))
    engine.claim()
    [begun] = engine.worker.begin(begun.id)

    changed = replace(child, content=LARGE, delay_ms=1)
    engine.worker.settle(replace(settlement(begun), follow_ups=(changed,)))

    assert engine.get(child.id).content == CALLBACK
    assert engine.due() == {child.id: engine.now_ms + MINUTE_MS}


def test_a_follow_up_can_be_delivered_and_forgotten(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(
        replace(settlement(begun), follow_ups=(follow(begun, content=LARGE),))
    )
    child = engine.claim_and_begin(follow(begun).id)
    engine.worker.settle(settlement(child))

    forgotten = engine.store.forget([begun.id, child.id], before_ms=2 * START_MS)

    assert forgotten == 2
    assert [key for key in engine.everything() if ":b:" in key] == []


def test_large_content_of_a_follow_up_expires_after_a_late_settle(
    engine: Engine, store_client: redis.Redis
):
    lost = engine.interrupted()
    engine.claim()
    engine.worker.begin(lost.id)
    child = follow(lost, content=LARGE)

    engine.worker.settle(replace(settlement(lost), follow_ups=(child,)))

    [body] = store_client.scan_iter(match=f"{PREFIX}b:{child.id}*")
    assert 0 < store_client.ttl(body) <= 600


def test_large_contents_are_sent_in_several_pipelines(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("scheduler_api.core.store.events.PIPELINE_BYTES", 60_000)
    contents = [replace(LARGE, body=bytes([n]) * 50_000) for n in range(5)]

    accepted = create(engine, *map(draft, contents))
    assert [engine.get(each.id).content for each in accepted] == contents
