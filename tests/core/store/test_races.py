"""Tests of concurrent calls on Valkey, and of calls whose replies are lost."""

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
from tests.sync_worker import BREAKER, outcomes

LARGE = Content(CONTENT.url, b"z" * 9_000)
TRIALS = 300
TRIES = 3


@pytest.fixture
def store_client(valkey: str) -> Iterator[redis.Redis]:
    """A client of Valkey, because fakeredis runs one command at a time."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        yield client


def run_together(*actions: Callable[[], object]) -> list[object]:
    """Run each action in its own thread; return the results."""
    with ThreadPoolExecutor(len(actions)) as pool:
        futures = [pool.submit(action) for action in actions]
        return [future.result() for future in futures]


def begin_all(url: str, batches: list[list[str]], *, before: Callable[[], object]):
    """Begin batches of events with a new worker; return the ids of begun events."""

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


def test_r22_either_the_cancellation_or_the_begin_succeeds(engine: Engine, valkey: str):
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
    cancelled, begun = run_together(
        cancel_all, lambda: begin_all(valkey, batches, before=start.wait)
    )

    assert sorted([*cancelled, *begun]) == sorted(event_ids)
    assert {engine.get(i).state for i in cancelled} == {State.CANCELLED}
    assert engine.leased().keys() == set(begun)


def test_r22_either_the_edit_or_the_begin_succeeds(engine: Engine, valkey: str):
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
    edited, begun = run_together(
        edit_all, lambda: begin_all(valkey, batches, before=start.wait)
    )

    assert sorted([*edited, *begun]) == sorted(event_ids)
    assert engine.due() == dict.fromkeys(edited, week_ms)


def test_concurrent_claims_offer_different_events(engine: Engine, valkey: str):
    events = [engine.create(1_000) for _ in range(600)]

    def claim_all() -> list[str]:
        claimed = list[str]()
        with redis.Redis.from_url(valkey) as client:
            store = EventStore(Cell(client, PREFIX, clock_ms=START_MS + 1_000))
            while found := claims.claim(store.cell, room=7, timeouts=TIMEOUTS).ids:
                claimed += found
        return claimed

    claimed = run_together(*[claim_all] * 4)

    offers = Counter(event_id for each in claimed for event_id in each)
    assert offers == Counter(ids(events))
    assert sum(1 for each in claimed if each) > 1


def test_concurrent_workers_begin_different_events(engine: Engine, valkey: str):
    event_ids = offered(engine, 200)
    start = threading.Barrier(4)
    batches = [event_ids[at : at + 10] for at in range(0, 200, 10)]

    begun = run_together(*[lambda: begin_all(valkey, batches, before=start.wait)] * 4)

    assert Counter(i for each in begun for i in each) == Counter(event_ids)


def test_after_an_edit_no_occurrence_is_created_from_the_old_rule(
    engine: Engine, valkey: str
):
    schedule = engine.schedule("* * * * * *")
    done = threading.Event()

    def claim_repeatedly() -> None:
        with redis.Redis.from_url(valkey) as client:
            store = EventStore(Cell(client, PREFIX, clock_ms=START_MS))
            while not done.is_set():
                store.cell.clock_ms = (store.cell.clock_ms or 0) + 500
                claims.claim(store.cell, room=10, timeouts=TIMEOUTS)

    def edit_repeatedly() -> list[tuple[str, set[bytes]]]:
        seen, edited = [], schedule
        occurrences = keys.occurrences(PREFIX, schedule.id)
        for n in range(40):
            content = Content(CONTENT.url, b"%d" % n)
            edited = engine.schedules.edit(edited, grammar=FULL, content=content)
            made = set(engine.client.zrange(occurrences, 0, -1))
            seen.append((edited.revision, made))
        done.set()
        return seen

    _, seen = run_together(claim_repeatedly, edit_repeatedly)

    made = engine.client.zrange(keys.occurrences(PREFIX, schedule.id), 0, -1)
    revisions = [schedule.revision, *(revision for revision, _ in seen)]
    for event_id in made:
        own_edit = revisions.index(engine.record(event_id.decode())["revision"])
        for edit, (_, before) in enumerate(seen, 1):
            assert event_id in before or own_edit >= edit


def test_fsck_reports_nothing_while_events_move(engine: Engine, valkey: str):
    done = threading.Event()
    schedules = [engine.schedule("* * * * * *") for _ in range(3)]

    def run_engine() -> int:
        settled = 0
        with redis.Redis.from_url(valkey) as client, asyncio.Runner() as runner:
            own = Engine(client, lambda: redis.asyncio.Redis.from_url(valkey), runner)
            while not done.is_set():
                events = [own.create(500, content=CONTENT) for _ in range(20)]
                # The other thread may begin or delete the event first.
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

    def run_fsck() -> list[walk.Fault]:
        faults = []
        for _ in range(15):
            faults += walk.check(engine.cell)
        done.set()
        return faults

    *settled, faults = run_together(run_engine, run_engine, run_fsck)

    assert faults == []
    assert min(settled) > 0
    assert engine.schedules.count(OWNER) == len(schedules)


@pytest.fixture
def proxy(valkey: str) -> Iterator[ReplyDroppingProxy]:
    proxy = ReplyDroppingProxy(int(valkey.rpartition(":")[2].partition("/")[0]))
    yield proxy
    proxy.close()


@pytest.fixture
def proxied(proxy: ReplyDroppingProxy) -> Iterator[EventStore]:
    """A store that is reached through the proxy.

    If a command gets no reply, the client sends the command again.
    """
    with redis.Redis(port=proxy.port, retry=Retry(NoBackoff(), TRIES)) as client:
        store = EventStore(Cell(client, PREFIX, clock_ms=START_MS))
        store.cell.now_ms()
        client.ping()
        yield store


def test_e5_a_creation_repeated_by_the_client_stores_one_event(
    engine: Engine, proxied: EventStore, proxy: ReplyDroppingProxy
):
    proxied.create(
        OWNER, Draft(CONTENT, DEADLINE_MS, at_ms=START_MS + 1_000, must_be_future=True)
    )
    proxy.drop_replies()

    event = proxied.create(
        OWNER, Draft(CONTENT, DEADLINE_MS, at_ms=START_MS + 2_000, must_be_future=True)
    )

    assert proxy.dropped == 1
    assert sorted(engine.due().values()) == [START_MS + 1_000, START_MS + 2_000]
    assert engine.get(event.id) == event


def test_e5_a_cancellation_repeated_by_the_client_is_answered_ok(
    engine: Engine, proxied: EventStore, proxy: ReplyDroppingProxy
):
    event = engine.create(1_000)
    read_event(proxied.cell, OWNER, event.id)
    claims.claim(proxied.cell, room=0, timeouts=TIMEOUTS)
    with pytest.raises(NotPending):
        proxied.change(read_event(proxied.cell, OWNER, engine.begun().id), cancel=True)
    proxy.drop_replies()

    proxied.change(event, cancel=True)

    assert proxy.dropped == 1
    assert engine.get(event.id).state is State.CANCELLED


def test_e5_after_a_claim_repeated_by_the_client_events_wait_one_offer_lease(
    engine: Engine, proxied: EventStore, proxy: ReplyDroppingProxy
):
    event = engine.create(1_000)
    claims.claim(proxied.cell, room=0, timeouts=TIMEOUTS)
    proxied.cell.clock_ms = START_MS + 1_000
    proxy.drop_replies()

    claim = claims.claim(proxied.cell, room=10, timeouts=TIMEOUTS)
    proxied.cell.clock_ms += OFFER_MS

    assert claim.ids == []
    assert claims.claim(proxied.cell, room=10, timeouts=TIMEOUTS).ids == [event.id]


def test_e5_a_report_repeated_by_the_client_counts_once(
    engine: Engine, proxy: ReplyDroppingProxy
):
    one, other = (destination_gate(OWNER.tenant, name) for name in ("one", "other"))

    async def work() -> list[dict[str, str]]:
        client = redis.asyncio.Redis(
            port=proxy.port, retry=AsyncRetry(NoBackoff(), TRIES)
        )
        store = WorkerStore(client, engine.cell, lease_ms=LEASE_MS)
        await store.report({}, limits=BREAKER)
        answers = []
        for failures in (BREAKER.attempts // 2, BREAKER.attempts // 2 - 1, 1):
            proxy.drop_replies()
            counts = {one: outcomes("o" * failures), other: outcomes("o" * 20)}
            answers.append(await store.report(counts, limits=BREAKER))
        await client.aclose()
        return answers

    answers = asyncio.run(work())

    assert proxy.dropped == 3
    assert answers == [{other: "open"}, {}, {one: "open"}]


def test_e5_begin_and_settle_repeated_by_the_client_count_once(
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
        begun, refused = await store.begin(event_ids)
        proxy.drop_replies()
        lost = await store.renew(begun)
        proxy.drop_replies()
        answers = await store.settle([settlement(each) for each in begun])
        await client.aclose()
        assert ids(begun) == event_ids
        assert refused == {}
        assert lost == set()
        return codes(answers)

    answers = asyncio.run(work())

    assert proxy.dropped == 3
    assert answers == ["repeated"] * 3
    assert [engine.get(i).attempts for i in event_ids] == [1, 1, 1]
    assert {engine.get(i).state for i in event_ids} == {State.DELIVERED}


def test_e5_a_schedule_repeated_by_the_client_is_stored_once(
    engine: Engine, proxied: EventStore, proxy: ReplyDroppingProxy
):
    schedules = type(engine.schedules)(proxied.cell, grace_ms=60_000)
    rule = {"tz": "UTC", "grammar": FULL, "deadline_ms": DEADLINE_MS}
    schedules.create(OWNER, CONTENT, expression="@daily", **rule)
    proxy.drop_replies()

    made = schedules.create(OWNER, CONTENT, expression="@hourly", **rule)

    assert proxy.dropped == 1
    assert engine.schedules.count(OWNER) == 2
    assert engine.schedules.get(OWNER, made.id) == made
