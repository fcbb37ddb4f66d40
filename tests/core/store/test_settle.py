"""Tests of settle, which checks the token of an attempt and records the outcome."""

import pytest
from scheduler_api.core.model import AttemptKind, Begun, Content, Outcome, Owner, State
from scheduler_api.core.queries.events import Queries
from scheduler_api.core.store import codec, keys
from tests.core.engine import (
    LEASE_MS,
    OWNER,
    PREFIX,
    Engine,
    all_ids,
    codes,
    settlement,
)

ENDS = [Outcome.DELIVERED, Outcome.DEAD]
WITHOUT_RESULT = [Outcome.INTERRUPTED, Outcome.UNSENT]
WITH_RESULT = [*ENDS, Outcome.RETRY]


def kinds(engine: Engine, begun: Begun) -> list[AttemptKind]:
    return [each.kind for each in Queries(engine.cell).attempts(begun.id)]


@pytest.mark.parametrize("outcome", ENDS)
def test_an_ended_event_is_in_no_place(engine: Engine, outcome: Outcome):
    begun = engine.begun()

    [answer] = engine.worker.settle(settlement(begun, outcome))

    event = engine.get(begun.id)
    assert (answer.code, answer.next_ms) == ("settled", 0)
    assert event.state.value == outcome.value
    assert event.finished_ms == engine.now_ms
    assert engine.places(begun.id) == []


@pytest.mark.parametrize("outcome", ENDS)
def test_an_ended_event_is_indexed_by_both_its_times(engine: Engine, outcome: Outcome):
    begun = engine.begun()
    engine.now_ms += 777

    engine.worker.settle(settlement(begun, outcome))

    owner = str(OWNER)
    by_time = engine.scores(keys.by_time(PREFIX, owner, outcome.value))
    assert by_time == {begun.id: begun.wanted_ms}
    finished = engine.scores(keys.finished(PREFIX, owner, outcome.value))
    assert finished == {begun.id: engine.now_ms}
    assert engine.scores(keys.by_time(PREFIX, owner, "active")) == {}


def test_a_broken_index_quarantines_only_the_events_of_its_owner(engine: Engine):
    engine.checks_faults = False
    broken = engine.begun(owner=Owner("2", "jiter"))
    begun = [broken, engine.begun()]
    engine.client.set(keys.finished(PREFIX, "2:jiter", "delivered"), "broken")

    answers = engine.worker.settle(*map(settlement, begun))

    assert [each.code for each in answers] == ["quarantined", "settled"]
    assert engine.places(begun[0].id) == ["quarantine"]
    assert engine.places(begun[1].id) == []


def test_a_dead_letter_has_its_reason(engine: Engine):
    begun = engine.begun()

    engine.worker.settle(settlement(begun, Outcome.DEAD, reason="retries used up"))

    assert engine.get(begun.id).reason == "retries used up"


def test_a_failed_attempt_is_due_again_after_its_delay(engine: Engine):
    begun = engine.begun()

    [answer] = engine.worker.settle(
        settlement(begun, Outcome.RETRY, delay_ms=5_000, status=500)
    )

    event = engine.get(begun.id)
    assert (answer.code, answer.next_ms) == ("settled", engine.now_ms + 5_000)
    assert (event.next_ms, event.wanted_ms) == (answer.next_ms, begun.wanted_ms)
    assert event.state is State.ACTIVE
    assert engine.due() == {begun.id: answer.next_ms}
    assert engine.leased() == {}


def test_a_retry_is_not_offered_one_ms_early(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=5_000))
    engine.now_ms += 4_999
    early = engine.claim().ids
    engine.now_ms += 1

    assert early == []
    assert engine.claim().ids == [begun.id]


def test_a_retry_without_delay_is_due_at_once(engine: Engine):
    begun = engine.begun()

    engine.worker.settle(settlement(begun, Outcome.RETRY))

    assert engine.claim().ids == [begun.id]


def test_e16_a_retry_before_the_next_check_wakes_the_tickers(engine: Engine):
    begun = engine.begun()
    engine.claim()
    listener = engine.listen_for_wakeups()

    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=100))

    assert engine.count_wakeups(listener) == 1


def test_each_attempt_is_logged(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=7, status=500))
    engine.now_ms += 7
    engine.claim()
    [begun] = engine.worker.begin(begun.id)
    engine.worker.settle(settlement(begun, status=204))

    first, second = Queries(engine.cell).attempts(begun.id)

    assert (first.number, first.status, first.next_ms) == (1, 500, engine.now_ms)
    assert (second.number, second.status, second.next_ms) == (2, 204, None)
    assert first.kind is second.kind is AttemptKind.SETTLED
    assert second.ended_ms == engine.now_ms


@pytest.mark.parametrize("outcome", WITHOUT_RESULT)
def test_r20_r29_an_attempt_without_a_result_is_not_charged(
    engine: Engine, outcome: Outcome
):
    begun = again = engine.begun()
    for _ in range(7):
        assert codes(engine.worker.settle(settlement(again, outcome))) == ["settled"]
        [again] = engine.worker.begin(*engine.claim().ids)

    assert (again.failures, again.interruptions) == (0, 0)
    assert again.wanted_ms == begun.wanted_ms
    is_interrupted = outcome is Outcome.INTERRUPTED
    assert again.possible_duplicate is is_interrupted
    assert again.attempt == (8 if is_interrupted else 1)


@pytest.mark.parametrize("outcome", WITHOUT_RESULT)
def test_a_repeated_settle_without_a_result_changes_nothing(
    engine: Engine, outcome: Outcome
):
    begun = engine.begun()
    engine.worker.settle(settlement(begun, outcome))
    stored = engine.everything()

    assert codes(engine.worker.settle(settlement(begun, outcome))) == ["late"]
    assert engine.everything() == stored


@pytest.mark.parametrize("begun_again", [False, True])
@pytest.mark.parametrize("outcome", WITHOUT_RESULT)
def test_r29_a_worker_that_wakes_up_takes_back_its_interruptions(
    engine: Engine, outcome: Outcome, begun_again: bool
):
    begun = engine.begun()
    for _ in range(12):
        engine.tick(LEASE_MS)
        claimed = all_ids(engine.claim())
        again = engine.worker.begin(*claimed) if begun_again else []
        assert codes(engine.worker.settle(settlement(begun, outcome))) == ["settled"]
        [begun] = again or engine.worker.begin(*claimed)

    assert engine.get(begun.id).state is State.ACTIVE
    assert "isolated" not in engine.places(begun.id)
    assert begun.possible_duplicate


def test_an_interrupted_attempt_is_logged_and_an_unsent_one_is_not(engine: Engine):
    begun = engine.begun()
    for outcome in WITHOUT_RESULT:
        engine.worker.settle(settlement(begun, outcome))
        [begun] = engine.worker.begin(*engine.claim().ids)

    assert kinds(engine, begun) == [AttemptKind.INTERRUPTED]


@pytest.mark.parametrize("outcome", WITHOUT_RESULT)
def test_a_cancelled_event_ends_after_an_attempt_without_a_result(
    engine: Engine, outcome: Outcome
):
    begun = engine.begun()
    engine.store.cancel(OWNER, [begun.id])
    engine.worker.settle(settlement(begun, outcome))

    assert engine.get(begun.id).state is State.CANCELLED


@pytest.mark.parametrize("outcome", WITH_RESULT)
def test_e5_a_repeated_settle_changes_nothing(engine: Engine, outcome: Outcome):
    begun = engine.begun()
    attempt_end = settlement(begun, outcome, delay_ms=1_000)
    engine.worker.settle(attempt_end)
    stored = engine.everything()

    answers = engine.worker.settle(attempt_end)

    assert codes(answers) == ["repeated"]
    assert engine.everything() == stored


@pytest.mark.parametrize("then", ["waits", "offered", "begun", "lost", "ended"])
def test_e23_a_settle_repeated_later_changes_nothing(engine: Engine, then: str):
    begun = engine.begun()
    attempt_end = settlement(begun, Outcome.RETRY, delay_ms=1_000)
    engine.worker.settle(attempt_end)
    if then != "waits":
        engine.now_ms += 1_000
        engine.claim()
    if then in ("begun", "lost", "ended"):
        [again] = engine.worker.begin(begun.id)
    if then == "lost":
        engine.tick(LEASE_MS)
    if then == "ended":
        engine.worker.settle(settlement(again))
    stored = engine.everything()

    answers = engine.worker.settle(attempt_end)

    assert codes(answers) == ["repeated"]
    assert engine.everything() == stored


def test_e23_a_settle_that_the_store_has_lost_takes_effect_when_repeated(
    engine: Engine,
):
    begun = engine.begun()
    client = engine.client
    before = {key: (client.pttl(key), client.dump(key)) for key in engine.everything()}
    engine.worker.settle(settlement(begun))
    client.flushall()
    for key, (ttl_ms, dump) in before.items():
        client.restore(key, max(ttl_ms, 0), dump)

    answers = engine.worker.settle(settlement(begun))

    assert codes(answers) == ["settled"]
    assert engine.get(begun.id).state is State.DELIVERED


def test_settling_a_forgotten_event_does_nothing(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun))
    engine.store.forget([begun.id], before_ms=engine.now_ms + 1)

    answers = engine.worker.settle(settlement(begun))

    assert codes(answers) == ["gone"]
    assert engine.client.exists(keys.log(PREFIX, begun.id)) == 0


def test_each_settlement_of_a_call_gets_its_own_answer(engine: Engine):
    one, two, three = (engine.begun() for _ in range(3))
    engine.worker.settle(settlement(two))
    engine.store.forget([two.id], before_ms=engine.now_ms + 1)

    answers = engine.worker.settle(
        settlement(one), settlement(two), settlement(three, Outcome.DEAD)
    )

    assert [answer.event_id for answer in answers] == [one.id, two.id, three.id]
    assert codes(answers) == ["settled", "gone", "settled"]


def test_150_attempts_settle_in_one_call(engine: Engine):
    made = [engine.create(1_000) for _ in range(150)]
    engine.now_ms += 1_000
    engine.claim(1_000)
    begun = engine.worker.begin(*(event.id for event in made))

    answers = engine.worker.settle(*map(settlement, begun))

    assert codes(answers) == ["settled"] * 150


def test_log_entries_are_stored_unchanged(engine: Engine):
    begun = engine.begun()
    response = 'two\nlines, "quotes", % and %s, \x00, ünïcode'
    log_entry = codec.encode_attempt({"started_ms": 1}, response=response.encode())
    attempt_end = settlement(begun)

    engine.worker.settle(
        type(attempt_end)(
            begun.id, begun.token, begun.attempt, Outcome.DELIVERED, log_entry
        )
    )

    [attempt] = Queries(engine.cell).attempts(begun.id)
    assert attempt.response == response.encode()


def test_e13_a_settle_is_valid_until_a_claim_ends_the_lease(
    engine: Engine,
):
    begun = engine.begun()
    engine.now_ms += 10 * LEASE_MS

    assert codes(engine.worker.settle(settlement(begun))) == ["settled"]


@pytest.mark.parametrize("offered_again", [False, True])
@pytest.mark.parametrize("outcome", WITH_RESULT)
def test_e13_a_late_settle_is_valid_until_the_next_begin(
    engine: Engine, outcome: Outcome, offered_again: bool
):
    begun = engine.interrupted()
    if offered_again:
        assert engine.claim().ids == [begun.id]

    answers = engine.worker.settle(settlement(begun, outcome, delay_ms=9_000))

    assert codes(answers) == ["settled"]
    assert kinds(engine, begun) == [AttemptKind.SETTLED]
    assert engine.places(begun.id) == (["due"] if outcome is Outcome.RETRY else [])


def test_e13_after_the_next_begin_a_late_settle_is_only_logged(engine: Engine):
    lost = engine.interrupted()
    engine.claim()
    [running] = engine.worker.begin(lost.id)
    before = engine.record(lost.id)

    answers = engine.worker.settle(settlement(lost))

    assert codes(answers) == ["late"]
    assert kinds(engine, lost) == [AttemptKind.LATE]
    assert engine.record(lost.id) == before
    assert codes(engine.worker.settle(settlement(running))) == ["settled"]


def test_e13_after_the_end_a_late_settle_is_only_logged(engine: Engine):
    lost = engine.interrupted()
    engine.claim()
    [running] = engine.worker.begin(lost.id)
    engine.worker.settle(settlement(running))

    answers = engine.worker.settle(settlement(lost, Outcome.DEAD))

    assert codes(answers) == ["late"]
    assert engine.get(lost.id).state is State.DELIVERED
    assert kinds(engine, lost) == [AttemptKind.LATE, AttemptKind.SETTLED]


def test_e13_after_the_last_interruption_a_settle_is_only_logged(engine: Engine):
    begun = engine.interrupted(4)
    engine.claim()
    [begun] = engine.worker.begin(begun.id)
    engine.tick(LEASE_MS)

    answers = engine.worker.settle(settlement(begun))

    assert codes(answers) == ["late"]
    assert engine.get(begun.id).state is State.DEAD


def test_a_settle_needs_the_token(engine: Engine):
    begun = engine.begun()
    attempt_end = settlement(begun)
    forged = type(attempt_end)(begun.id, "", 1, Outcome.DEAD, attempt_end.log_entry)

    assert codes(engine.worker.settle(forged)) == ["late"]
    assert codes(engine.worker.settle(attempt_end)) == ["settled"]


def test_an_event_that_was_not_begun_cannot_be_settled(engine: Engine):
    event = engine.offered()
    attempt_end = settlement(engine.begun())
    forged = type(attempt_end)(
        event.id, "", 1, Outcome.DELIVERED, attempt_end.log_entry
    )

    assert codes(engine.worker.settle(forged)) == ["late"]
    assert engine.get(event.id).state is State.ACTIVE


def test_a_retry_sends_the_same_content(engine: Engine):
    content = Content("https://receiver.example/", b"\x00" * 3)
    begun = engine.begun(content=content)
    engine.worker.settle(settlement(begun, Outcome.RETRY))
    engine.claim()

    [begun] = engine.worker.begin(begun.id)

    assert begun.content == content
