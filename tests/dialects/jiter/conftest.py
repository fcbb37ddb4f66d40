"""A web application on a real store, and a worker by hand under a clock of its own."""

import pytest
from collections.abc import Callable
from dataclasses import dataclass, field
from scheduler_api.core.ids import to_id
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.jiter.settings import JiterSettings
from tests import documents
from tests.dialects.engine import Engine, Web
from typing import Any

MINUTE_MS = 60_000


@dataclass
class Api:
    """One tenant's view of the application."""

    app: Any
    store: EventStore
    engine: Engine
    owner: Owner
    token: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def cell(self) -> Cell:
        return self.store.cell

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
            "scheduledTime": to_iso(self.cell.now_ms() + MINUTE_MS),
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
        wanted_ms = self.cell.now_ms() - ago_ms
        content = Content("https://example.com/hook", payload.encode())
        earlier = EventStore(
            Cell(self.cell.client, self.cell.prefix, clock_ms=wanted_ms - 1)
        )
        event = earlier.create(
            self.owner, Draft(content, 10_000, at_ms=wanted_ms, must_be_future=True)
        )
        return str(int(event.id, 36))

    def attempt(self, event: str, outcome: str, *, ago_ms: int = 0, **log: Any) -> None:
        """One attempt of an event, that ended so long ago."""
        now_ms = self.cell.now_ms() - ago_ms
        self.engine.attempt(to_id(int(event)), outcome, now_ms=now_ms, **log)

    def status(self, event: str) -> str:
        code, shown = self.call("GET", f"/api/events/{event}")
        assert code == 200, shown
        return str(shown["status"])


@pytest.fixture
def make_api(make_web: Callable[..., Web]) -> Callable[..., Api]:
    """Applications with settings of their own, each seen by a new tenant."""

    def make(**changes: Any) -> Api:
        web = make_web(JiterSettings, **changes)
        return Api(
            app=web.app,
            store=web.store,
            engine=Engine(web.cell.client, web.cell.prefix),
            owner=web.owner("jiter"),
            token=web.tenant.token,
        )

    return make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()
