"""Web applications on a real store, for the fixtures of each dialect."""

import pytest
import redis
from collections.abc import Callable, Iterator
from scheduler_api.app import create_app
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.settings import Settings
from tests.dialects.by_hand import SECRET_KEY, Web
from typing import Any


@pytest.fixture
def store_url(valkey: str) -> Iterator[str]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    yield valkey


@pytest.fixture
def make_web(store_url: str) -> Callable[..., Web]:
    """Applications with settings of their own, each with a new tenant."""

    def make(**changes: Any) -> Web:
        settings = Settings(redis_url=store_url, secret_key=SECRET_KEY, **changes)
        cell = Cell(redis.Redis.from_url(store_url), settings.prefix)
        tenants = Tenants(cell, secret_key=SECRET_KEY)
        tenant = tenants.create("test")
        app = create_app(settings)
        return Web(app, EventStore(cell), tenants, tenant)

    return make
