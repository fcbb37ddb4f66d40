"""Tests of renewing the leases of begun events, and of releasing offered events."""

from scheduler_api.core.store import keys
from tests.core.engine import (
    DEADLINE_MS,
    LEASE_MS,
    OFFER_MS,
    PREFIX,
    SLACK_MS,
    Engine,
    settlement,
)


def test_renew_extends_the_lease(engine: Engine):
    begun = engine.begun()
    engine.now_ms += 5_000

    assert engine.worker.renew(begun) == set()
    assert engine.leased() == {begun.id: engine.now_ms + LEASE_MS}


def test_a_renewed_event_is_not_interrupted(engine: Engine):
    begun = engine.begun(deadline_ms=600_000)
    interrupted = []
    for _ in range(20):
        claims = engine.tick(LEASE_MS - 1)
        interrupted += [i for claim in claims for i in claim.interrupted]
        assert engine.worker.renew(begun) == set()

    assert interrupted == []


def test_e12_a_lease_cannot_be_renewed_beyond_deadline_plus_ten_seconds(engine: Engine):
    begun = engine.begun()
    until_ms = engine.now_ms + DEADLINE_MS + SLACK_MS

    engine.now_ms = until_ms - 1
    lost_before = engine.worker.renew(begun)
    ends_ms = engine.leased()[begun.id]
    engine.now_ms = until_ms

    assert lost_before == set()
    assert ends_ms == until_ms
    assert engine.worker.renew(begun) == {begun.id}


def test_e12_a_worker_that_hangs_loses_its_event(engine: Engine):
    begun = engine.begun()
    interrupted = []
    for _ in range(30):
        claims = engine.tick(1_000)
        engine.worker.renew(begun)
        interrupted += [i for claim in claims for i in claim.interrupted]

    assert interrupted == [begun.id]
    assert engine.due().keys() == {begun.id}


def test_e5_a_repeated_renew_changes_nothing(engine: Engine):
    begun = engine.begun()
    engine.worker.renew(begun)
    stored = engine.everything()

    assert engine.worker.renew(begun) == set()
    assert engine.everything() == stored


def test_renew_returns_lost_ids(engine: Engine):
    kept, settled, lost = engine.begun(), engine.begun(), engine.begun()
    engine.worker.settle(settlement(settled))
    engine.client.zadd(keys.leased(PREFIX), {lost.id: engine.now_ms})
    engine.claim(room=0)

    lost_ids = engine.worker.renew(kept, settled, lost)

    assert lost_ids == {settled.id, lost.id}
    assert engine.due().keys() == {lost.id}


def test_renew_with_an_old_token_is_refused(engine: Engine):
    lost = engine.interrupted()
    engine.claim()
    [running] = engine.worker.begin(lost.id)
    lease = engine.leased()

    assert engine.worker.renew(lost) == {lost.id}
    assert engine.leased() == lease
    assert engine.worker.renew(running) == set()


def test_renew_does_not_restore_a_missing_lease(engine: Engine):
    engine.checks_faults = False
    begun = engine.begun()
    engine.client.zrem(keys.leased(PREFIX), begun.id)

    engine.worker.renew(begun)

    assert engine.leased() == {}


def test_e14_a_released_event_returns_to_its_own_time(engine: Engine):
    event = engine.offered()
    engine.now_ms += 250

    assert engine.worker.release(event.id) == 1
    assert engine.due() == {event.id: event.wanted_ms}
    assert engine.leased() == {}


def test_e14_a_released_event_is_offered_again_at_once(engine: Engine):
    event = engine.offered()
    engine.worker.release(event.id)

    assert engine.claim().ids == [event.id]


def test_e14_each_release_wakes_the_tickers(engine: Engine):
    first, second = engine.create(1_000), engine.create(1_000)
    engine.now_ms += 1_000
    engine.claim()
    listener = engine.listen_for_wakeups()

    engine.worker.release(first.id)
    after_the_first = engine.count_wakeups(listener)
    engine.worker.release(second.id)

    assert after_the_first >= 1
    assert engine.count_wakeups(listener) >= 1


def test_e5_a_repeated_release_does_nothing(engine: Engine):
    event = engine.offered()
    engine.worker.release(event.id)
    stored = engine.everything()

    assert engine.worker.release(event.id) == 0
    assert engine.everything() == stored


def test_a_begun_event_is_not_released(engine: Engine):
    begun = engine.begun()

    assert engine.worker.release(begun.id) == 0
    assert engine.leased() == {begun.id: engine.now_ms + LEASE_MS}


def test_release_ignores_events_that_are_not_leased(engine: Engine):
    waiting, ended = engine.create(60_000), engine.begun()
    engine.worker.settle(settlement(ended))

    assert engine.worker.release(waiting.id, ended.id, "nobody") == 0
    assert engine.due().keys() == {waiting.id}


def test_release_removes_a_member_without_a_record(engine: Engine):
    engine.client.zadd(keys.leased(PREFIX), {"nobody": engine.now_ms + OFFER_MS})

    assert engine.worker.release("nobody") == 0
    assert engine.leased() == {}
