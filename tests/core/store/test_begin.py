"""Begin: the one place that decides whether an event is sent now."""

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


def test_a_begun_event_is_told_in_full(engine: Engine):
    event = engine.offered()

    [begun] = engine.worker.begin(event.id)

    assert begun.id == event.id
    assert begun.content == CONTENT
    assert begun.owner == OWNER
    assert (begun.attempt, begun.failures, begun.interruptions) == (1, 0, 0)
    assert (begun.wanted_ms, begun.created_ms) == (event.wanted_ms, event.created_ms)
    assert (begun.deadline_ms, begun.schedule) == (DEADLINE_MS, None)


def test_begin_moves_the_lease_to_its_own_length(engine: Engine):
    event = engine.offered()
    engine.now_ms += OFFER_MS - 1

    engine.worker.begin(event.id)

    assert engine.leased() == {event.id: engine.now_ms + LEASE_MS}


def test_e12_begin_fixes_the_time_that_no_renewal_passes(engine: Engine):
    begun = engine.begun()

    until_ms = engine.now_ms + DEADLINE_MS + SLACK_MS
    assert engine.record(begun.id)["renewable_until_ms"] == str(until_ms)


def test_begin_exactly_at_the_wanted_time(engine: Engine):
    event = engine.offered()
    assert engine.now_ms == event.wanted_ms

    assert ids(engine.worker.begin(event.id)) == [event.id]


def test_e9_one_ms_early_nothing_begins_and_the_event_goes_back(engine: Engine):
    event = engine.offered()
    engine.now_ms -= 1

    begun, fallen = engine.worker.try_begin(event.id)

    assert begun == []
    assert fallen == {event.id: "early"}
    assert engine.due() == {event.id: event.wanted_ms}
    assert engine.leased() == {}


def test_e9_an_old_envelope_after_an_edit_to_next_week_begins_nothing(engine: Engine):
    event = engine.offered()
    engine.store.change(event, at_ms=engine.now_ms + WEEK_MS)

    begun, fallen = engine.worker.try_begin(event.id)

    assert begun == []
    assert fallen == {event.id: "gone"}
    assert engine.due() == {event.id: engine.now_ms + WEEK_MS}


def test_e9_a_doubled_envelope_meets_the_event_in_retry_wait_and_begins_nothing(
    engine: Engine,
):
    begun = engine.begun()
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=60_000))

    again, fallen = engine.worker.try_begin(begun.id)

    assert again == []
    assert fallen == {begun.id: "gone"}
    assert engine.due() == {begun.id: engine.now_ms + 60_000}


def test_e9_a_doubled_envelope_after_the_delivery_begins_nothing(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun))

    assert engine.worker.try_begin(begun.id) == ([], {begun.id: "gone"})


def test_e9_what_was_never_offered_is_not_begun(engine: Engine):
    event = engine.create(1_000)
    engine.now_ms += 1_000

    assert engine.worker.try_begin(event.id) == ([], {event.id: "gone"})
    assert engine.due().keys() == {event.id}


def test_of_two_workers_one_begins(engine: Engine):
    event, other = engine.offered(), engine.new_worker()
    engine.worker.begin(event.id)

    assert other.try_begin(event.id) == ([], {event.id: "taken"})
    assert engine.record(event.id)["attempts"] == "1"


def test_a_lease_that_is_over_is_still_its_holder_s_until_a_claim_ends_it(
    engine: Engine,
):
    begun, other = engine.begun(), engine.new_worker()
    engine.now_ms += LEASE_MS + 1

    assert other.try_begin(begun.id) == ([], {begun.id: "taken"})


def test_an_event_without_a_record_falls_out_for_good(engine: Engine):
    event = engine.offered()
    engine.client.delete(
        keys.event(PREFIX, event.id),
        keys.body(PREFIX, event.id),
        keys.by_time(PREFIX, str(OWNER), "active"),
    )

    assert engine.worker.try_begin(event.id) == ([], {event.id: "missing"})
    assert engine.leased() == {}


def test_a_finished_event_that_still_stands_in_leased_falls_out(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun))
    engine.client.zadd(keys.leased(PREFIX), {begun.id: engine.now_ms + 5})

    assert engine.worker.try_begin(begun.id) == ([], {begun.id: "ended"})
    assert engine.leased() == {}


def test_each_id_of_a_batch_is_decided_by_itself(engine: Engine):
    taken = engine.begun()
    good, later = engine.create(1_000), engine.create(60_000)
    engine.now_ms += 1_000
    engine.claim()

    begun, fallen = engine.new_worker().try_begin("nobody", taken.id, good.id, later.id)

    assert ids(begun) == [good.id]
    assert fallen == {"nobody": "gone", taken.id: "taken", later.id: "gone"}


def test_an_empty_batch_begins_nothing(engine: Engine):
    assert engine.worker.try_begin() == ([], {})


def test_e5_begin_run_twice_answers_the_same_and_counts_once(engine: Engine):
    event = engine.offered()

    with engine.repeating() as repeats:
        begun = engine.worker.begin(event.id)

    assert [(each.id, each.attempt) for each in begun] == [(event.id, 1)]
    assert engine.everything() == repeats.stored


def test_e4_every_begin_has_a_token_of_its_own(engine: Engine):
    one, two = engine.begun(), engine.begun()
    other = engine.new_worker()
    three = other.begin(engine.offered().id)[0]

    assert len({one.token, two.token, three.token}) == 3


def test_e4_two_begins_that_count_alike_settle_by_token_only(engine: Engine):
    lost = engine.begun()
    key = keys.event(PREFIX, lost.id)
    engine.client.hdel(key, *EVENT.codes("token", "renewable_until_ms", "attempts"))
    engine.client.zadd(keys.leased(PREFIX), {lost.id: engine.now_ms + OFFER_MS})
    [held] = engine.new_worker().begin(lost.id)
    assert held.attempt == lost.attempt

    answers = engine.worker.settle(settlement(lost, Outcome.DEAD))

    assert codes(answers) == ["late"]
    assert engine.record(lost.id)["token"] == held.token
    assert codes(engine.worker.settle(settlement(held))) == ["settled"]


def test_attempts_failures_and_interruptions_are_counted_apart(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=0))
    engine.claim()
    engine.worker.begin(begun.id)
    engine.tick(LEASE_MS)
    engine.claim()

    [begun] = engine.worker.begin(begun.id)

    assert (begun.attempt, begun.failures, begun.interruptions) == (3, 1, 1)


def test_r12_once_an_attempt_was_lost_all_later_ones_may_be_duplicates(engine: Engine):
    lost = engine.interrupted()
    again = engine.claim_and_begin(lost.id)
    engine.worker.settle(settlement(again, Outcome.RETRY, delay_ms=1_000, status=500))
    engine.now_ms += 1_000
    last = engine.claim_and_begin(lost.id)

    assert [b.possible_duplicate for b in (lost, again, last)] == [False, True, True]


def test_r12_attempts_whose_end_is_known_make_no_duplicate(engine: Engine):
    first = engine.begun()
    engine.worker.settle(settlement(first, Outcome.RETRY, status=500))
    second = engine.claim_and_begin(first.id)

    assert not second.possible_duplicate


def test_r12_a_late_settle_of_a_lost_attempt_leaves_no_doubt(engine: Engine):
    lost = engine.interrupted()
    engine.worker.settle(settlement(lost, Outcome.RETRY, delay_ms=1_000, status=500))
    engine.now_ms += 1_000

    assert not engine.claim_and_begin(lost.id).possible_duplicate


def test_a_retry_tells_when_the_event_was_first_wanted(engine: Engine):
    begun = engine.begun()
    wanted_ms = begun.wanted_ms
    for _ in range(3):
        engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=5_000))
        engine.now_ms += 5_000
        engine.claim()
        [begun] = engine.worker.begin(begun.id)

    assert begun.wanted_ms == wanted_ms


@pytest.mark.parametrize("size", [0, 5_000, BEGIN_INLINE_BYTES - 100])
def test_e21_content_that_fits_comes_with_the_answer(engine: Engine, size: int):
    content = Content("https://receiver.example/", b"\x00\xff\n" * (size // 3))

    assert engine.begun(content=content).content == content


def test_e21_long_content_is_fetched_after_begin(engine: Engine):
    content = Content("https://receiver.example/", b"x" * (BEGIN_INLINE_BYTES + 1))

    begun = engine.begun(content=content)

    assert begun.content is None
    assert engine.worker.fetch(begun).content == content


def test_content_that_is_gone_is_told_when_it_is_fetched(engine: Engine):
    engine.checks_faults = False
    event = engine.offered()
    engine.client.delete(keys.body(PREFIX, event.id))

    [begun] = engine.worker.begin(event.id)

    assert begun.content is None
    with pytest.raises(UnreadableRecord):
        engine.worker.fetch(begun)


def test_content_that_is_no_content_does_not_hold_up_its_neighbours(engine: Engine):
    bad, good = engine.create(1_000), engine.create(1_000)
    engine.client.set(keys.body(PREFIX, bad.id), b"no content")
    engine.now_ms += 1_000
    engine.claim()

    begun = {each.id: each for each in engine.worker.begin(bad.id, good.id)}

    assert begun[good.id].content == CONTENT
    assert begun[bad.id].content is None


@pytest.mark.parametrize("taken", [0, 1])
def test_e16_begin_wakes_a_ticker_that_waits_for_room_once_there_is_some(
    engine: Engine, taken: int
):
    enqueuer = RqEnqueuer(engine.client)
    first, *_ = [engine.create(1_000) for _ in range(4)]
    engine.now_ms += 1_000
    full = [engine.claim(room=1, enqueuer=enqueuer).rq_full for _ in range(2)]
    listener = engine.listen_for_wakeups()

    for _ in range(taken):
        engine.client.lpop("rq:queue:deliveries")
    engine.worker.begin(first.id)
    woken = engine.count_wakeups(listener)
    engine.worker.begin(first.id)

    assert full == [False, True]
    assert woken == taken
    assert engine.count_wakeups(listener) == 0


def test_e16_begin_wakes_nobody_for_what_is_still_to_come(engine: Engine):
    enqueuer = RqEnqueuer(engine.client)
    first, *_ = [engine.create(in_ms) for in_ms in (1_000, 1_000, 1_001)]
    engine.now_ms += 1_000
    full = [engine.claim(room=1, enqueuer=enqueuer).rq_full for _ in range(2)]
    listener = engine.listen_for_wakeups()

    engine.client.lpop("rq:queue:deliveries")
    engine.worker.begin(first.id)

    assert full == [False, False]
    assert engine.count_wakeups(listener) == 0
