"""Tests of what a tick offers, and of how many round trips a tick costs."""

import pytest
import redis
from collections.abc import Iterator
from rq import Queue
from rq.job import JobStatus
from rq.serializers import JSONSerializer
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store import keys, layout, statistics
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.processes import read_processes
from scheduler_api.core.store.statistics import Totals
from scheduler_api.settings import Settings
from tests.core.round_trips import CountingConnection, RoundTrips
from tests.sync_worker import new_sync_worker
from workers.ticker import EvictingStore, Ticker

PREFIX = "{s1}:"
OWNER = Owner("acme", "jiter")
DRAFT = Draft(Content("http://127.0.0.1:9/", b"{}"), deadline_ms=10_000)


@pytest.fixture
def trips() -> RoundTrips:
    """A counter of the client's round trips."""
    return RoundTrips()


@pytest.fixture
def ticker(valkey: str, trips: RoundTrips) -> Iterator[Ticker]:
    """A ticker after its first tick, which loads the library and checks the store."""
    pool = redis.ConnectionPool.from_url(
        valkey, connection_class=CountingConnection, trips=trips
    )
    with redis.Redis.from_pool(pool) as client:
        client.flushall()
        layout.ensure(client, PREFIX)
        settings = Settings(redis_url=valkey, secret_key="k" * 32)
        ticker = Ticker(client, settings)
        EventStore(ticker.cell).create_many(OWNER, [DRAFT])
        ticker.tick()
        # Prevent another check of the store, which would cost round trips.
        ticker._checked_at = float("inf")
        yield ticker


def test_a_tick_with_nothing_due_costs_one_round_trip(
    ticker: Ticker, trips: RoundTrips
):
    before = trips.count

    ticker.tick()

    assert trips.count - before == 1


def test_offering_one_event_or_a_hundred_costs_one_round_trip(
    ticker: Ticker, trips: RoundTrips
):
    spent = []
    for count in (1, 100):
        ticker.client.delete("rq:queue:deliveries")
        EventStore(ticker.cell).create_many(OWNER, [DRAFT] * count)
        before = trips.count
        ticker.tick()
        spent.append(trips.count - before)

    assert spent == [1, 1]


def test_rq_can_read_the_job_of_an_envelope(ticker: Ticker):
    client = ticker.client
    client.delete("rq:queue:deliveries")
    accepted = EventStore(ticker.cell).create_many(OWNER, [DRAFT])

    ticker.tick()

    queue = Queue("deliveries", connection=client, serializer=JSONSerializer)
    assert queue in Queue.all(connection=client, serializer=JSONSerializer)
    job = queue.jobs[-1]
    assert job.func_name == "workers.deliver.deliver"
    assert job.args == [[accepted[0].id], [], False]
    assert job.kwargs == {}
    assert (job.origin, job.get_status()) == ("deliveries", JobStatus.QUEUED)
    assert (job.timeout, job.result_ttl, job.failure_ttl) == (-1, 0, 600)
    assert job.description == "1 events, 0 schedules"
    assert job.created_at is not None
    assert job.enqueued_at == job.created_at


def test_events_stay_due_while_two_envelopes_wait_in_rq(ticker: Ticker):
    client = ticker.client
    client.delete("rq:queue:deliveries")

    waits_s = []
    for _ in range(3):
        EventStore(ticker.cell).create_many(OWNER, [DRAFT])
        waits_s.append(ticker.tick())

    assert client.llen("rq:queue:deliveries") == 2
    assert client.zcard(keys.due(ticker.prefix)) == 1
    # The ticker sleeps for the maximum time although an event is overdue. It can offer
    # the event only after a worker has taken an envelope; that worker wakes the ticker.
    assert waits_s[-1] == 1.0


def test_r32_a_ticker_works_and_reports_in_a_full_store(ticker: Ticker):
    client = ticker.client
    client.delete("rq:queue:deliveries", keys.alive(PREFIX, "ticker"))
    EventStore(ticker.cell).create_many(OWNER, [DRAFT])
    ticker._checked_at = 0.0
    client.config_set("maxmemory", 1)
    try:
        ticker.tick()
    finally:
        client.config_set("maxmemory", 0)

    assert client.zcard(keys.due(PREFIX)) == 0
    assert client.exists(keys.alive(PREFIX, "ticker"), keys.full(PREFIX)) == 2


def test_r32_a_ticker_can_start_on_a_full_store(ticker: Ticker):
    client = ticker.client
    settings = Settings(redis_url="redis://127.0.0.1/", secret_key="k" * 32)
    started = Ticker(client, settings)
    client.delete("rq:queue:deliveries")
    EventStore(ticker.cell).create_many(OWNER, [DRAFT])
    client.config_set("maxmemory", 1)
    try:
        started.tick()
    finally:
        client.config_set("maxmemory", 0)

    assert client.zcard(keys.due(PREFIX)) == 0


def test_a_ticker_reports_its_last_claim(ticker: Ticker):
    ticker._checked_at = 0.0

    ticker.tick()

    stored = ticker.client.hgetall(keys.processes(PREFIX))
    [process] = read_processes(stored, now_ms=ticker.cell.now_ms())
    assert process.role == "ticker"
    assert 0 <= process.load["lastClaimAgeMs"] < 60_000


def test_a_ticker_that_waits_for_an_operator_is_listed_but_not_alive(ticker: Ticker):
    ticker.client.flushall()
    ticker._checked_at = 0.0

    ticker.tick()

    assert not ticker.client.exists(keys.alive(PREFIX, "ticker"))
    assert ticker.client.hlen(keys.processes(PREFIX)) == 1


def test_r07_a_ticker_whose_claims_fail_is_not_alive(ticker: Ticker):
    ticker.client.delete(keys.alive(PREFIX, "ticker"), keys.due(PREFIX))
    ticker.client.set(keys.due(PREFIX), "unreadable")

    for _ in range(2):
        ticker._checked_at = 0.0
        with pytest.raises(redis.ResponseError):
            ticker.tick()
        ticker.client.delete(keys.alive(PREFIX, "ticker"))
    ticker._checked_at = 0.0
    with pytest.raises(redis.ResponseError):
        ticker.tick()
    broken = ticker.client.exists(keys.alive(PREFIX, "ticker"))
    ticker.client.delete(keys.due(PREFIX))
    ticker.tick()

    assert not broken
    assert ticker.client.exists(keys.alive(PREFIX, "ticker"))


def test_r10_a_ticker_of_a_store_that_may_evict_keys_is_not_alive(ticker: Ticker):
    client = ticker.client
    client.config_set("maxmemory", "1gb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.delete(keys.alive(PREFIX, "ticker"))
    ticker._checked_at = 0.0
    try:
        with pytest.raises(EvictingStore):
            ticker.tick()
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 0)

    assert not client.exists(keys.alive(PREFIX, "ticker"))


def test_r10_a_ticker_says_once_that_the_store_stops_to_write_its_file(
    ticker: Ticker, caplog: pytest.LogCaptureFixture
):
    for value in ("yes", "no", "no"):
        ticker.client.config_set("appendonly", value)
        ticker._checked_at = 0.0
        ticker.tick()

    assert caplog.text.count("store.doubtful") == 1


def totals(ticker: Ticker) -> Totals:
    """What the store has when the ticker has checked it."""
    ticker._checked_at = 0.0
    ticker.tick()
    return statistics.read_totals(ticker.cell)


def test_a_ticker_counts_what_it_has_claimed_once(ticker: Ticker) -> None:
    ticker.client.delete("rq:queue:deliveries")
    EventStore(ticker.cell).create_many(OWNER, [DRAFT] * 3)
    ticker.tick()

    assert [totals(ticker).claimed for _ in range(2)] == [4, 4]


def test_a_ticker_that_stops_counts_its_last_claims(ticker: Ticker) -> None:
    ticker.stop()
    ticker.run()

    assert statistics.read_totals(ticker.cell).claimed == 1


def test_a_ticker_counts_a_lease_that_ended_during_the_attempt(
    ticker: Ticker,
) -> None:
    [member] = ticker.client.zrange(keys.leased(PREFIX), 0, -1)
    new_sync_worker(ticker.client, PREFIX).begin(member.decode())
    ticker.client.zadd(keys.leased(PREFIX), {member: 1})
    ticker.tick()

    assert totals(ticker).lost_leases == 1
