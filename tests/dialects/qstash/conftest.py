"""A web application on a real store, and a worker by hand under a clock of its own."""

import orjson
import pytest
import redis
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from scheduler_api.app import create_app
from scheduler_api.core.config import Settings
from scheduler_api.core.model import Owner
from scheduler_api.core.store import Store, Terms
from scheduler_api.core.tenants import Tenants
from tests import documents
from typing import Any

SECRET_KEY = "0123456789abcdef"
TERMS = Terms(offer_ms=3_000, lease_ms=15_000, quiet_ms=15_000, missed_grace_ms=60_000)
HOOK = "https://example.com/hook"


@dataclass
class Api:
    """One tenant's view of the application."""

    app: Any
    store: Store
    tenants: Tenants
    owner: Owner
    token: str
    headers: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Status and parsed body of a request; an empty one is None."""
        headers = {"Authorization": f"Bearer {self.token}"} | more.pop("headers", {})
        with self.app.test_client() as client:
            answer = client.open(path, method=method, headers=headers, **more)
            assert answer.mimetype == "application/json", answer.data
            self.headers = dict(answer.headers)
            body = answer.get_json() if answer.data else None
            documents.check(self.app, method, path, answer.status_code, body)
            return answer.status_code, body

    def publish(self, to: str = HOOK, data: bytes = b"hello", **headers: str) -> Any:
        """The answer to a message; `retry_delay` is `Upstash-Retry-Delay`."""
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
        """One attempt, as a worker makes and settles it."""
        event_id = message_id.removeprefix("msg_")
        self.settle(event_id, self.begin(message_id), outcome, **log)

    def begin(self, message_id: str) -> tuple[str, int]:
        """Offers what is due and begins one; answers its token and attempt number."""
        event_id = message_id.removeprefix("msg_")
        token = f"hand:{message_id}:{self.store.now_ms()}"
        self.store.claim(room=10_000, terms=TERMS)
        reply: Any = self.store.run("begin", token, 15_000, 8192, event_id)
        assert reply[0][1] == b"begun", reply
        return token, int(reply[0][2])

    def lose(self, message_id: str) -> None:
        """Begins it and lets its lease end, under a ticker that looks all the time."""
        self.begin(message_id)
        begun_ms = self.store.now_ms()
        for after_ms in range(5_000, 2 * TERMS.lease_ms, 5_000):
            clock_ms = begun_ms + after_ms
            later = Store(self.store.client, self.store.prefix, clock_ms=clock_ms)
            later.claim(room=0, terms=TERMS)

    def settle(
        self, event_id: str, begun: tuple[str, int], outcome: str, **log: Any
    ) -> None:
        started_ms = self.store.now_ms() - 10
        line = orjson.dumps({"started_ms": started_ms, "total_ms": 10} | log)
        reply: Any = self.store.run(
            *("settle", event_id, *begun, outcome, 3_000, "", line, 0)
        )
        assert reply[0][1] == b"settled", reply


def upstash(headers: dict[str, str]) -> dict[str, str]:
    """Headers of this dialect by the words of their names."""
    return {f"Upstash-{name.replace('_', '-')}": v for name, v in headers.items()}


@pytest.fixture
def store_url(valkey: str) -> Iterator[str]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    yield valkey


@pytest.fixture
def make_api(store_url: str) -> Callable[..., Api]:
    """Applications with settings of their own, each seen by a new tenant."""

    def make(**changes: Any) -> Api:
        settings = Settings(redis_url=store_url, secret_key=SECRET_KEY, **changes)
        client = redis.Redis.from_url(store_url)
        tenants = Tenants(client, settings.prefix, secret_key=SECRET_KEY)
        tenant = tenants.create("test")
        return Api(
            app=create_app(settings),
            store=Store(client, settings.prefix),
            tenants=tenants,
            owner=Owner(tenant.id, "qstash"),
            token=tenant.token,
        )

    return make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()
