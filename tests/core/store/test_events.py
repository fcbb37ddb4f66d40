"""Tests of creating events, reading events by id, and forgetting events."""

import pytest
import redis
from dataclasses import replace
from scheduler_api.core.errors import (
    NotFound,
    StoreFull,
    TimePassed,
    UnreadableRecord,
)
from scheduler_api.core.ids import to_id, to_number
from scheduler_api.core.model import (
    Accepted,
    Content,
    Draft,
    Outcome,
    Owner,
    State,
    Verdict,
)
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.large_content import INLINE_BYTES, write_if_large
from scheduler_api.core.store.reads import execute_reads, read_event, read_events
from scheduler_api.core.store.records import EVENT
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    OWNER,
    PREFIX,
    START_MS,
    Engine,
    settlement,
)
from tests.core.function_calls import before_next_call

LARGE = Content("https://receiver.example/", b"x" * 100_000)
PERMANENT = {
    name(PREFIX)
    for name in (
        *(keys.sequence, keys.owners, keys.server, keys.totals),
        *(keys.last_claim_at, keys.next_check, keys.lease_grace_until),
    )
}


def soon(event_id: str = "", *, in_ms: int = 1) -> Draft:
    at_ms, ascending = START_MS + in_ms, not event_id
    return Draft(
        *(CONTENT, DEADLINE_MS),
        at_ms=at_ms,
        must_be_future=True,
        id=event_id,
        ascending=ascending,
    )


def create(engine: Engine, *drafts: Draft) -> list[Accepted]:
    return engine.store.create_many(OWNER, drafts)


def bodies(engine: Engine) -> list[bytes]:
    return list(engine.client.scan_iter(match=keys.body(PREFIX, "*")))


def test_a_created_event_can_be_read(engine: Engine):
    created = engine.create(5_000)

    assert engine.get(created.id) == created
    assert created.content == CONTENT
    assert created.owner == OWNER
    assert created.state is State.ACTIVE
    assert created.wanted_ms == START_MS + 5_000
    assert created.created_ms == START_MS
    assert (created.attempts, created.finished_ms, created.reason) == (0, None, None)


def test_a_created_event_is_due_at_its_time(engine: Engine):
    event = engine.create(5_000)

    assert engine.due() == {event.id: START_MS + 5_000}


def test_a_time_one_ms_ahead_is_in_the_future(engine: Engine):
    assert engine.create(1).wanted_ms == START_MS + 1


@pytest.mark.parametrize("ago_ms", [0, 1, 3_600_000])
def test_a_time_that_is_not_in_the_future_is_refused(engine: Engine, ago_ms: int):
    with pytest.raises(TimePassed):
        engine.create(-ago_ms)

    assert engine.everything() == {}


def test_e10_the_future_is_judged_by_the_store_s_clock(store_client: redis.Redis):
    store = EventStore(Cell(store_client, PREFIX))
    now_ms = store.cell.now_ms()

    with pytest.raises(TimePassed):
        store.create(
            OWNER, Draft(CONTENT, DEADLINE_MS, at_ms=now_ms - 1, must_be_future=True)
        )
    later = store.create(
        OWNER, Draft(CONTENT, DEADLINE_MS, at_ms=now_ms + 60_000, must_be_future=True)
    )

    assert later.wanted_ms == now_ms + 60_000


def test_e10_a_delay_starts_at_the_store_s_time(engine: Engine):
    [accepted] = create(engine, Draft(CONTENT, DEADLINE_MS, delay_ms=10_000, id="7"))

    assert accepted == Accepted(Verdict.OK, "7", START_MS + 10_000, START_MS)
    assert engine.due() == {"7": START_MS + 10_000}


def test_a_past_time_is_accepted_unless_the_draft_requires_the_future(engine: Engine):
    past = replace(soon("7", in_ms=-1_000), must_be_future=False)

    [accepted] = create(engine, past)

    assert accepted == Accepted(Verdict.OK, "7", START_MS - 1_000, START_MS)
    assert engine.claim().ids == ["7"]


def test_e5_a_repeated_creation_stores_one_event(engine: Engine):
    engine.use_server_clock()
    draft = Draft(CONTENT, DEADLINE_MS, delay_ms=60_000)

    with engine.repeating() as repeats:
        accepted = create(engine, draft, draft)

    assert [each.verdict for each in accepted] == [Verdict.OK] * 2
    assert engine.due() == {each.id: each.wanted_ms for each in accepted}
    assert engine.everything() == repeats.stored


def test_e5_a_repeated_creation_that_gets_its_id_stores_one_event(engine: Engine):
    engine.use_server_clock()
    draft = Draft(CONTENT, DEADLINE_MS, delay_ms=60_000, ascending=True)

    with engine.repeating() as repeats:
        accepted = create(engine, draft, draft)

    assert [each.verdict for each in accepted] == [Verdict.OK] * 2
    assert [each.id for each in accepted] == ["1", "2"]
    assert engine.everything() == repeats.stored


def test_an_id_in_use_is_not_assigned_again(engine: Engine):
    create(engine, soon("1"), soon("2"))

    [accepted] = create(engine, soon())

    assert (accepted.verdict, accepted.id) == (Verdict.OK, "3")


@pytest.mark.parametrize("number", [9, 10, 35, 36, 1_295, 46_656, 2**52])
def test_lua_functions_encode_ids_like_python(engine: Engine, number: int):
    engine.client.set(keys.sequence(PREFIX), number - 1)

    [accepted] = create(engine, soon())

    assert accepted.id == to_id(number)


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["small", "large"])
def test_ids_of_single_events_ascend_across_processes(
    store_client: redis.Redis, content: Content
):
    stores = [
        EventStore(Cell(store_client, PREFIX, clock_ms=START_MS)) for _ in range(3)
    ]
    later = Draft(content, DEADLINE_MS, at_ms=START_MS + 1, must_be_future=True)
    made = []
    for turn in range(9):
        stores[turn % 2].create_many(OWNER, [Draft(CONTENT, DEADLINE_MS)])
        made.append(stores[turn % 3].create(OWNER, later).id)

    assert made == sorted(set(made), key=to_number)


def test_e5_a_creation_repeated_after_the_delivery_changes_nothing(engine: Engine):
    def deliver() -> None:
        engine.now_ms += 1
        engine.claim()
        engine.worker.settle(settlement(engine.worker.begin("7")[0]))

    with engine.repeating(between=deliver) as repeats:
        [accepted] = create(engine, soon("7"))

    assert accepted.verdict is Verdict.OK
    assert engine.get("7").state is State.DELIVERED
    assert engine.everything() == repeats.stored


def test_a_refused_event_does_not_block_the_others(engine: Engine):
    accepted = create(engine, soon("7"), soon("8", in_ms=0), soon("9"))

    verdicts = [each.verdict for each in accepted]
    assert verdicts == [Verdict.OK, Verdict.PAST, Verdict.OK]
    assert engine.due().keys() == {"7", "9"}


def test_e4_an_id_of_another_creation_is_a_duplicate(engine: Engine):
    create(engine, soon("7"))
    stored = engine.everything()

    [accepted] = create(engine, soon("7"))

    assert accepted == Accepted(Verdict.DUPLICATE, "7", 0, 0)
    assert engine.everything() == stored


def test_e4_after_the_loss_of_the_sequence_a_used_id_is_skipped(
    engine: Engine,
):
    first = engine.create()
    engine.client.delete(keys.sequence(PREFIX))
    other = EventStore(Cell(engine.client, PREFIX, clock_ms=engine.now_ms))

    second = other.create(
        OWNER, Draft(LARGE, DEADLINE_MS, at_ms=START_MS + 1, must_be_future=True)
    )

    assert second.id != first.id
    assert engine.get(first.id) == first
    assert engine.get(second.id).content == LARGE


def test_e4_content_left_under_an_id_is_not_used(engine: Engine):
    own, other = codec.encode_content(LARGE), codec.encode_content(CONTENT)
    abandoned = keys.body(PREFIX, "1")
    engine.client.set(abandoned, other, ex=600)

    event = engine.store.create(
        OWNER, Draft(LARGE, DEADLINE_MS, at_ms=START_MS + 1, must_be_future=True)
    )

    assert event.id == "1"
    assert codec.encode_content(engine.get("1").content) == own


def test_e21_only_small_content_is_an_argument(engine: Engine):
    fits, too_long = b"x" * INLINE_BYTES, b"x" * (INLINE_BYTES + 1)

    assert write_if_large(engine.client, "{s1}:b:7", fits) == (fits, None)
    assert engine.client.exists("{s1}:b:7") == 0
    assert write_if_large(engine.client, "{s1}:b:8", too_long) == (b"", True)
    assert engine.client.get("{s1}:b:8") == too_long
    assert 0 < engine.client.ttl("{s1}:b:8") <= 600


def test_e21_large_content_of_a_created_event_does_not_expire(engine: Engine):
    event = engine.create(content=LARGE)

    assert engine.get(event.id).content == LARGE
    bodies = [key for key in engine.everything() if key.startswith(f"{PREFIX}b:")]
    assert [engine.client.ttl(key) for key in bodies] == [-1]


@pytest.mark.parametrize("reason", ["past", "full"])
def test_e17_large_content_of_a_refused_event_is_deleted(engine: Engine, reason: str):
    if reason == "full":
        engine.client.set(keys.full(PREFIX), 1, ex=5)

    with pytest.raises((TimePassed, StoreFull)):
        engine.create(0 if reason == "past" else 1_000, content=LARGE)

    assert [key for key in engine.everything() if key.startswith(f"{PREFIX}b:")] == []


def test_an_event_whose_content_has_expired_is_created_again(engine: Engine):
    seen: list[object] = []

    def expire() -> None:
        seen.extend(bodies(engine))
        engine.client.delete(*bodies(engine))

    with before_next_call(engine.client, expire):
        [accepted] = create(engine, Draft(LARGE, DEADLINE_MS, delay_ms=1_000))

    # The content had been stored under id 1, and had expired. It was therefore stored
    # again, for an event with id 2.
    assert len(seen) == 1
    assert (accepted.verdict, accepted.id) == (Verdict.OK, "2")
    assert engine.due().keys() == {"2"}
    assert engine.record("1") == {}
    assert engine.get("2").content == LARGE


def test_e17_no_event_is_created_while_the_store_is_marked_as_full(engine: Engine):
    engine.client.set(keys.full(PREFIX), 1, ex=5)

    with pytest.raises(StoreFull):
        engine.create()

    assert engine.due() == {}


def test_e17_a_repeated_creation_is_answered_in_a_full_store(engine: Engine):
    def fill() -> None:
        engine.client.set(keys.full(PREFIX), 1, ex=5)

    with engine.repeating(between=fill):
        [accepted] = create(engine, soon("7"))

    assert accepted.verdict is Verdict.OK


def test_e16_an_event_before_the_next_check_wakes_the_tickers(engine: Engine):
    engine.create(60_000)
    engine.claim()
    listener = engine.listen_for_wakeups()

    engine.create(60_001)
    after_a_later_event = engine.count_wakeups(listener)
    engine.create(59_999)

    assert after_a_later_event == 0
    assert engine.count_wakeups(listener) == 1


def test_e16_twenty_events_at_once_wake_the_tickers_once(engine: Engine):
    engine.claim()
    listener = engine.listen_for_wakeups()

    for _ in range(20):
        engine.create(1_000)

    assert engine.count_wakeups(listener) == 1


def test_owners_can_read_only_their_own_events(engine: Engine):
    event = engine.create()

    for other_owner in (Owner("2", "jiter"), Owner("1", "qstash")):
        with pytest.raises(NotFound):
            read_event(engine.cell, other_owner, event.id)


def test_events_are_read_in_the_requested_order(engine: Engine):
    first, second = engine.create(), engine.create(2_000)

    found = read_events(engine.cell, OWNER, [second.id, "nobody", first.id])

    assert found == [second, None, first]


def test_an_event_without_content_is_unreadable(engine: Engine):
    engine.checks_faults = False
    event = engine.create()
    engine.client.delete(keys.body(PREFIX, event.id))

    with pytest.raises(UnreadableRecord):
        engine.get(event.id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("due_ms", None), ("due_ms", "soon"), ("created_ms", None)),
        *(("attempts", "x"), ("state", "lost")),
    ],
)
def test_an_invalid_record_is_unreadable(engine: Engine, field: str, value: str | None):
    engine.checks_faults = False
    event = engine.create()
    key = keys.event(PREFIX, event.id)
    if value is None:
        engine.client.hdel(key, EVENT.code(field))
    else:
        engine.client.hset(key, EVENT.code(field), value)

    with pytest.raises(UnreadableRecord):
        engine.get(event.id)


def test_an_occurrence_without_a_revision_is_unreadable(engine: Engine):
    engine.checks_faults = False
    event = engine.create()
    engine.client.hset(keys.event(PREFIX, event.id), EVENT.code("schedule"), "7")

    with pytest.raises(UnreadableRecord):
        engine.get(event.id)


def test_a_quarantined_event_has_the_time_of_its_quarantine(engine: Engine):
    engine.checks_faults = False
    event = engine.create()
    engine.client.zadd(keys.quarantine(PREFIX), {event.id: START_MS + 7})

    assert engine.get(event.id).quarantined_ms == START_MS + 7


@pytest.mark.parametrize("outcome", [Outcome.DELIVERED, Outcome.DEAD])
def test_forgetting_deletes_everything_of_an_event(engine: Engine, outcome: Outcome):
    begun = engine.begun(content=LARGE)
    engine.worker.settle(settlement(begun, outcome))

    forgotten = engine.store.forget([begun.id], before_ms=engine.now_ms + 1)

    assert forgotten == 1
    assert engine.everything().keys() <= PERMANENT


def test_forgetting_deletes_everything_of_an_edited_event(engine: Engine):
    event = engine.create()
    [issued_id] = engine.client.keys(keys.issued_id(PREFIX, "*"))
    engine.store.change(event, content=LARGE)
    engine.store.change(engine.get(event.id), cancel=True)

    forgotten = engine.store.forget([event.id], before_ms=engine.now_ms + 1)

    assert forgotten == 1
    assert engine.everything().keys() <= PERMANENT | {issued_id.decode()}


def test_a_repeated_forget_does_nothing(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun))
    engine.store.forget([begun.id], before_ms=engine.now_ms + 1)

    assert engine.store.forget([begun.id], before_ms=engine.now_ms + 1) == 0


def test_an_event_that_finished_at_the_limit_is_kept(engine: Engine):
    begun = engine.begun()
    engine.worker.settle(settlement(begun))

    assert engine.store.forget([begun.id], before_ms=engine.now_ms) == 0
    assert engine.get(begun.id).state is State.DELIVERED


def test_an_unfinished_event_is_not_forgotten(engine: Engine):
    waiting, begun = engine.create(60_000), engine.begun()
    retried = engine.begun()
    engine.worker.settle(settlement(retried, Outcome.RETRY, delay_ms=60_000))

    forgotten = engine.store.forget(
        [waiting.id, begun.id, retried.id, "nobody"], before_ms=engine.now_ms * 2
    )

    assert forgotten == 0
    assert engine.due().keys() == {waiting.id, retried.id}
    assert engine.leased().keys() == {begun.id}


def test_an_unreadable_record_does_not_stop_forgetting(
    engine: Engine,
):
    engine.checks_faults = False
    begun = engine.begun()
    engine.worker.settle(settlement(begun))
    engine.client.set(keys.event(PREFIX, "bad"), "no hash")

    assert engine.store.forget(["bad", begun.id], before_ms=engine.now_ms + 1) == 1


def test_an_error_that_no_record_causes_is_raised(engine: Engine):
    pipe = engine.client.pipeline(transaction=False)
    pipe.hgetall("{s1}:e:1")
    pipe.execute_command("NO-SUCH-COMMAND")  # type: ignore[no-untyped-call]

    with pytest.raises(redis.ResponseError, match="unknown command"):
        execute_reads(pipe)
