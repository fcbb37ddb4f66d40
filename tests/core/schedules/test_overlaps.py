"""Tests of fire times that come while the previous occurrence is unfinished."""

import pytest
from scheduler_api.core.model import Outcome, Overlap, ScheduleState
from scheduler_api.core.store import keys
from scheduler_api.core.store.records import EVENT
from tests.core.engine import LEASE_MS, OWNER, PREFIX, Engine, all_ids, ids, settlement
from tests.core.runs import first_begun, reasons

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
CHECK_AGAIN_MS = 10_000
ACTIVE, PAUSED = ScheduleState.ACTIVE, ScheduleState.PAUSED


def test_a_fire_time_is_skipped_while_the_previous_occurrence_is_unfinished(
    engine: Engine,
):
    schedule = engine.schedule("* * * * *", overlap=Overlap.SKIP)
    begun = first_begun(engine, schedule)
    _, second, third, fourth = schedule.times_ms[:4]
    engine.now_ms = second
    none = engine.claim().ids
    engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=HOUR_MS))
    engine.now_ms = third
    still_none = engine.claim().ids
    engine.store.cancel(OWNER, [begun.id])
    engine.now_ms = fourth

    assert none == still_none == []
    assert engine.claim().ids == [f"{schedule.id}.{fourth // 1_000}"]
    assert reasons(engine, schedule) == [(second, "overlap"), (third, "overlap")]
    assert engine.schedules.get(OWNER, schedule.id).missed == 0


def test_an_edit_that_forbids_overlaps_applies_to_the_newest_occurrence(engine: Engine):
    schedule = engine.schedule("* * * * *")
    begun = first_begun(engine, schedule)
    engine.edited(schedule, overlap=Overlap.SKIP)
    engine.now_ms = schedule.times_ms[1]
    skipped = engine.claim().ids
    engine.worker.settle(settlement(begun))
    engine.now_ms = schedule.times_ms[2]

    assert skipped == []
    assert len(engine.claim().ids) == 1


def test_a_forgotten_occurrence_does_not_block_the_next(engine: Engine):
    schedule = engine.schedule("* * * * *", overlap=Overlap.SKIP)
    begun = first_begun(engine, schedule)
    engine.worker.settle(settlement(begun))
    engine.store.forget([begun.id], before_ms=engine.now_ms + 1)
    engine.now_ms = schedule.times_ms[1]

    assert len(engine.claim().ids) == 1


ENDS = {
    "delivered": lambda engine, begun: engine.worker.settle(settlement(begun)),
    "dead": lambda engine, begun: engine.worker.settle(settlement(begun, Outcome.DEAD)),
    "cancelled": lambda engine, begun: (
        engine.worker.settle(settlement(begun, Outcome.RETRY, delay_ms=DAY_MS)),
        engine.store.cancel(OWNER, [begun.id]),
    ),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_queued_occurrence_starts_as_soon_as_the_previous_one_ends(
    engine: Engine, how: str
):
    schedule = engine.schedule("* * * * *", overlap=Overlap.QUEUE)
    begun = first_begun(engine, schedule)
    engine.now_ms = schedule.times_ms[1]
    [second] = engine.claim().ids
    none, refused = engine.worker.try_begin(second)
    listener = engine.listen_for_wakeups()
    engine.now_ms += 1

    ENDS[how](engine, begun)

    assert (none, refused) == ([], {second: "waits"})
    assert engine.count_wakeups(listener) >= 1
    assert engine.due()[second] == engine.now_ms
    assert engine.claim().ids == [second]
    assert ids(engine.worker.begin(second)) == [second]
    assert engine.get(second).wanted_ms == schedule.times_ms[1]


def test_queued_occurrences_run_one_by_one_in_order(engine: Engine):
    schedule = engine.schedule("* * * * *", overlap=Overlap.QUEUE)
    first = first_begun(engine, schedule)
    for at_ms in schedule.times_ms[1:5]:
        engine.now_ms = at_ms
        assert engine.worker.begin(*all_ids(engine.claim())) == []
    engine.edited(schedule, state=PAUSED)
    engine.worker.settle(settlement(first))

    order = []
    for _ in range(5):
        begun = engine.worker.begin(*all_ids(engine.claim()))
        order.append([int(each.id.partition(".")[2]) * 1_000 for each in begun])
        engine.worker.settle(*map(settlement, begun))

    assert order == [*([at] for at in schedule.times_ms[1:5]), []]


def test_a_queued_occurrence_checks_again_by_itself(engine: Engine):
    schedule = engine.schedule("* * * * *", overlap=Overlap.QUEUE)
    begun = first_begun(engine, schedule)
    engine.now_ms = schedule.times_ms[1]
    [second] = engine.claim().ids
    engine.worker.begin(second)
    engine.client.hdel(keys.event(PREFIX, begun.id), EVENT.code("following"))
    engine.worker.settle(settlement(begun))
    engine.now_ms += CHECK_AGAIN_MS

    assert ids(engine.worker.begin(*engine.claim().ids)) == [second]


def test_an_interrupted_occurrence_blocks_the_queued_ones(engine: Engine):
    schedule = engine.schedule("*/10 * * * * *", overlap=Overlap.QUEUE)
    lost = first_begun(engine, schedule)
    engine.tick(LEASE_MS)

    begun = engine.worker.begin(*all_ids(engine.claim()))

    assert ids(begun) == [lost.id]


def test_the_end_of_an_occurrence_does_not_start_a_delayed_one_early(engine: Engine):
    options = {"overlap": Overlap.QUEUE, "delay_ms": 30_000}
    schedule = engine.schedule("* * * * *", **options)
    engine.now_ms = schedule.times_ms[0]
    engine.claim()
    engine.now_ms += 30_000
    [begun] = engine.worker.begin(*engine.claim().ids)
    engine.now_ms = schedule.times_ms[1]
    engine.claim()
    second = f"{schedule.id}.{schedule.times_ms[1] // 1_000}"

    engine.worker.settle(settlement(begun))

    assert engine.due()[second] == schedule.times_ms[1] + 30_000
