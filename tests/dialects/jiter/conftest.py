"""A web application on a real store, and a worker by hand under a clock of its own."""

import orjson
import pytest
import redis
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from scheduler_api.app import create_app
from scheduler_api.core.config import Settings
from scheduler_api.core.ids import to_id
from scheduler_api.core.model import Content, Owner
from scheduler_api.core.store import Store, Terms
from scheduler_api.core.tenants import Tenants
from scheduler_api.core.timing import to_iso
from tests import documents
from typing import Any

SECRET_KEY = "0123456789abcdef"
TERMS = Terms(offer_ms=3_000, lease_ms=15_000, quiet_ms=15_000, missed_grace_ms=60_000)
MINUTE_MS = 60_000


class Hand:
    """Does what ticker and worker do, at the time it is told."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._begins = 0

    def at(self, now_ms: int) -> Store:
        return Store(self._client, self._prefix, clock_ms=now_ms)

    def begin(self, event_id: str, *, now_ms: int) -> tuple[str, int]:
        """Offers what is due and begins one; answers its token and attempt number."""
        self.at(now_ms).claim(room=1000, terms=TERMS)
        self._begins += 1
        token = f"hand:{self._begins}"
        reply: Any = self.at(now_ms).run("begin", token, 15_000, 8192, event_id)
        assert reply[0][1] == b"begun", reply
        return token, int(reply[0][2])

    def settle(
        self,
        event_id: str,
        begun: tuple[str, int],
        outcome: str,
        *,
        now_ms: int,
        **log: Any,
    ) -> None:
        token, number = begun
        line = orjson.dumps({"started_ms": now_ms - 10, "total_ms": 10} | log)
        reply: Any = self.at(now_ms).run(
            "settle", event_id, token, number, outcome, 3_000, "", line, 0
        )
        assert reply[0][1] == b"settled", reply

    def attempt(self, event_id: str, outcome: str, *, now_ms: int, **log: Any) -> None:
        begun = self.begin(event_id, now_ms=now_ms)
        self.settle(event_id, begun, outcome, now_ms=now_ms, **log)


@dataclass
class Api:
    """One tenant's view of the application."""

    app: Any
    store: Store
    hand: Hand
    owner: Owner
    token: str
    headers: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Status and parsed body of a request."""
        if body is not None:
            more["json"] = body
        headers = {"x-api-key": self.token} | more.pop("headers", {})
        with self.app.test_client() as client:
            answer = client.open(path, method=method, headers=headers, **more)
            assert answer.mimetype == "application/json", answer.data
            self.headers = dict(answer.headers)
            body = answer.get_json()
            documents.check(self.app, method, path, answer.status_code, body)
            return answer.status_code, body

    def body(self, **changes: Any) -> dict[str, Any]:
        """What creates an event in a minute."""
        body = {
            "payload": "hello",
            "destination": "https://example.com/hook",
            "scheduledTime": to_iso(self.store.now_ms() + MINUTE_MS),
        }
        return {name: v for name, v in (body | changes).items() if v is not ...}

    def create(self, **changes: Any) -> dict[str, Any]:
        status, event = self.call("POST", "/api/events", self.body(**changes))
        assert status == 200, event
        return dict(event)

    def cron_body(self, **changes: Any) -> dict[str, Any]:
        """What creates a cron job for every midnight."""
        body = {
            "payload": "tick",
            "destination": "https://example.com/hook",
            "expression": "0 0 * * *",
        }
        return {name: v for name, v in (body | changes).items() if v is not ...}

    def create_cron(self, **changes: Any) -> dict[str, Any]:
        status, job = self.call("POST", "/api/cronjobs", self.cron_body(**changes))
        assert status == 200, job
        return dict(job)

    def past(self, *, ago_ms: int, payload: str = "hello") -> str:
        """An event that was wanted so long ago; answers its id as clients see it."""
        wanted_ms = self.store.now_ms() - ago_ms
        content = Content("https://example.com/hook", payload.encode())
        earlier = Store(self.store.client, self.store.prefix, clock_ms=wanted_ms - 1)
        event = earlier.create(self.owner, content, at_ms=wanted_ms, deadline_ms=10_000)
        return str(int(event.id, 36))

    def attempt(self, event: str, outcome: str, *, ago_ms: int = 0, **log: Any) -> None:
        """One attempt of an event, that ended so long ago."""
        now_ms = self.store.now_ms() - ago_ms
        self.hand.attempt(to_id(int(event)), outcome, now_ms=now_ms, **log)

    def status(self, event: str) -> str:
        code, shown = self.call("GET", f"/api/events/{event}")
        assert code == 200, shown
        return str(shown["status"])


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
            hand=Hand(client, settings.prefix),
            owner=Owner(tenant.id, "jiter"),
            token=tenant.token,
        )

    return make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()
