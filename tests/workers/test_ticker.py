"""What a tick costs the store."""

import pytest
import redis
from collections.abc import Iterator
from scheduler_api.core.config import Settings
from scheduler_api.core.model import Content, Draft, Owner
from tests.core.trips import Counting, Trips
from workers.ticker import Ticker

OWNER = Owner("acme", "jiter")
DRAFT = Draft(Content("http://127.0.0.1:9/", b"{}"), deadline_ms=10_000)
# The depth of RQ's queue, and the claim.
LOOKING = 2


@pytest.fixture
def trips() -> Trips:
    """What the ticker's client counts."""
    return Trips()


@pytest.fixture
def ticker(valkey: str, trips: Trips) -> Iterator[Ticker]:
    """One that has ticked: its scripts are loaded, its store is checked."""
    pool = redis.ConnectionPool.from_url(valkey, connection_class=Counting, trips=trips)
    with redis.Redis.from_pool(pool) as client:
        client.flushall()
        settings = Settings(redis_url=valkey, secret_key="k" * 32)
        ticker = Ticker(client, settings)
        ticker.store.create_many(OWNER, [DRAFT])
        ticker.tick()
        # The next check of the store is a second away, whatever the machine does.
        ticker._checked_at = float("inf")
        yield ticker


def test_a_tick_with_nothing_due_costs_two_round_trips(ticker: Ticker, trips: Trips):
    before = trips.count

    ticker.tick()

    assert trips.count - before == LOOKING


def test_offering_an_event_costs_as_many_round_trips_as_a_hundred(
    ticker: Ticker, trips: Trips
):
    spent = []
    for count in (1, 100):
        ticker.client.delete("rq:queue:deliveries")
        ticker.store.create_many(OWNER, [DRAFT] * count)
        before = trips.count
        ticker.tick()
        spent.append(trips.count - before)

    assert spent == [LOOKING + 1] * 2
