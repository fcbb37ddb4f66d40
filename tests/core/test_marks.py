"""Deduplication marks: within its window a repeated draft is the event it repeats."""

from scheduler_api.core.model import Draft, Owner, Verdict
from tests.core.engine import CONTENT, DEADLINE_MS, OWNER, Engine, settlement

WINDOW_MS = 600_000


def accept(engine: Engine, *marks: str, owner: Owner = OWNER):
    drafts = [
        Draft(CONTENT, DEADLINE_MS, delay_ms=1_000, mark=mark, mark_ms=WINDOW_MS)
        for mark in marks
    ]
    return engine.store.create_many(owner, drafts)


def test_a_repeated_mark_answers_the_event_that_holds_it(engine: Engine):
    [first], [second] = accept(engine, "m"), accept(engine, "m")

    assert (first.verdict, second.verdict) == (Verdict.OK, Verdict.DOUBLE)
    assert second.id == first.id
    assert list(engine.due()) == [first.id]


def test_two_of_one_mark_in_one_call_are_one_event(engine: Engine):
    first, other, second = accept(engine, "m", "n", "m")

    assert [first.verdict, other.verdict] == [Verdict.OK, Verdict.OK]
    assert (second.verdict, second.id) == (Verdict.DOUBLE, first.id)


def test_a_mark_holds_after_the_delivery_and_ends_with_its_window(engine: Engine):
    [first] = accept(engine, "m")
    engine.now_ms += 1_000
    engine.worker.settle(settlement(*engine.worker.begin(*engine.claim().ids)))

    assert accept(engine, "m")[0].id == first.id
    assert 0 < engine.client.pttl(f"{{s1}}:dd:{OWNER}:m") <= WINDOW_MS


def test_a_mark_is_its_owner_s_alone(engine: Engine):
    accept(engine, "m")

    [foreign] = accept(engine, "m", owner=Owner("2", "jiter"))

    assert foreign.verdict is Verdict.OK


def test_drafts_without_a_mark_are_never_doubles(engine: Engine):
    answers = accept(engine, "", "")

    assert [answer.verdict for answer in answers] == [Verdict.OK, Verdict.OK]
    assert len(engine.due()) == 2


def test_a_refused_draft_takes_no_mark(engine: Engine):
    past = Draft(
        CONTENT, 1, at_ms=engine.now_ms, must_be_future=True, mark="m", mark_ms=1_000
    )

    [refused] = engine.store.create_many(OWNER, [past])

    assert refused.verdict is Verdict.PAST
    assert accept(engine, "m")[0].verdict is Verdict.OK


def test_five_hundred_drafts_take_a_few_round_trips_and_keep_their_order(
    engine: Engine,
):
    drafts = [Draft(CONTENT, 1, delay_ms=n) for n in range(500)]

    answers = engine.store.create_many(OWNER, drafts)

    assert [a.wanted_ms - engine.now_ms for a in answers] == list(range(500))
    assert len({answer.id for answer in answers}) == 500
