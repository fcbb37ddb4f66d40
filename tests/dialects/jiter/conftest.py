"""Fixtures for Jiter: an API client with a method that creates past events."""

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
    """An API client of one tenant, with an `Engine` that uses the store of the API."""

    app: Any
    store: EventStore
    engine: Engine
    owner: Owner
    token: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def cell(self) -> Cell:
        return self.store.cell

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request; return the status and the parsed body."""
        if body is not None:
            options["json"] = body
        headers = {"x-api-key": self.token} | options.pop("headers", {})
        with self.app.test_client() as client:
            response = client.open(path, method=method, headers=headers, **options)
            assert response.mimetype == "application/json", response.data
            self.headers = dict(response.headers)
            body = response.get_json()
            documents.check(self.app, method, path, response.status_code, body)
            return response.status_code, body

    def body(self, **changes: Any) -> dict[str, Any]:
        """Return a request body for an event due in a minute.

        A field whose value in `changes` is `...` is omitted.
        """
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
        """Return a request body for a daily cron job.

        A field whose value in `changes` is `...` is omitted.
        """
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

    def create_past(self, *, ago_ms: int, payload: str = "hello") -> str:
        """Create an event that was due `ago_ms` ago; return its public id."""
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
        """Make one attempt of an event, with the clock set back by `ago_ms`."""
        now_ms = self.cell.now_ms() - ago_ms
        self.engine.attempt(to_id(int(event)), outcome, now_ms=now_ms, **log)

    def status(self, event: str) -> str:
        code, body = self.call("GET", f"/api/events/{event}")
        assert code == 200, body
        return str(body["status"])


@pytest.fixture
def make_api(make_web: Callable[..., Web]) -> Callable[..., Api]:
    """A function that returns an API client of a new tenant.

    The arguments of the function are settings of the API.
    """

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
