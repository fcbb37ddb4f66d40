"""Tests of what the store keeps of the outcomes of attempts, and for how long."""

import redis
from collections import Counter
from scheduler_api.core.model import Draft, FollowUp, Outcome
from scheduler_api.core.recovery.dead_letters import DeadLetters
from scheduler_api.core.store import keys, statistics
from scheduler_api.core.store.statistics import (
    DAY_MS,
    HOUR_MS,
    MAX_DESTINATIONS,
    MINUTE_MS,
    OTHERS,
    Counts,
    DestinationCounts,
    Hour,
)
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    OWNER,
    PREFIX,
    Engine,
    settlement,
)

SHOP, BANK = "https://shop.example", "https://bank.example:8443"


def delivered(name: str, count: int = 1) -> Counts:
    return Counts(count, destinations={name: DestinationCounts(count)})


def failed(name: str, cause: str, count: int = 1) -> Counts:
    counts = DestinationCounts(0, count, is_failing=True, cause=cause)
    return Counts(0, count, Counter({cause: count}), destinations={name: counts})


def hours(engine: Engine, tenant: str | None) -> list[Hour]:
    """The counts of the present hour and the one before."""
    now_ms = engine.now_ms
    return statistics.read(
        engine.cell, tenant, since_ms=now_ms - HOUR_MS, now_ms=now_ms
    )


def destinations(engine: Engine, tenant: str | None) -> dict[str, DestinationCounts]:
    now_ms = engine.now_ms
    return statistics.read_destinations(
        engine.cell, tenant, since_ms=now_ms - HOUR_MS, now_ms=now_ms
    )


def start_of_hour(engine: Engine) -> int:
    engine.now_ms += HOUR_MS - engine.now_ms % HOUR_MS
    return engine.now_ms


def test_what_workers_add_is_summed_up_by_minute_and_hour(engine: Engine) -> None:
    start_ms = start_of_hour(engine)
    engine.worker.add_counts({"1": delivered(SHOP, 2)})
    engine.new_worker().add_counts({"1": delivered(SHOP, 3)})
    engine.now_ms = start_ms + 59 * MINUTE_MS
    engine.worker.add_counts({"1": failed(BANK, "timeout")})
    engine.now_ms = start_ms + HOUR_MS
    engine.worker.add_counts({"1": failed(BANK, "http-500")})

    first, second = hours(engine, "1")
    assert (first.starts_ms, second.starts_ms) == (start_ms, start_ms + HOUR_MS)
    assert (first.delivered, first.failed) == ({0: 5}, {59: 1})
    assert (second.delivered, second.failed) == ({}, {0: 1})
    assert (first.causes, second.causes) == ({"timeout": 1}, {"http-500": 1})


def test_each_tenant_has_its_own_counts_and_the_operator_those_of_all(
    engine: Engine,
) -> None:
    start_of_hour(engine)
    engine.worker.add_counts({"1": delivered(SHOP), "2": delivered(SHOP, 4)})

    assert [hours(engine, each)[1].delivered for each in ("1", "2", "3", None)] == [
        *({0: 1}, {0: 4}, {}, {0: 5})
    ]
    assert destinations(engine, "1")[SHOP].delivered == 1
    assert destinations(engine, None)[SHOP].delivered == 5


def test_lateness_is_kept_for_each_five_minutes(engine: Engine) -> None:
    start_ms = start_of_hour(engine)
    engine.worker.add_counts({"1": Counts(late=Counter({0: 7, 3: 1}), late_ms=52)})
    engine.now_ms = start_ms + 5 * MINUTE_MS
    engine.worker.add_counts({"1": Counts(late=Counter({14: 1}), late_ms=400_000)})

    _, hour = hours(engine, "1")
    assert hour.late == {0: {0: 7, 3: 1}, 1: {14: 1}}
    assert hour.late_ms == 400_052


def test_a_destination_fails_until_an_attempt_succeeds(engine: Engine) -> None:
    start_ms = start_of_hour(engine)
    engine.worker.add_counts({"1": failed(SHOP, "timeout", 3)})
    engine.now_ms = start_ms + HOUR_MS
    engine.worker.add_counts({"1": failed(BANK, "refused")})
    before = destinations(engine, "1")
    engine.worker.add_counts({"1": delivered(SHOP)})

    assert before[SHOP] == DestinationCounts(0, 3, True, start_ms, "timeout")
    assert destinations(engine, "1") == {
        SHOP: DestinationCounts(1, 3, False, start_ms, "timeout"),
        BANK: DestinationCounts(0, 1, True, engine.now_ms, "refused"),
    }


def test_some_destinations_can_be_read_alone(engine: Engine) -> None:
    engine.worker.add_counts({"1": delivered(SHOP)})
    engine.worker.add_counts({"1": delivered(BANK)})
    now_ms = engine.now_ms

    for names in ([BANK, "https://unknown.example"], []):
        found = statistics.read_destinations(
            engine.cell, "1", since_ms=now_ms - DAY_MS, now_ms=now_ms, names=names
        )
        assert found == {each: DestinationCounts(1) for each in names[:1]}


def test_a_tenant_with_many_destinations_fills_no_store(engine: Engine) -> None:
    for start in (0, MAX_DESTINATIONS - 1, 0):
        counts = Counts()
        for n in range(start, start + MAX_DESTINATIONS + 5):
            counts.add(delivered(f"https://{n}.example"))
        engine.worker.add_counts({"1": counts})

    found = destinations(engine, "1")
    total = sum(each.delivered for each in found.values())
    assert len(found) == MAX_DESTINATIONS + 1
    assert total == 3 * (MAX_DESTINATIONS + 5)
    assert found["https://0.example"].delivered == 2
    assert found[OTHERS].delivered == total - 2 * MAX_DESTINATIONS - 1


def test_counts_expire_after_they_were_readable_for_a_day(engine: Engine) -> None:
    engine.use_server_clock()
    engine.worker.add_counts({"1": delivered(SHOP)})

    found = engine.client.keys(f"{PREFIX}*counts:*")
    left_ms = [engine.client.pttl(key) for key in found]
    assert len(found) == 4
    assert min(left_ms) > 25 * HOUR_MS
    assert max(left_ms) <= 26 * HOUR_MS


def test_nothing_is_counted_for_a_tenant_that_is_being_removed(engine: Engine) -> None:
    engine.client.set(keys.removed(PREFIX, "1"), "x")
    engine.worker.add_counts({"1": delivered(SHOP), "2": delivered(SHOP)})

    assert hours(engine, "1")[1].delivered == {}
    assert destinations(engine, "1") == {}
    assert hours(engine, "2")[1].delivered.total() == 1


def test_unreadable_counts_of_a_tenant_do_not_stop_those_of_others(
    engine: Engine,
) -> None:
    hour = engine.now_ms // HOUR_MS
    engine.checks_faults = False
    engine.client.set(keys.counts(PREFIX, "1", hour), "x")
    engine.worker.add_counts({"1": delivered(SHOP), "2": delivered(SHOP)})

    assert hours(engine, "2")[1].delivered.total() == 1


def test_counts_of_many_tenants_need_several_calls(engine: Engine) -> None:
    tenants = [str(n) for n in range(120)]
    now_ms = engine.worker.add_counts({each: delivered(SHOP) for each in tenants})

    assert now_ms == engine.now_ms
    assert hours(engine, "119")[1].delivered.total() == 1
    assert destinations(engine, None)[SHOP].delivered == 120


def test_a_worker_without_counts_learns_the_time_and_stores_nothing(
    store_client: redis.Redis, engine: Engine
) -> None:
    before = store_client.dbsize()

    assert engine.worker.add_counts({}) == engine.now_ms
    assert store_client.dbsize() == before


def created(engine: Engine) -> int:
    return statistics.read_totals(engine.cell).created


def test_every_event_is_counted_when_it_is_stored(engine: Engine) -> None:
    draft = Draft(CONTENT, DEADLINE_MS)
    engine.store.create(OWNER, draft)
    engine.store.create_many(OWNER, [draft] * 2)
    assert created(engine) == 3

    schedule = engine.schedule("* * * * *")
    engine.schedules.run(schedule)
    engine.now_ms += MINUTE_MS
    engine.claim()
    assert created(engine) == 5

    callback = FollowUp("callback", CONTENT, DEADLINE_MS)
    begun = engine.begun()
    dead = settlement(begun, Outcome.DEAD, follow_ups=(callback,))
    engine.worker.settle(dead)
    assert created(engine) == 7

    DeadLetters(engine.store).replay(OWNER, [(begun.id, draft)])
    assert created(engine) == 8


def test_an_event_is_counted_once_if_calls_are_repeated(engine: Engine) -> None:
    with engine.repeating():
        engine.create()

    assert created(engine) == 1


def test_totals_add_up_what_workers_and_tickers_count(engine: Engine) -> None:
    counts = Counts(2, 1, Counter(timeout=1), Counter({3: 2}), 40)
    counts.durations, counts.duration_ms = Counter({5: 2, 14: 1}), 400_000
    for tenant in ("1", "2"):
        engine.worker.add_counts({tenant: counts})
        statistics.add_totals(engine.cell, claimed=4, lost_leases=1)

    assert statistics.read_totals(engine.cell) == statistics.Totals(
        delivered=4,
        causes=Counter(timeout=2),
        late=Counter({3: 4}),
        late_ms=80,
        durations=Counter({5: 4, 14: 2}),
        duration_ms=800_000,
        claimed=8,
        lost_leases=2,
    )


def test_totals_of_a_newer_version_do_no_harm(engine: Engine) -> None:
    engine.client.hset(keys.totals(PREFIX), mapping={"forged": 1, "forged:1": 1})

    assert statistics.read_totals(engine.cell) == statistics.Totals()
