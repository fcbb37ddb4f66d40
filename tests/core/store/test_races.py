"""Several at once on a real server, and answers that get lost on the way."""

import asyncio
import contextlib
import pytest
import redis
import redis.asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.errors import NotFound, NotPending
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import Content, Draft, Outcome, State
from scheduler_api.core.store import claims, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.gate_names import destination_gate
from scheduler_api.core.store.leases import WorkerStore
from scheduler_api.core.store.reads import read_event
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_MS,
    OFFER_MS,
    OWNER,
    PREFIX,
    START_MS,
    TIMEOUTS,
    Engine,
    all_ids,
    codes,
    ids,
    settlement,
)
from tests.core.reply_dropping_proxy import ReplyDroppingProxy
from tests.sync_worker import BREAKER

LARGE = Content(CONTENT.url, b"z" * 9_000)
TRIALS = 300
TRIES = 3


@pytest.fixture
def store_client(valkey: str) -> Iterator[redis.Redis]:
    """A real server only: the imitation runs one command at a time anyhow."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        yield client


def together(*actions: Callable[[], object]) -> list[object]:
    """Runs all of them in threads of their own; raises what the first one raised."""
    with ThreadPoolExecutor(len(actions)) as pool:
        futures = [pool.submit(action) for action in actions]
        return [future.result() for future in futures]


def begin_all(url: str, batches: list[list[str]], *, before: Callable[[], object]):
    """What a worker of its own thread begins, batch by batch."""

    async def work() -> list[str]:
        client, begun = redis.asyncio.Redis.from_url(url), list[str]()
        cell = Cell(redis.Redis.from_url(url), PREFIX, clock_ms=START_MS + 1_000)
        store = WorkerStore(client, cell, lease_ms=LEASE_MS)
        for batch in batches:
            before()
            begun += ids((await store.begin(batch))[0])
        await client.aclose()
        return begun

    return asyncio.run(work())


def offered(engine: Engine, count: int) -> list[str]:
    events = [engine.create(1_000) for _ in range(count)]
    engine.now_ms += 1_000
    engine.claim(2 * count)
    return ids(events)


def test_of_cancel_and_begin_exactly_one_wins(engine: Engine, valkey: str):
    event_ids = offered(engine, TRIALS)
    start = threading.Barrier(2)
    events = [engine.get(event_id) for event_id in event_ids]

    def cancel_all() -> list[str]:
        cancelled = []
        for event in events:
            start.wait()
            try:
                engine.store.change(event, cancel=True)
            except NotPending:
                continue
            cancelled.append(event.id)
        return cancelled

    batches = [[event_id] for event_id in event_ids]
    cancelled, begun = together(
        cancel_all, lambda: begin_all(valkey, batches, before=start.wait)
    )

    assert sorted([*cancelled, *begun]) == sorted(event_ids)
    assert {engine.get(i).state for i in cancelled} == {State.CANCELLED}
    assert engine.leased().keys() == set(begun)


def test_of_edit_and_begin_no_edited_event_is_sent_as_it_was(
    engine: Engine, valkey: str
):
    event_ids = offered(engine, TRIALS)
    start = threading.Barrier(2)
    events = [engine.get(event_id) for event_id in event_ids]
    week_ms = engine.now_ms + 7 * 86_400_000

    def edit_all() -> list[str]:
        edited = []
        for event in events:
            start.wait()
            try:
                engine.store.change(event, at_ms=week_ms)
            except NotPending:
                continue
            edited.append(event.id)
        return edited

    batches = [[event_id] for event_id in event_ids]
    edited, begun = together(
        edit_all, lambda: begin_all(valkey, batches, before=start.wait)
    )

    assert sorted([*edited, *begun]) == sorted(event_ids)
    assert engine.due() == dict.fromkeys(edited, week_ms)


def test_several_claimers_never_offer_the_same_event(engine: Engine, valkey: str):
    events = [engine.create(1_000) for _ in range(600)]

    def claim_all() -> list[str]:
        claimed = list[str]()
        with redis.Redis.from_url(valkey) as client:
            store = EventStore(Cell(client, PREFIX, clock_ms=START_MS + 1_000))
            while found := claims.claim(store.cell, room=7, timeouts=TIMEOUTS).ids:
                claimed += found
        return claimed

    claimed = together(*[claim_all] * 4)

    offers = Counter(event_id for each in claimed for event_id in each)
    assert offers == Counter(ids(events))
    assert sum(1 for each in claimed if each) > 1


def test_several_workers_never_begin_the_same_event(engine: Engine, valkey: str):
    event_ids = offered(engine, 200)
    start = threading.Barrier(4)
    batches = [event_ids[at : at + 10] for at in range(0, 200, 10)]

    begun = together(*[lambda: begin_all(valkey, batches, before=start.wait)] * 4)

    assert Counter(i for each in begun for i in each) == Counter(event_ids)


def test_once_an_edit_returned_no_occurrence_is_made_from_the_old_rule(
    engine: Engine, valkey: str
):
    schedule = engine.schedule("* * * * * *")
    done = threading.Event()

    def claim_on() -> None:
        with redis.Redis.from_url(valkey) as client:
            store = EventStore(Cell(client, PREFIX, clock_ms=START_MS))
            while not done.is_set():
                store.cell.clock_ms = (store.cell.clock_ms or 0) + 500
                claims.claim(store.cell, room=10, timeouts=TIMEOUTS)

    def edit_on() -> list[tuple[str, set[bytes]]]:
        seen, edited = [], schedule
        occurrences = keys.occurrences(PREFIX, schedule.id)
        for n in range(40):
            content = Content(CONTENT.url, b"%d" % n)
            edited = engine.schedules.edit(edited, grammar=FULL, content=content)
            made = set(engine.client.zrange(occurrences, 0, -1))
            seen.append((edited.revision, made))
        done.set()
        return seen

    _, seen = together(claim_on, edit_on)

    made = engine.client.zrange(keys.occurrences(PREFIX, schedule.id), 0, -1)
    revisions = [schedule.revision, *(revision for revision, _ in seen)]
    for event_id in made:
        its_edit = revisions.index(engine.record(event_id.decode())["revision"])
        for edit, (_, before) in enumerate(seen, 1):
            assert event_id in before or its_edit >= edit


def test_fsck_is_silent_while_everything_moves(engine: Engine, valkey: str):
    done = threading.Event()
    schedules = [engine.schedule("* * * * * *") for _ in range(3)]

    def move() -> int:
        settled = 0
        with redis.Redis.from_url(valkey) as client, asyncio.Runner() as runner:
            own = Engine(client, lambda: redis.asyncio.Redis.from_url(valkey), runner)
            while not done.is_set():
                events = [own.create(500, content=CONTENT) for _ in range(20)]
                # The other one's clock may be ahead.
                with contextlib.suppress(NotPending, NotFound):
                    own.store.change(events[0], cancel=True)
                    own.store.change(events[1], content=LARGE)
                own.now_ms += 500
                claim = own.claim()
                for schedule_id in claim.schedule_ids:
                    own.schedules.top_up(schedule_id)
                begun = own.worker.begin(*all_ids(claim))
                outcomes = [*Outcome] * len(begun)
                own.worker.settle(
                    *(
                        settlement(each, outcome, delay_ms=100)
                        for each, outcome in zip(begun[1:], outcomes, strict=False)
                    )
                )
                settled += len(begun)
                own.store.forget(ids(begun), before_ms=own.now_ms + 1)
            own.close()
        return settled

    def look() -> list[walk.Fault]:
        faults = []
        for _ in range(15):
            faults += walk.check(engine.cell)
        done.set()
        return faults

    *settled, faults = together(move, move, look)

    assert faults == []
    assert min(settled) > 0
    assert engine.schedules.count(OWNER) == len(schedules)


@pytest.fixture
def proxy(valkey: str) -> Iterator[ReplyDroppingProxy]:
    proxy = ReplyDroppingProxy(int(valkey.rpartition(":")[2].partition("/")[0]))
    yield proxy
    proxy.close()


@pytest.fixture
def through(proxy: ReplyDroppingProxy) -> Iterator[EventStore]:
    """A store whose client repeats in silence what was not answered."""
    with redis.Redis(port=proxy.port, retry=Retry(NoBackoff(), TRIES)) as client:
        store = EventStore(Cell(client, PREFIX, clock_ms=START_MS))
        store.cell.now_ms()
        client.ping()
        yield store


def test_e5_a_creation_repeated_in_silence_is_one_event(
    engine: Engine, through: EventStore, proxy: ReplyDroppingProxy
):
    through.create(
        OWNER, Draft(CONTENT, DEADLINE_MS, at_ms=START_MS + 1_000, must_be_future=True)
    )
    proxy.drop_replies()

    event = through.create(
        OWNER, Draft(CONTENT, DEADLINE_MS, at_ms=START_MS + 2_000, must_be_future=True)
    )

    assert proxy.dropped == 1
    assert sorted(engine.due().values()) == [START_MS + 1_000, START_MS + 2_000]
    assert engine.get(event.id) == event


def test_e5_a_cancellation_repeated_in_silence_is_answered_as_done(
    engine: Engine, through: EventStore, proxy: ReplyDroppingProxy
):
    event = engine.create(1_000)
    read_event(through.cell, OWNER, event.id)
    claims.claim(through.cell, room=0, timeouts=TIMEOUTS)
    with pytest.raises(NotPending):
        through.change(read_event(through.cell, OWNER, engine.begun().id), cancel=True)
    proxy.drop_replies()

    through.change(event, cancel=True)

    assert proxy.dropped == 1
    assert engine.get(event.id).state is State.CANCELLED


def test_e5_a_claim_repeated_in_silence_costs_one_offer_lease(
    engine: Engine, through: EventStore, proxy: ReplyDroppingProxy
):
    event = engine.create(1_000)
    claims.claim(through.cell, room=0, timeouts=TIMEOUTS)
    through.cell.clock_ms = START_MS + 1_000
    proxy.drop_replies()

    claim = claims.claim(through.cell, room=10, timeouts=TIMEOUTS)
    through.cell.clock_ms += OFFER_MS

    assert claim.ids == []
    assert claims.claim(through.cell, room=10, timeouts=TIMEOUTS).ids == [event.id]


def test_e5_a_report_repeated_in_silence_counts_once_and_is_answered_alike(
    engine: Engine, proxy: ReplyDroppingProxy
):
    ill, iller = (destination_gate(OWNER.tenant, name) for name in ("ill", "iller"))

    async def work() -> list[dict[str, str]]:
        client = redis.asyncio.Redis(
            port=proxy.port, retry=AsyncRetry(NoBackoff(), TRIES)
        )
        store = WorkerStore(client, engine.cell, lease_ms=LEASE_MS)
        await store.report({}, limits=BREAKER)
        answers = []
        for failures in (BREAKER.attempts // 2, BREAKER.attempts // 2 - 1, 1):
            proxy.drop_replies()
            counts = {ill: (failures, failures), iller: (BREAKER.attempts,) * 2}
            answers.append(await store.report(counts, limits=BREAKER))
        await client.aclose()
        return answers

    answers = asyncio.run(work())

    assert proxy.dropped == 3
    assert answers == [{iller: "opened"}, {}, {ill: "opened"}]


def test_e5_begin_and_settle_repeated_in_silence_count_once(
    engine: Engine, proxy: ReplyDroppingProxy
):
    event_ids = offered(engine, 3)

    async def work() -> list[str]:
        client = redis.asyncio.Redis(
            port=proxy.port, retry=AsyncRetry(NoBackoff(), TRIES)
        )
        store = WorkerStore(client, engine.cell, lease_ms=LEASE_MS)
        await store.begin([])
        await store.settle([])
        await store.renew([])
        proxy.drop_replies()
        begun, fallen = await store.begin(event_ids)
        proxy.drop_replies()
        lost = await store.renew(begun)
        proxy.drop_replies()
        answers = await store.settle([settlement(each) for each in begun])
        await client.aclose()
        assert ids(begun) == event_ids
        assert fallen == {}
        assert lost == set()
        return codes(answers)

    answers = asyncio.run(work())

    assert proxy.dropped == 3
    assert answers == ["repeated"] * 3
    assert [engine.get(i).attempts for i in event_ids] == [1, 1, 1]
    assert {engine.get(i).state for i in event_ids} == {State.DELIVERED}


def test_e5_a_schedule_repeated_in_silence_is_one_schedule(
    engine: Engine, through: EventStore, proxy: ReplyDroppingProxy
):
    from_here = type(engine.schedules)(through.cell, grace_ms=60_000)
    rule = {"tz": "UTC", "grammar": FULL, "deadline_ms": DEADLINE_MS}
    from_here.create(OWNER, CONTENT, expression="@daily", **rule)
    proxy.drop_replies()

    made = from_here.create(OWNER, CONTENT, expression="@hourly", **rule)

    assert proxy.dropped == 1
    assert engine.schedules.count(OWNER) == 2
    assert engine.schedules.get(OWNER, made.id) == made
