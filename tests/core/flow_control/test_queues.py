"""Tests of queues: events keep the order of acceptance, despite retries and crashes."""

import pytest
import redis
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.errors import NotFound
from scheduler_api.core.flow_control.queues import DROPPED_AT_ONCE, Queues
from scheduler_api.core.model import (
    Draft,
    FollowUp,
    Gates,
    Outcome,
    Owner,
    ScheduleOptions,
    State,
)
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import queue_gate
from scheduler_api.core.store.reads import read_events
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_MS,
    OFFER_MS,
    OWNER,
    PREFIX,
    Engine,
    ids,
)
from tests.core.function_calls import unreachable_after
from tests.core.gated import CHECK_EVERY_MS, begin, create, finish, offer

ORDERS = Gates(queue="orders")


def enqueue(engine: Engine, count: int, *, delay_ms: int = 0) -> list[str]:
    return create(engine, count, ORDERS, delay_ms=delay_ms)


def test_one_event_at_a_time_is_sent_in_the_order_of_acceptance(engine: Engine):
    accepted, sent = enqueue(engine, 5), []

    for _ in accepted:
        [begun] = begin(engine)
        assert begin(engine) == []
        finish(engine, begun)
        sent.append(begun.id)

    assert sent == accepted
    assert offer(engine) == []


def test_a_retry_keeps_its_place_in_the_queue(engine: Engine):
    first, second = enqueue(engine, 2)
    [begun] = begin(engine)
    finish(engine, begun, outcome=Outcome.RETRY, delay_ms=60_000)
    engine.now_ms += 59_000
    too_soon = offer(engine)
    engine.now_ms += 1_000
    [again] = begin(engine)
    finish(engine, again, outcome=Outcome.DEAD)

    assert too_soon == []
    assert again.id == first
    assert offer(engine) == [second]


def test_an_interrupted_event_keeps_its_place_in_the_queue(engine: Engine):
    first, second = enqueue(engine, 2)
    begin(engine)
    engine.tick(LEASE_MS)
    [again] = begin(engine)
    finish(engine, again)

    assert (again.id, again.attempt) == (first, 2)
    assert offer(engine) == [second]


def test_an_event_whose_offer_expired_keeps_its_place_in_the_queue(engine: Engine):
    first, _ = enqueue(engine, 2)
    offer(engine)
    engine.now_ms += OFFER_MS

    assert offer(engine) == [first]


def test_a_delayed_event_blocks_the_events_behind_it(engine: Engine):
    [later] = enqueue(engine, 1, delay_ms=1_000)
    [now] = enqueue(engine, 1)
    too_soon = offer(engine)
    engine.now_ms += 1_000
    [begun] = begin(engine)
    finish(engine, begun)

    assert too_soon == []
    assert begun.id == later
    assert offer(engine) == [now]


def test_the_next_event_waits_for_callbacks_and_their_retries(engine: Engine):
    first, second = enqueue(engine, 2)
    [begun] = begin(engine)
    child = FollowUp(f"{first}.c1", CONTENT, DEADLINE_MS)
    finish(engine, begun, follow_ups=(child,))
    [callback] = begin(engine)
    finish(engine, callback, outcome=Outcome.RETRY, delay_ms=5_000)
    waiting = offer(engine)
    engine.now_ms += 5_000
    [callback] = begin(engine)
    finish(engine, callback)

    assert waiting == []
    assert callback.id == child.id
    assert offer(engine) == [second]


def test_a_callback_is_sent_while_its_event_waits_for_a_retry(engine: Engine):
    first, _ = enqueue(engine, 2)
    [begun] = begin(engine)
    child = FollowUp(f"{first}.c1", CONTENT, DEADLINE_MS)
    outcome = {"outcome": Outcome.RETRY, "delay_ms": 60_000}
    finish(engine, begun, **outcome, follow_ups=(child,))

    assert offer(engine) == [child.id]


def test_the_parallelism_limits_how_many_events_are_sent_at_once(
    engine: Engine, queues: Queues
):
    queues.put(OWNER, "orders", parallelism=3, paused=False)
    accepted = enqueue(engine, 7)
    started = begin(engine)
    finish(engine, started[1])

    assert ids(started) == accepted[:3]
    assert offer(engine) == [accepted[3]]


def test_e2_a_higher_parallelism_takes_effect_at_once(engine: Engine, queues: Queues):
    accepted = enqueue(engine, 120)
    offered = offer(engine)
    queues.put(OWNER, "orders", parallelism=110, paused=False)
    engine.now_ms += 1

    assert offered == accepted[:1]
    assert sorted(offered + offer(engine)) == sorted(accepted[:110])


def test_a_wide_queue_sends_all_events_even_if_some_end_during_its_check(
    engine: Engine, queues: Queues
):
    queues.put(OWNER, "orders", parallelism=1_000, paused=True)
    accepted = enqueue(engine, 220)
    offer(engine)
    engine.now_ms += 1
    queues.set_paused(OWNER, "orders", paused=False)
    [first, *_] = begun = engine.worker.begin(*engine.claim(room=10).ids)
    finish(engine, *begun)

    assert first.id == accepted[0]
    assert sorted(ids(begun) + offer(engine)) == sorted(accepted)


def test_more_than_two_hundred_queues_can_continue_at_the_same_moment(engine: Engine):
    queues = [Gates(queue=f"q{n}") for n in range(210)]
    for queue in queues:
        create(engine, 2, queue)
    begun = begin(engine)
    finish(engine, *begun)

    assert len(begun) == len(queues)
    assert len(offer(engine)) == len(queues)


def test_a_lower_parallelism_admits_no_event_until_enough_have_ended(
    engine: Engine, queues: Queues
):
    queues.put(OWNER, "orders", parallelism=3, paused=False)
    accepted = enqueue(engine, 5)
    started = begin(engine)
    queues.put(OWNER, "orders", parallelism=1, paused=False)
    for begun in started[:2]:
        finish(engine, begun)
    waiting = offer(engine)
    finish(engine, started[2])

    assert waiting == []
    assert offer(engine) == [accepted[3]]


def test_a_paused_queue_accepts_events_and_resumes_with_the_oldest(
    engine: Engine, queues: Queues
):
    queues.put(OWNER, "orders", parallelism=2, paused=True)
    accepted = enqueue(engine, 3)
    paused = offer(engine)
    queues.set_paused(OWNER, "orders", paused=False)

    assert paused == []
    assert offer(engine) == accepted[:2]


def test_a_pause_stops_events_that_were_already_offered(engine: Engine, queues: Queues):
    [first] = enqueue(engine, 1)
    offered = offer(engine)
    queues.set_paused(OWNER, "orders", paused=True)
    begun, refused = engine.worker.try_begin(*offered)
    queues.set_paused(OWNER, "orders", paused=False)

    assert (begun, refused) == ([], {first: "held"})
    assert offer(engine) == [first]


def test_a_cancelled_event_frees_its_place(engine: Engine):
    first, second, third = enqueue(engine, 3)
    offer(engine)
    engine.store.cancel(OWNER, [second, first])

    assert offer(engine) == [third]


def test_lag_counts_unfinished_events(engine: Engine, queues: Queues):
    enqueue(engine, 3)
    enqueue(engine, 1, delay_ms=60_000)
    [begun] = begin(engine)
    before = queues.get(OWNER, "orders")
    finish(engine, begun)

    assert (before.parallelism, before.paused, before.lag) == (1, False, 4)
    assert queues.get(OWNER, "orders").lag == 3
    assert [each.name for each in queues.all_of(OWNER)] == ["orders"]


def test_an_event_does_not_reset_the_settings_of_its_queue(
    engine: Engine, queues: Queues
):
    queues.put(OWNER, "orders", parallelism=4, paused=True)
    enqueue(engine, 1)

    found = queues.get(OWNER, "orders")
    assert (found.parallelism, found.paused) == (4, True)


def test_deleting_a_queue_cancels_its_events(engine: Engine, queues: Queues):
    accepted = enqueue(engine, 520)
    [begun] = begin(engine)

    assert queues.delete(OWNER, "orders") == 519
    with pytest.raises(NotFound):
        queues.get(OWNER, "orders")
    assert queues.all_of(OWNER) == []
    states = {event.state for event in read_events(engine.cell, OWNER, accepted[1:])}
    assert states == {State.CANCELLED}
    finish(engine, begun, outcome=Outcome.RETRY, delay_ms=1)
    assert engine.get(begun.id).state is State.CANCELLED
    assert queues.delete(OWNER, "orders") == 0


def test_deleting_a_queue_does_not_cancel_callbacks(engine: Engine, queues: Queues):
    first, second = enqueue(engine, 2)
    [begun] = begin(engine)
    child = FollowUp(f"{first}.c1", CONTENT, DEADLINE_MS, delay_ms=1_000)
    finish(engine, begun, follow_ups=(child,))
    dropped = queues.delete(OWNER, "orders")
    [new] = enqueue(engine, 1)
    engine.now_ms += 1_000
    [callback] = begin(engine)
    finish(engine, callback)

    assert (dropped, callback.id) == (1, child.id)
    assert engine.get(second).state is State.CANCELLED
    assert offer(engine) == [new]


def test_claims_complete_an_interrupted_deletion(engine: Engine, queues: Queues):
    accepted = enqueue(engine, 250)
    with (
        unreachable_after(engine.client, calls=1),
        pytest.raises(redis.ConnectionError),
    ):
        queues.delete(OWNER, "orders")
    left = engine.client.zcard(keys.order(PREFIX, queue_gate(OWNER, "orders")))
    [later] = enqueue(engine, 1)
    for _ in range(4):
        engine.now_ms += CHECK_EVERY_MS
        offered = offer(engine)

    states = {event.state for event in read_events(engine.cell, OWNER, accepted)}
    assert left == len(accepted) - DROPPED_AT_ONCE
    assert states == {State.CANCELLED}
    assert offered == [later]


def test_e5_a_repeated_deletion_keeps_events_created_in_between(
    engine: Engine, queues: Queues
):
    enqueue(engine, 3)
    later: list[str] = []

    # A deletion returns the number of cancelled events. The repeated deletion cancels
    # no events, so its answer differs.
    with engine.repeating(lambda: later.extend(enqueue(engine, 1)), same_answer=False):
        queues.delete(OWNER, "orders")

    assert offer(engine) == later
    assert queues.get(OWNER, "orders").lag == 1
    assert queues.delete(OWNER, "orders") == 1


def test_queues_of_two_owners_are_independent(engine: Engine, queues: Queues):
    other = Owner("2", "qstash")
    enqueue(engine, 1)
    engine.store.create_many(other, [Draft(CONTENT, DEADLINE_MS, gates=ORDERS)])

    assert len(offer(engine)) == 2
    with pytest.raises(NotFound):
        queues.set_paused(Owner("3", "qstash"), "orders", paused=True)


def test_occurrences_of_a_schedule_wait_in_its_queue(engine: Engine, queues: Queues):
    options = ScheduleOptions(gates=ORDERS)
    schedule = engine.schedules.create(
        OWNER,
        CONTENT,
        expression="* * * * * *",
        tz="UTC",
        grammar=FULL,
        deadline_ms=DEADLINE_MS,
        options=options,
    )
    for _ in range(2):
        engine.now_ms += 1_000
        engine.claim()

    assert len(engine.leased()) == 1
    assert queues.get(OWNER, "orders").lag == 2
    assert offer(engine) == []
    assert engine.schedules.get(OWNER, schedule.id).options == options


def test_e5_a_repeated_change_of_a_queue_is_one_change(engine: Engine, queues: Queues):
    enqueue(engine, 3)
    offer(engine)

    with engine.repeating() as repeats:
        queues.put(OWNER, "orders", parallelism=2, paused=False)

    assert queues.get(OWNER, "orders").parallelism == 2
    assert engine.everything() == repeats.stored


def test_a_first_event_without_a_record_does_not_block_the_queue(engine: Engine):
    first, second = enqueue(engine, 2)
    offer(engine)
    for name in (keys.event, keys.body):
        engine.client.delete(name(PREFIX, first))
    engine.client.zrem(keys.by_time(PREFIX, str(OWNER), "active"), first)
    engine.now_ms += CHECK_EVERY_MS

    assert offer(engine) == [second]
