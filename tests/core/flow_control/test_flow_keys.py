"""Tests of flow-control keys: events over the rate or the parallelism wait."""

import pytest
from scheduler_api.core.errors import NotFound
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.model import FlowLimits, Gates, Outcome, Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import flow_gate
from tests.core.engine import (
    LEASE_MS,
    OFFER_MS,
    OWNER,
    PREFIX,
    Engine,
    ids,
)
from tests.core.gated import CHECK_EVERY_MS, begin, create, finish, offer

KEY = "a key, with a blank/slash"
JITTER_MS = 20
GATE = flow_gate(OWNER, KEY)


def limited(
    parallelism: int | None = None, rate: int | None = None, period_ms: int = 1_000
) -> Gates:
    return Gates(flow=FlowLimits(KEY, parallelism, rate, period_ms))


def test_the_parallelism_limits_how_many_run_at_once(engine: Engine):
    accepted, sent = create(engine, 7, limited(3)), []

    while len(sent) < len(accepted):
        begun = begin(engine)
        assert len(begun) == min(3, len(accepted) - len(sent))
        finish(engine, *begun)
        sent += ids(begun)

    assert sent == accepted


def test_a_freed_slot_goes_to_the_oldest_waiting_event_at_once(engine: Engine):
    accepted = create(engine, 5, limited(2))
    first, _ = begin(engine)
    finish(engine, first)

    assert offer(engine) == [accepted[2]]


@pytest.mark.parametrize("how", ["retry", "dead", "cancelled", "interrupted"])
def test_e2_every_end_of_an_attempt_frees_its_slot(engine: Engine, how: str):
    accepted = create(engine, 2, limited(1))
    [begun] = begin(engine)
    if how == "retry":
        finish(engine, begun, outcome=Outcome.RETRY, delay_ms=60_000)
    elif how == "dead":
        finish(engine, begun, outcome=Outcome.DEAD)
    elif how == "cancelled":
        engine.store.cancel(OWNER, [begun.id])
        finish(engine, begun, outcome=Outcome.DEAD)
    else:
        engine.tick(LEASE_MS)
        # The interrupted event is older than the waiting event, so it begins first.
        [again] = begin(engine)
        finish(engine, again)

    assert offer(engine) == [accepted[1]]


def test_a_cancelled_event_no_longer_waits(engine: Engine, flow_keys: FlowKeys):
    _, second = create(engine, 2, limited(1))
    begin(engine)
    engine.store.cancel(OWNER, [second])

    assert flow_keys.get(OWNER, KEY).waiting == 0
    assert engine.scores(keys.waiters(PREFIX, GATE)) == {}


def test_every_period_has_at_most_as_many_begins_as_the_rate(engine: Engine):
    create(engine, 25, limited(rate=5, period_ms=1_000))
    begun_ms: list[int] = []
    for _ in range(90):
        begun = begin(engine)
        finish(engine, *begun)
        begun_ms += [engine.now_ms] * len(begun)
        engine.now_ms += 61

    assert len(begun_ms) == 25
    later = zip(begun_ms, begun_ms[5:], strict=False)
    assert all(at + 1_000 < after for at, after in later)
    assert begun_ms[-1] - begun_ms[0] < 4 * (1_000 + JITTER_MS + 61)


def test_offered_events_count_towards_the_rate(engine: Engine):
    create(engine, 10, limited(rate=5))
    offered = offer(engine)
    engine.now_ms += 900
    slow = engine.worker.begin(*offered)
    engine.now_ms += 150

    assert len(slow) == 5
    assert offer(engine) == []
    engine.now_ms += 1_000 + JITTER_MS
    assert len(offer(engine)) == 5


def test_the_ticker_claims_when_the_rate_admits_the_next_event(engine: Engine):
    create(engine, 2, limited(rate=1, period_ms=60_000))
    begin(engine)

    assert engine.claim().next_us == LEASE_MS // 4 * 1_000
    finish(engine, *engine.worker.begin())
    engine.now_ms += 60_000 + JITTER_MS - 1
    assert offer(engine) == []
    engine.now_ms += 1
    assert len(offer(engine)) == 1


def test_an_event_whose_offer_expired_keeps_its_slot_and_uses_no_rate(engine: Engine):
    first, _ = create(engine, 2, limited(1, rate=1))
    offer(engine)
    engine.now_ms += OFFER_MS

    assert offer(engine) == [first]


def test_rate_and_parallelism_apply_together(engine: Engine):
    create(engine, 10, limited(2, rate=3))
    first = begin(engine)
    finish(engine, *first)
    second = begin(engine)

    assert len(first) == 2
    assert len(second) == 1
    engine.now_ms += 1_000 + JITTER_MS
    assert len(offer(engine)) == 1


def test_the_limits_of_the_latest_event_apply(engine: Engine, flow_keys: FlowKeys):
    create(engine, 3, limited(1))
    before = offer(engine)
    create(engine, 1, limited(3))
    after = offer(engine)
    create(engine, 1, limited(rate=7, period_ms=2_000))

    assert (len(before), len(after)) == (1, 2)
    found = flow_keys.get(OWNER, KEY)
    assert (found.parallelism, found.rate, found.period_ms) == (0, 7, 2_000)


def test_events_do_not_change_pinned_limits(engine: Engine, flow_keys: FlowKeys):
    flow_keys.pin(OWNER, KEY, parallelism=2)
    create(engine, 5, limited(4, rate=9))
    pinned = flow_keys.get(OWNER, KEY)
    running = offer(engine)
    flow_keys.unpin(OWNER, KEY, parallelism=True, rate=False)
    unpinned = flow_keys.get(OWNER, KEY)
    create(engine, 1, limited(4))

    assert (pinned.parallelism, pinned.rate) == (2, 9)
    assert (pinned.pinned_parallelism, pinned.pinned_rate) == (True, False)
    assert (unpinned.parallelism, unpinned.pinned_parallelism) == (2, False)
    assert len(running) == 2
    assert flow_keys.get(OWNER, KEY).parallelism == 4


def test_a_paused_key_holds_all_events_until_it_is_resumed(
    engine: Engine, flow_keys: FlowKeys
):
    accepted = create(engine, 1, limited(5))
    offered = offer(engine)
    flow_keys.set_paused(OWNER, KEY, paused=True)
    accepted += create(engine, 2, limited(5))
    begun, refused = engine.worker.try_begin(*offered)
    paused = offer(engine), flow_keys.get(OWNER, KEY)
    flow_keys.set_paused(OWNER, KEY, paused=False)

    assert (begun, refused) == ([], {accepted[0]: "held"})
    assert (paused[0], paused[1].waiting, paused[1].paused) == ([], 3, True)
    assert paused[1].running == 0
    assert offer(engine) == accepted


def test_events_of_a_paused_key_are_not_due(engine: Engine, flow_keys: FlowKeys):
    flow_keys.set_paused(OWNER, KEY, paused=True)
    create(engine, 2, limited(5))
    offer(engine)

    assert engine.due() == {}
    assert engine.claim().next_us is None


def test_a_reset_admits_events_that_the_rate_held(engine: Engine, flow_keys: FlowKeys):
    create(engine, 4, limited(rate=2, period_ms=60_000))
    begin(engine)
    before = flow_keys.get(OWNER, KEY)
    flow_keys.reset_rate(OWNER, KEY)

    assert (before.begun, before.waiting, before.since_ms) == (2, 2, engine.now_ms)
    assert len(begin(engine)) == 2


def test_waiting_and_running_events_are_counted(engine: Engine, flow_keys: FlowKeys):
    create(engine, 5, limited(2, rate=10))
    begin(engine)

    found = flow_keys.get(OWNER, KEY)
    assert (found.waiting, found.running, found.begun) == (3, 2, 2)
    assert [each.key for each in flow_keys.all_of(OWNER)] == [KEY]
    with pytest.raises(NotFound):
        flow_keys.get(Owner("2", "qstash"), KEY)


def test_an_idle_key_expires_unless_it_is_pinned(engine: Engine, flow_keys: FlowKeys):
    create(engine, 1, limited(2))
    lives_ms = engine.client.pttl(keys.gate(PREFIX, GATE))
    flow_keys.pin(OWNER, KEY, parallelism=1)
    pinned_ms = engine.client.pttl(keys.gate(PREFIX, GATE))
    engine.client.delete(keys.gate(PREFIX, GATE))

    assert lives_ms > 13 * 86_400_000
    assert pinned_ms == -1
    assert flow_keys.all_of(OWNER) == []
    assert engine.scores(keys.flow_keys(PREFIX, str(OWNER))) == {}


@pytest.mark.parametrize("kept", ["paused", "pinned"])
def test_limits_kept_by_hand_last_for_events_due_in_a_year(
    engine: Engine, flow_keys: FlowKeys, kept: str
):
    year_ms = 365 * 86_400_000
    create(engine, 1, limited(2), delay_ms=year_ms)
    if kept == "paused":
        flow_keys.set_paused(OWNER, KEY, paused=True)
        flow_keys.set_paused(OWNER, KEY, paused=False)
    else:
        flow_keys.pin(OWNER, KEY, parallelism=1)
        flow_keys.unpin(OWNER, KEY, parallelism=True, rate=False)

    assert engine.client.pttl(keys.gate(PREFIX, GATE)) > year_ms


def test_e2_a_slot_held_by_a_missing_event_is_freed(engine: Engine):
    engine.checks_faults = False
    [waiting] = create(engine, 1, limited(1))
    engine.client.sadd(keys.holders(PREFIX, GATE), "ghost")
    engine.client.sadd(keys.not_begun(PREFIX, GATE), "ghost")
    held = offer(engine)
    engine.now_ms += CHECK_EVERY_MS

    assert held == []
    assert offer(engine) == [waiting]


def test_e22_setting_the_clock_back_does_not_block_a_rate(engine: Engine):
    create(engine, 4, limited(rate=2))
    finish(engine, *begin(engine))
    engine.now_ms -= 3_600_000
    engine.claim()
    engine.now_ms += 3_600_000
    engine.claim()
    engine.now_ms -= 3_600_000
    engine.claim()
    engine.now_ms += 3_600_001

    assert len(offer(engine)) == 2
