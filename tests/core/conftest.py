"""Fixtures for an engine on fakeredis or Valkey; tests set the clock of the engine."""

import asyncio
import fakeredis
import pytest
import redis
import redis.asyncio
from collections.abc import Callable, Iterator
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.leases import WorkerStore
from tests.core.engine import Engine

Connect = Callable[[], redis.asyncio.Redis]


@pytest.fixture
def connect(store_client: redis.Redis, request: pytest.FixtureRequest) -> Connect:
    """A function that connects asynchronously to the server of `store_client`."""
    if isinstance(store_client, fakeredis.FakeRedis):
        server = store_client.connection_pool.connection_kwargs["server"]
        return lambda: fakeredis.FakeAsyncRedis(server=server)
    url = request.getfixturevalue("valkey")
    return lambda: redis.asyncio.Redis.from_url(url)


@pytest.fixture
def engine(store_client: redis.Redis, connect: Connect) -> Iterator[Engine]:
    with asyncio.Runner() as runner:
        engine = Engine(store_client, connect, runner)
        yield engine
        engine.close()
        assert not engine.checks_faults or engine.faults() == []


@pytest.fixture
def store(engine: Engine) -> EventStore:
    return engine.store


@pytest.fixture
def worker_store(engine: Engine) -> WorkerStore:
    return engine.worker.store


@pytest.fixture
def queues(engine: Engine) -> Queues:
    return Queues(engine.cell)


@pytest.fixture
def flow_keys(engine: Engine) -> FlowKeys:
    return FlowKeys(engine.cell)


@pytest.fixture
def destinations(engine: Engine) -> HeldDestinations:
    return HeldDestinations(engine.cell)
