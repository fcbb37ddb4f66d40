"""Tests of claims: which events a claim offers, and which leases a claim ends."""

import pytest
from scheduler_api.core.model import Draft, Outcome, State
from scheduler_api.core.store import claims, keys
from scheduler_api.core.store.claims import ClaimTimeouts
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    ISOLATION_DELAY_MS,
    LEASE_GRACE_MS,
    LEASE_MS,
    OFFER_MS,
    OWNER,
    PREFIX,
    START_MS,
    TIMEOUTS,
    Engine,
    all_ids,
    settlement,
)

HOUR_MS = 3_600_000
LEASES_PER_CALL = 200


def create_many(engine: Engine, count: int, *, first_ms: int, step_ms: int = 1):
    """Create events in one call; return their ids in the order of their due times."""
    drafts = [
        Draft(
            *(CONTENT, 1_000),
            at_ms=first_ms + n * step_ms,
            id=f"m{first_ms - START_MS}x{n}",
        )
        for n in range(count)
    ]
    return [each.id for each in engine.store.create_many(OWNER, drafts)]


def test_a_claim_of_an_empty_store_offers_nothing_and_plans_no_check(engine: Engine):
    claim = engine.claim()

    assert all_ids(claim) == claim.schedule_ids == claim.quarantined == []
    assert claim.next_us is None
    assert engine.client.exists(keys.next_check(PREFIX)) == 0


def test_an_event_is_offered_exactly_at_its_time(engine: Engine):
    event = engine.create(1_000)
    engine.now_ms += 1_000

    assert engine.claim().ids == [event.id]


def test_an_event_is_not_offered_one_ms_early(engine: Engine):
    event = engine.create(1_000)
    engine.now_ms += 999

    claim = engine.claim()

    assert claim.ids == []
    assert claim.next_us == 1_000
    assert engine.due() == {event.id: START_MS + 1_000}


def test_an_offered_event_has_the_offer_lease(engine: Engine):
    event = engine.offered()

    assert engine.due() == {}
    assert engine.leased() == {event.id: engine.now_ms + OFFER_MS}


def test_a_claim_offers_at_most_as_many_events_as_there_is_room_for(engine: Engine):
    made = create_many(engine, 25, first_ms=START_MS)
    engine.now_ms += 25

    first, second, third = (engine.claim(10) for _ in range(3))

    assert [len(claim.ids) for claim in (first, second, third)] == [10, 10, 5]
    assert sorted(first.ids + second.ids + third.ids) == sorted(made)
    assert first.next_us == second.next_us == 0
    assert third.next_us == OFFER_MS * 1_000


def test_claims_with_room_for_one_offer_one_event_at_a_time(engine: Engine):
    made = create_many(engine, 3, first_ms=START_MS)
    engine.now_ms += 3

    assert [engine.claim(1).ids for _ in range(4)] == [*([each] for each in made), []]


def test_a_claim_without_room_offers_nothing(engine: Engine):
    event = engine.create(1_000)
    engine.now_ms += 1_000

    claim = engine.claim(room=0)

    assert claim.ids == []
    assert claim.next_us == 0
    assert engine.due().keys() == {event.id}


def test_one_claim_can_offer_a_thousand_events(engine: Engine):
    engine.interrupted(2)
    made = create_many(engine, 1_000, first_ms=engine.now_ms - 10_000)

    claim = engine.claim(1_260)

    assert set(made) <= set(claim.ids)


def test_two_claims_offer_different_events(engine: Engine):
    made = create_many(engine, 30, first_ms=START_MS)
    engine.now_ms += 30

    first, second = engine.claim(20), engine.claim(20)

    assert not set(first.ids) & set(second.ids)
    assert set(first.ids) | set(second.ids) == set(made)


def test_e5_after_a_claim_with_a_lost_answer_events_wait_one_offer_lease(
    engine: Engine,
):
    event = engine.create(1_000)
    engine.now_ms += 1_000
    engine.claim()

    repeated = engine.claim()
    engine.now_ms += OFFER_MS - 1
    before_the_end = engine.claim()
    engine.now_ms += 1

    assert repeated.ids == before_the_end.ids == []
    assert engine.claim().ids == [event.id]


def test_e15_an_offered_event_that_is_not_begun_returns_to_its_old_score(
    engine: Engine,
):
    event = engine.offered()

    engine.tick(OFFER_MS)

    assert engine.due() == {event.id: event.wanted_ms}
    assert engine.leased() == {}
    assert engine.record(event.id).keys() == {
        *("format", "owner", "nonce", "created_ms", "due_ms", "deadline_ms"),
        "destination",
    }


def test_the_oldest_events_are_offered_first(engine: Engine):
    late, early = engine.create(2_000), engine.create(1_000)
    engine.now_ms += 5_000

    assert engine.claim().ids == [early.id, late.id]


def test_e19_a_fifth_of_the_room_is_for_events_that_have_just_become_due(
    engine: Engine,
):
    backlog = create_many(engine, 120, first_ms=START_MS - 10_000)
    fresh = create_many(engine, 50, first_ms=START_MS - 100)

    claim = engine.claim(100)

    assert claim.ids == [*backlog[:80], *fresh[:20]]


def test_e19_an_event_that_is_both_among_the_oldest_and_recent_is_offered_once(
    engine: Engine,
):
    made = create_many(engine, 120, first_ms=START_MS - 200)

    claim = engine.claim(100)

    assert claim.ids == made[:100]


def test_e19_an_event_is_recent_for_two_seconds(engine: Engine):
    backlog = create_many(engine, 120, first_ms=START_MS - 10_000)
    [stale] = create_many(engine, 1, first_ms=START_MS - 2_001)
    [fresh] = create_many(engine, 1, first_ms=START_MS - 2_000)

    claim = engine.claim(100)

    assert claim.ids == [*backlog[:80], fresh]
    assert stale in engine.due()


def test_the_next_check_is_at_the_first_end_of_a_lease(engine: Engine):
    engine.offered(1_000)
    engine.create(60_000)

    assert engine.claim().next_us == OFFER_MS * 1_000
    assert engine.client.get(keys.next_check(PREFIX)) == b"%d" % (
        engine.now_ms + OFFER_MS
    )


def test_a_claim_returns_the_epoch_of_the_store(engine: Engine):
    engine.client.set(keys.epoch(PREFIX), "abc")

    assert engine.claim().epoch == "abc"


def test_an_offered_event_without_a_record_is_removed(engine: Engine):
    event = engine.offered()
    engine.client.delete(
        keys.event(PREFIX, event.id),
        keys.body(PREFIX, event.id),
        keys.by_time(PREFIX, str(OWNER), "active"),
    )

    engine.tick(OFFER_MS)

    assert engine.due() == engine.leased() == engine.quarantine() == {}


def test_a_lease_ends_exactly_at_its_time(engine: Engine):
    begun = engine.begun()
    engine.tick(LEASE_MS - 1)

    assert engine.leased().keys() == {begun.id}
    engine.now_ms += 1
    assert engine.claim(room=0).interrupted == [begun.id]


def test_the_end_of_a_begun_event_s_lease_is_an_interruption(engine: Engine):
    begun = engine.begun()
    began_ms = engine.now_ms

    engine.tick(LEASE_MS)

    record = engine.record(begun.id)
    assert engine.due() == {begun.id: begun.wanted_ms}
    assert record["interrupted_token"] == begun.token
    assert (record["interruptions"], record["attempts"]) == ("1", "1")
    assert "token" not in record
    assert "renewable_until_ms" not in record
    assert engine.log(begun.id) == {
        "1": f'i {engine.now_ms} {engine.now_ms} {{"started_ms":{began_ms}}}'
    }


def test_an_interruption_is_reported_once(engine: Engine):
    begun = engine.begun()
    engine.tick(LEASE_MS)

    assert engine.claim(room=0).interrupted == []
    assert engine.record(begun.id)["interruptions"] == "1"


def test_an_interrupted_event_is_offered_before_younger_events(engine: Engine):
    begun = engine.begun()
    younger = engine.create(1_000)
    engine.tick(LEASE_MS)

    assert engine.claim().ids == [begun.id, younger.id]


def test_one_claim_ends_at_most_200_leases(engine: Engine):
    create_many(engine, 250, first_ms=START_MS)
    engine.now_ms += 250
    engine.claim(1_000)
    engine.tick(OFFER_MS - 1)
    engine.now_ms += 1

    first = engine.claim(room=0)

    assert len(engine.due()) == LEASES_PER_CALL
    assert first.next_us == 0
    engine.claim(room=0)
    assert len(engine.due()) == 250


def test_e6_in_the_grace_after_an_outage_no_lease_of_a_begun_event_ends(engine: Engine):
    begun = engine.begun()
    engine.now_ms += 10 * LEASE_MS

    claims = [engine.claim(room=0), *engine.tick(LEASE_GRACE_MS - 1)]

    assert [claim.interrupted for claim in claims] == [[]] * len(claims)
    assert engine.leased().keys() == {begun.id}
    engine.now_ms += 1
    assert engine.claim(room=0).interrupted == [begun.id]


def test_e6_a_lease_renewed_in_the_grace_is_kept(engine: Engine):
    begun = engine.begun(deadline_ms=HOUR_MS)
    engine.now_ms += 10 * LEASE_MS
    engine.claim(room=0)

    lost = engine.worker.renew(begun)
    claims = engine.tick(LEASE_MS - 1)

    assert lost == set()
    assert [claim.interrupted for claim in claims] == [[]] * len(claims)


def test_e6_offer_leases_end_in_the_grace(engine: Engine):
    event = engine.offered()
    engine.now_ms += 10 * LEASE_MS

    claim = engine.claim()

    assert claim.ids == [event.id]


@pytest.mark.parametrize(("gap_ms", "ends"), [(0, True), (1, False)])
def test_e6_an_outage_is_more_than_half_a_lease_without_a_claim(
    engine: Engine, gap_ms: int, ends: bool
):
    begun = engine.begun()
    engine.tick(LEASE_MS // 2)
    engine.now_ms += LEASE_MS // 2 + gap_ms

    claim = engine.claim(room=0)

    assert claim.interrupted == ([begun.id] if ends else [])


def test_e6_the_first_claim_of_a_store_does_not_start_a_grace(engine: Engine):
    engine.claim()

    assert engine.client.exists(keys.lease_grace_until(PREFIX)) == 0


def test_e6_a_short_lease_ends_if_the_ticker_claims_at_each_next_check(
    engine: Engine,
):
    timeouts = ClaimTimeouts(
        offer_ms=100, lease_ms=400, grace_ms=400, missed_grace_ms=60_000
    )
    event = engine.create(1_000)
    engine.now_ms += 1_000
    claims.claim(engine.cell, room=1, timeouts=timeouts)
    engine.worker.store.lease_ms = timeouts.lease_ms
    engine.worker.begin(event.id)

    interrupted = []
    for _ in range(10):
        claim = claims.claim(engine.cell, room=0, timeouts=timeouts)
        interrupted += claim.interrupted
        wait_us = 1_000_000 if claim.next_us is None else claim.next_us
        engine.now_ms += -(-min(wait_us, 1_000_000) // 1_000)

    assert interrupted == [event.id]


def test_e22_when_the_clock_is_set_back_leases_are_shortened_to_one_lease(
    engine: Engine,
):
    begun, offered = engine.begun(), engine.offered()
    engine.now_ms -= HOUR_MS

    engine.claim(room=0)

    assert engine.leased() == {
        begun.id: engine.now_ms + LEASE_MS,
        offered.id: engine.now_ms + LEASE_MS,
    }


def test_e22_when_the_clock_is_set_back_an_interruption_is_seen_within_a_lease(
    engine: Engine,
):
    begun = engine.begun()
    engine.now_ms -= HOUR_MS
    engine.claim(room=0)

    claims = engine.tick(LEASE_MS)

    assert claims[-1].interrupted == [begun.id]


def test_e22_when_the_clock_is_set_forward_no_attempt_is_interrupted_at_once(
    engine: Engine,
):
    begun = engine.begun()
    engine.now_ms += HOUR_MS

    assert engine.claim(room=0).interrupted == []
    assert engine.leased().keys() == {begun.id}


def test_e18_after_one_interruption_an_event_is_not_isolated(engine: Engine):
    begun = engine.interrupted(1)

    claim = engine.claim()

    assert (claim.ids, claim.isolated_ids) == ([begun.id], [])


def test_e18_from_the_second_interruption_in_a_row_an_event_is_isolated(engine: Engine):
    begun = engine.interrupted(2)
    other = engine.create(1)
    engine.now_ms += 1

    claim = engine.claim()

    assert (claim.ids, claim.isolated_ids) == ([other.id], [begun.id])
    assert engine.leased().keys() == {begun.id, other.id}


def test_e18_after_its_second_interruption_an_event_is_delayed(engine: Engine):
    begun = engine.interrupted(1)
    engine.claim()
    engine.worker.begin(begun.id)
    engine.tick(LEASE_MS - 1)
    engine.now_ms += 1
    claims = [engine.claim()]
    engine.now_ms += ISOLATION_DELAY_MS - 1
    claims.append(engine.claim())
    engine.now_ms += 1
    claims.append(engine.claim())

    assert claims[0].interrupted == [begun.id]
    assert [claim.isolated_ids for claim in claims] == [[], [], [begun.id]]


def test_e18_each_claim_offers_one_isolated_event(engine: Engine):
    first, second = engine.create(1_000), engine.create(1_000)
    engine.now_ms += 1_000
    for _ in range(2):
        engine.claim()
        engine.worker.begin(first.id, second.id)
        engine.tick(LEASE_MS)
    other = engine.create(1)
    engine.now_ms += ISOLATION_DELAY_MS

    claims = [engine.claim(), engine.claim()]
    engine.now_ms += ISOLATION_DELAY_MS
    later = engine.claim()

    assert [claim.isolated_ids for claim in claims] == [[first.id], []]
    assert claims[0].ids == [other.id]
    assert later.isolated_ids == [second.id]


def test_e18_an_event_is_isolated_until_it_settles(engine: Engine):
    begun = engine.interrupted(2)
    engine.claim()
    [begun] = engine.worker.begin(begun.id)
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=1_000))
    engine.now_ms += 1_000

    claim = engine.claim()

    assert (claim.ids, claim.isolated_ids) == ([begun.id], [])
    assert engine.isolated() == set()


def test_e18_after_five_interruptions_in_a_row_an_event_is_dead(engine: Engine):
    begun = engine.interrupted(5)

    event = engine.get(begun.id)

    assert (event.state, event.reason) == (State.DEAD, "poison")
    assert (event.attempts, event.finished_ms) == (5, engine.now_ms)
    assert [entry.split()[0] for entry in engine.log(begun.id).values()] == ["i"] * 5
    assert engine.due() == engine.leased() == {}


def test_e18_a_settle_resets_the_count_of_interruptions(engine: Engine):
    begun = engine.interrupted(4)
    engine.claim()
    [begun] = engine.worker.begin(begun.id)
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=0))

    for _ in range(4):
        engine.now_ms += ISOLATION_DELAY_MS
        engine.claim()
        [begun] = engine.worker.begin(begun.id)
        engine.tick(LEASE_MS)

    assert engine.get(begun.id).state is State.ACTIVE
    assert engine.record(begun.id)["interruptions"] == "4"


def test_e18_events_interrupted_with_a_poison_event_are_delivered(engine: Engine):
    poison, neighbour = engine.create(1_000), engine.create(1_000)
    engine.now_ms += 1_000
    for _ in range(2):
        engine.claim()
        engine.worker.begin(poison.id, neighbour.id)
        engine.tick(LEASE_MS)
    engine.claim()
    [begun] = engine.worker.begin(neighbour.id)
    engine.worker.settle(settlement(begun))
    for _ in range(3):
        engine.worker.begin(poison.id)
        engine.tick(LEASE_MS)
        engine.claim()

    assert engine.get(poison.id).state is State.DEAD
    assert engine.get(neighbour.id).state is State.DELIVERED


def test_an_attempt_that_is_not_renewed_is_interrupted_before_its_deadline(
    engine: Engine,
):
    begun = engine.begun(deadline_ms=DEADLINE_MS * 100)

    engine.tick(LEASE_MS)

    assert TIMEOUTS.lease_ms < DEADLINE_MS * 100
    assert engine.due().keys() == {begun.id}
