"""Tests of begin, which decides which events a worker may send."""

import pytest
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Content, Outcome
from scheduler_api.core.store import keys
from scheduler_api.core.store.leases import BEGIN_INLINE_BYTES
from scheduler_api.core.store.records import EVENT
from scheduler_api.core.store.rq_envelopes import RqEnqueuer
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_MS,
    OFFER_MS,
    OWNER,
    PREFIX,
    SLACK_MS,
    Engine,
    codes,
    ids,
    settlement,
)

WEEK_MS = 7 * 86_400_000


def test_a_begun_event_has_all_its_fields(engine: Engine):
    event = engine.offered()

    [begun] = engine.worker.begin(event.id)

    assert begun.id == event.id
    assert begun.content == CONTENT
    assert begun.owner == OWNER
    assert (begun.attempt, begun.failures, begun.interruptions) == (1, 0, 0)
    assert (begun.wanted_ms, begun.created_ms) == (event.wanted_ms, event.created_ms)
    assert (begun.deadline_ms, begun.schedule) == (DEADLINE_MS, None)


def test_begin_replaces_the_offer_lease(engine: Engine):
    event = engine.offered()
    engine.now_ms += OFFER_MS - 1

    engine.worker.begin(event.id)

    assert engine.leased() == {event.id: engine.now_ms + LEASE_MS}


def test_e12_begin_sets_the_limit_for_renewals(engine: Engine):
    begun = engine.begun()

    until_ms = engine.now_ms + DEADLINE_MS + SLACK_MS
    assert engine.record(begun.id)["renewable_until_ms"] == str(until_ms)


def test_an_event_begins_exactly_at_its_time(engine: Engine):
    event = engine.offered()
    assert engine.now_ms == event.wanted_ms

    assert ids(engine.worker.begin(event.id)) == [event.id]


def test_e9_an_event_does_not_begin_one_ms_early_and_returns_to_due(engine: Engine):
    event = engine.offered()
    engine.now_ms -= 1

    begun, refused = engine.worker.try_begin(event.id)

    assert begun == []
    assert refused == {event.id: "early"}
    assert engine.due() == {event.id: event.wanted_ms}
    assert engine.leased() == {}


def test_e9_after_an_edit_of_the_time_an_old_envelope_begins_nothing(engine: Engine):
    event = engine.offered()
    engine.store.change(event, at_ms=engine.now_ms + WEEK_MS)

    begun, refused = engine.worker.try_begin(event.id)

    assert begun == []
    assert refused == {event.id: "gone"}
    assert engine.due() == {event.id: engine.now_ms + WEEK_MS}


def test_e9_a_repeated_envelope_begins_nothing_while_the_event_waits_for_a_retry(
    engine: Engine,
):
    begun = engine.begun()
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=60_000))

    again, refused = engine.worker.try_begin(begun.id)

    assert again == []
    assert refused == {begun.id: "gone"}
    assert engine.due() == {begun.id: engine.now_ms + 60_000}


def test_e9_a_repeated_envelope_begins_nothing_after_the_delivery(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun))

    assert engine.worker.try_begin(begun.id) == ([], {begun.id: "gone"})


def test_e9_an_event_that_was_not_offered_does_not_begin(engine: Engine):
    event = engine.create(1_000)
    engine.now_ms += 1_000

    assert engine.worker.try_begin(event.id) == ([], {event.id: "gone"})
    assert engine.due().keys() == {event.id}


def test_two_workers_cannot_begin_the_same_event(engine: Engine):
    event, other = engine.offered(), engine.new_worker()
    engine.worker.begin(event.id)

    assert other.try_begin(event.id) == ([], {event.id: "taken"})
    assert engine.record(event.id)["attempts"] == "1"


def test_an_expired_lease_is_valid_until_a_claim_ends_it(
    engine: Engine,
):
    begun, other = engine.begun(), engine.new_worker()
    engine.now_ms += LEASE_MS + 1

    assert other.try_begin(begun.id) == ([], {begun.id: "taken"})


def test_an_event_without_a_record_is_removed(engine: Engine):
    event = engine.offered()
    engine.client.delete(
        keys.event(PREFIX, event.id),
        keys.body(PREFIX, event.id),
        keys.by_time(PREFIX, str(OWNER), "active"),
    )

    assert engine.worker.try_begin(event.id) == ([], {event.id: "missing"})
    assert engine.leased() == {}


def test_a_finished_event_in_leased_is_removed(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun))
    engine.client.zadd(keys.leased(PREFIX), {begun.id: engine.now_ms + 5})

    assert engine.worker.try_begin(begun.id) == ([], {begun.id: "ended"})
    assert engine.leased() == {}


def test_each_id_of_a_call_gets_its_own_answer(engine: Engine):
    taken = engine.begun()
    good, later = engine.create(1_000), engine.create(60_000)
    engine.now_ms += 1_000
    engine.claim()

    begun, refused = engine.new_worker().try_begin(
        "nobody", taken.id, good.id, later.id
    )

    assert ids(begun) == [good.id]
    assert refused == {"nobody": "gone", taken.id: "taken", later.id: "gone"}


def test_begin_without_ids_begins_nothing(engine: Engine):
    assert engine.worker.try_begin() == ([], {})


def test_e5_a_repeated_begin_returns_the_same_answer_and_counts_once(engine: Engine):
    event = engine.offered()

    with engine.repeating() as repeats:
        begun = engine.worker.begin(event.id)

    assert [(each.id, each.attempt) for each in begun] == [(event.id, 1)]
    assert engine.everything() == repeats.stored


def test_e4_every_begin_has_a_unique_token(engine: Engine):
    one, two = engine.begun(), engine.begun()
    other = engine.new_worker()
    three = other.begin(engine.offered().id)[0]

    assert len({one.token, two.token, three.token}) == 3


def test_e4_of_two_begins_with_one_number_only_the_last_token_settles(engine: Engine):
    lost = engine.begun()
    key = keys.event(PREFIX, lost.id)
    engine.client.hdel(key, *EVENT.codes("token", "renewable_until_ms", "attempts"))
    engine.client.zadd(keys.leased(PREFIX), {lost.id: engine.now_ms + OFFER_MS})
    [running] = engine.new_worker().begin(lost.id)
    assert running.attempt == lost.attempt

    answers = engine.worker.settle(settlement(lost, Outcome.DEAD))

    assert codes(answers) == ["late"]
    assert engine.record(lost.id)["token"] == running.token
    assert codes(engine.worker.settle(settlement(running))) == ["settled"]


def test_attempts_failures_and_interruptions_are_counted(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=0))
    engine.claim()
    engine.worker.begin(begun.id)
    engine.tick(LEASE_MS)
    engine.claim()

    [begun] = engine.worker.begin(begun.id)

    assert (begun.attempt, begun.failures, begun.interruptions) == (3, 1, 1)


def test_r12_after_a_lost_attempt_all_later_ones_may_be_duplicates(engine: Engine):
    lost = engine.interrupted()
    again = engine.claim_and_begin(lost.id)
    engine.worker.settle(settlement(again, Outcome.RETRY, delay_ms=1_000, status=500))
    engine.now_ms += 1_000
    last = engine.claim_and_begin(lost.id)

    assert [b.possible_duplicate for b in (lost, again, last)] == [False, True, True]


def test_r12_after_settled_attempts_the_next_is_not_a_possible_duplicate(
    engine: Engine,
):
    first = engine.begun()
    engine.worker.settle(settlement(first, Outcome.RETRY, status=500))
    second = engine.claim_and_begin(first.id)

    assert not second.possible_duplicate


def test_r29_a_failure_settled_late_does_not_end_the_warning_of_a_duplicate(
    engine: Engine,
):
    lost = engine.interrupted()
    for _ in range(3):
        retry = settlement(lost, Outcome.RETRY, delay_ms=1_000, status=500)
        engine.worker.settle(retry)
        engine.now_ms += 1_000

        lost = engine.claim_and_begin(lost.id)

        assert lost.possible_duplicate
        assert lost.interruptions == 0


def test_a_retry_has_the_first_due_time(engine: Engine):
    begun = engine.begun()
    wanted_ms = begun.wanted_ms
    for _ in range(3):
        engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=5_000))
        engine.now_ms += 5_000
        engine.claim()
        [begun] = engine.worker.begin(begun.id)

    assert begun.wanted_ms == wanted_ms


@pytest.mark.parametrize("size", [0, 5_000, BEGIN_INLINE_BYTES - 100])
def test_e21_begin_returns_content_up_to_a_limit(engine: Engine, size: int):
    content = Content("https://receiver.example/", b"\x00\xff\n" * (size // 3))

    assert engine.begun(content=content).content == content


def test_e21_long_content_is_fetched_after_begin(engine: Engine):
    content = Content("https://receiver.example/", b"x" * (BEGIN_INLINE_BYTES + 1))

    begun = engine.begun(content=content)

    assert begun.content is None
    assert engine.worker.fetch(begun).content == content


def test_fetching_missing_content_is_an_error(engine: Engine):
    engine.checks_faults = False
    event = engine.offered()
    engine.client.delete(keys.body(PREFIX, event.id))

    [begun] = engine.worker.begin(event.id)

    assert begun.content is None
    with pytest.raises(UnreadableRecord):
        engine.worker.fetch(begun)


def test_unreadable_content_does_not_block_other_events(engine: Engine):
    bad, good = engine.create(1_000), engine.create(1_000)
    engine.client.set(keys.body(PREFIX, bad.id), b"no content")
    engine.now_ms += 1_000
    engine.claim()

    begun = {each.id: each for each in engine.worker.begin(bad.id, good.id)}

    assert begun[good.id].content == CONTENT
    assert begun[bad.id].content is None


@pytest.mark.parametrize("taken", [0, 1])
def test_e16_begin_wakes_a_ticker_that_waits_for_room_in_rq(engine: Engine, taken: int):
    enqueuer = RqEnqueuer(engine.client)
    first, *_ = [engine.create(1_000) for _ in range(4)]
    engine.now_ms += 1_000
    full = [engine.claim(room=1, enqueuer=enqueuer).rq_full for _ in range(2)]
    listener = engine.listen_for_wakeups()

    for _ in range(taken):
        engine.client.lpop("rq:queue:deliveries")
    engine.worker.begin(first.id)
    wakeups = engine.count_wakeups(listener)
    engine.worker.begin(first.id)

    assert full == [False, True]
    assert wakeups == taken
    assert engine.count_wakeups(listener) == 0


def test_e16_begin_does_not_wake_a_ticker_that_waits_for_a_later_event(engine: Engine):
    enqueuer = RqEnqueuer(engine.client)
    first, *_ = [engine.create(in_ms) for in_ms in (1_000, 1_000, 1_001)]
    engine.now_ms += 1_000
    full = [engine.claim(room=1, enqueuer=enqueuer).rq_full for _ in range(2)]
    listener = engine.listen_for_wakeups()

    engine.client.lpop("rq:queue:deliveries")
    engine.worker.begin(first.id)

    assert full == [False, False]
    assert engine.count_wakeups(listener) == 0
