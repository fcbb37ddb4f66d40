"""Fixtures for Scheduler v1: an API client with a method that attempts callbacks."""

import pytest
import redis
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import Owner
from scheduler_api.core.store import claims
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import ClaimTimeouts
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.tenants.accounts import NewTenant
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.events_v1.ids import internal_id
from scheduler_api.dialects.events_v1.settings import EventsV1Settings
from tests import documents
from tests.dialects.engine import TIMEOUTS, Web
from tests.sync_worker import SyncWorker, new_sync_worker
from typing import Any

HOUR_MS = 3_600_000


@dataclass
class Api:
    """An API client of one tenant, with the API's store."""

    app: Any
    store: EventStore
    tenant: NewTenant
    timeouts: ClaimTimeouts = TIMEOUTS

    @property
    def cell(self) -> Cell:
        return self.store.cell

    @property
    def owner(self) -> Owner:
        return Owner(self.tenant.id, "events_v1")

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request; return the status and the parsed body."""
        if body is not None:
            options["json"] = body
        headers = {"X-API-Key": self.tenant.token} | options.pop("headers", {})
        with self.app.test_client() as client:
            response = client.open(path, method=method, headers=headers, **options)
            assert response.mimetype == "application/json", response.data
            body = response.get_json()
            documents.check(self.app, method, path, response.status_code, body)
            return response.status_code, body

    def data(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request that succeeds; return the field `data` of the response."""
        status, response = self.call(method, path, body, **options)
        assert status == (201 if (method, path) == ("POST", "/v1/events") else 200)
        return response["data"]

    def error(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request that fails; return the status and the field `message`."""
        status, response = self.call(method, path, body, **options)
        assert set(response) == {"statusCode", "message", "error", "timestamp"}
        assert response["statusCode"] == status
        return status, response["message"]

    def body(self, **changes: Any) -> dict[str, Any]:
        """Return a request body for a yearly event.

        A field whose value in `changes` is `...` is omitted.
        """
        body = {
            "eventOwner": "user@example.com",
            "endDate": self.date_in(HOUR_MS),
            "interval": "0 0 1 1 *",
            "callbackUrl": "https://example.com/hook",
            "context": {"user": 12345},
            "tags": ["prod"],
        }
        fields = (body | changes).items()
        return {name: value for name, value in fields if value is not ...}

    def create(self, **changes: Any) -> dict[str, Any]:
        return dict(self.data("POST", "/v1/events", self.body(**changes)))

    def get(self, event_id: str) -> dict[str, Any]:
        return dict(self.data("GET", f"/v1/events/{event_id}"))

    def date_in(self, ms: int) -> str:
        """Return the time `ms` milliseconds from now, by the store's clock."""
        return to_iso(self.cell.now_ms() + ms)

    def list_events(self, **query: Any) -> tuple[list[str], int]:
        """List events; return the ids on the page, and the total."""
        status, response = self.call("GET", "/v1/events", query_string=query)
        assert status == 200, response
        ids = [event["eventId"] for event in response["data"]]
        return ids, response["meta"]["total"]

    def cell_at(self, now_ms: int) -> Cell:
        return Cell(self.cell.client, self.cell.prefix, clock_ms=now_ms)

    def worker(self, now_ms: int) -> SyncWorker:
        return new_sync_worker(self.cell.client, self.cell.prefix, clock_ms=now_ms)

    def fire(
        self, event_id: str, *, now_ms: int, outcome: str = "delivered", **log: Any
    ) -> bool:
        """Claim all due callbacks, and attempt those of one event once.

        Returns:
            True if the event had due callbacks and the worker began all of them.
        """
        claim = claims.claim(self.cell_at(now_ms), room=100, timeouts=TIMEOUTS)
        own_id = internal_id(event_id)
        callbacks = [id_ for id_ in claim.ids if id_.partition(".")[0] == own_id]
        for callback in callbacks:
            begun = self.worker(now_ms).begin(callback)
            if not begun:
                return False
            reason = "exhausted" * (outcome == "dead")
            status = 200 if outcome == "delivered" else 500
            attempt = {"started_ms": now_ms, "total_ms": 1, "status": status} | log
            self.worker(now_ms + 1).end(*begun, outcome, reason=reason, **attempt)
        return bool(callbacks)


@pytest.fixture
def make_api(
    make_web: Callable[..., Web], store_url: str
) -> Iterator[Callable[..., Api]]:
    """A function that returns an API client of a new tenant.

    The arguments of the function are settings of the API.
    """

    def make(**changes: Any) -> Api:
        web = make_web(EventsV1Settings, **changes)
        return Api(app=web.app, store=web.store, tenant=web.tenant)

    yield make
    with redis.Redis.from_url(store_url) as client:
        assert [str(fault) for fault in walk.check(Cell(client, "{s1}:"))] == []


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()
