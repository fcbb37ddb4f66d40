"""Fixtures for QStash: an API client with methods that attempt messages."""

import pytest
import redis
from collections.abc import Callable
from dataclasses import dataclass, field
from scheduler_api.core.model import Begun, Owner
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.dialects.qstash.settings import QstashSettings
from tests import documents
from tests.dialects.conformance.world import World
from tests.dialects.engine import TIMEOUTS, Engine, Web
from tests.dialects.qstash.publisher import Publisher
from typing import Any

HOOK = "https://example.com/hook"


@dataclass
class Api:
    """An API client of one tenant, with an `Engine` that uses the store of the API."""

    app: Any
    store: EventStore
    tenants: Tenants
    engine: Engine
    owner: Owner
    token: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def cell(self) -> Cell:
        return self.store.cell

    def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Send a request; return the status and the parsed body.

        The body is None if the response has no body.
        """
        headers = {"Authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        with self.app.test_client() as client:
            answer = client.open(path, method=method, headers=headers, **more)
            assert answer.mimetype == "application/json", answer.data
            self.headers = dict(answer.headers)
            body = answer.get_json() if answer.data else None
            documents.check(self.app, method, path, answer.status_code, body)
            return answer.status_code, body

    def publish(self, to: str = HOOK, data: bytes = b"hello", **headers: str) -> Any:
        """Publish a message.

        Args:
            headers: values by name. The name `retry_delay` means the header
                `Upstash-Retry-Delay`.
        """
        status, answer = self.call(
            "POST", f"/v2/publish/{to}", data=data, headers=upstash(headers)
        )
        assert status in (201, 202), answer
        return answer

    def message(self, message_id: str) -> Any:
        status, message = self.call("GET", f"/v2/messages/{message_id}")
        assert status == 200, message
        return message

    def logs(self, query: str = "") -> Any:
        status, page = self.call("GET", f"/v2/logs{query}")
        assert status == 200, page
        assert page["events"] == page["logs"]
        return page

    def attempt(self, message_id: str, outcome: str, **log: Any) -> None:
        """Begin and settle one attempt of a message, as a worker does."""
        self.settle(self.begin(message_id), outcome, **log)

    def begin(self, message_id: str) -> Begun:
        """Claim all due events, and begin an attempt of one message."""
        return self.engine.begin(message_id.removeprefix("msg_"))

    def lose(self, message_id: str) -> None:
        """Begin an attempt, and let its lease expire as if the worker had crashed."""
        self.begin(message_id)
        begun_ms = self.cell.now_ms()
        for after_ms in range(5_000, 2 * TIMEOUTS.lease_ms, 5_000):
            clock_ms = begun_ms + after_ms
            self.engine.offer(now_ms=clock_ms, room=0)

    def settle(self, begun: Begun, outcome: str, **log: Any) -> None:
        self.engine.settle(begun, outcome, **log)


def upstash(headers: dict[str, str]) -> dict[str, str]:
    """Rename headers: `retry_delay` becomes `Upstash-retry-delay`."""
    return {f"Upstash-{name.replace('_', '-')}": v for name, v in headers.items()}


@pytest.fixture
def make_api(make_web: Callable[..., Web]) -> Callable[..., Api]:
    """A function that returns an API client of a new tenant.

    The arguments of the function are settings of the API.
    """

    def make(**changes: Any) -> Api:
        web = make_web(QstashSettings, **changes)
        return Api(
            app=web.app,
            store=web.store,
            tenants=web.tenants,
            engine=Engine(web.cell.client, web.cell.prefix),
            owner=web.owner("qstash"),
            token=web.tenant.token,
        )

    return make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()


@pytest.fixture(scope="module")
def world(valkey: str) -> World:
    """An API and a worker that all tests of a module share."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    return World(valkey)


@pytest.fixture
def publisher(world: World) -> Publisher:
    return Publisher.of(world)
