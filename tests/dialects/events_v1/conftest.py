"""A web application on a real store, and callbacks by hand under a clock of its own."""

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
    """One tenant's view of the application."""

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

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Status and parsed body of a request."""
        if body is not None:
            more["json"] = body
        headers = {"X-API-Key": self.tenant.token} | more.pop("headers", {})
        with self.app.test_client() as client:
            answer = client.open(path, method=method, headers=headers, **more)
            assert answer.mimetype == "application/json", answer.data
            body = answer.get_json()
            documents.check(self.app, method, path, answer.status_code, body)
            return answer.status_code, body

    def good(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """What a success bears in `data`."""
        status, answer = self.call(method, path, body, **more)
        assert status == (201 if (method, path) == ("POST", "/v1/events") else 200)
        return answer["data"]

    def refused(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Status and message of a fault in its four keys."""
        status, answer = self.call(method, path, body, **more)
        assert set(answer) == {"statusCode", "message", "error", "timestamp"}
        assert answer["statusCode"] == status
        return status, answer["message"]

    def body(self, **changes: Any) -> dict[str, Any]:
        """What creates an event for every new year."""
        body = {
            "eventOwner": "user@example.com",
            "endDate": self.in_ms(HOUR_MS),
            "interval": "0 0 1 1 *",
            "callbackUrl": "https://example.com/hook",
            "context": {"user": 12345},
            "tags": ["prod"],
        }
        return {name: v for name, v in (body | changes).items() if v is not ...}

    def create(self, **changes: Any) -> dict[str, Any]:
        return dict(self.good("POST", "/v1/events", self.body(**changes)))

    def get(self, event_id: str) -> dict[str, Any]:
        return dict(self.good("GET", f"/v1/events/{event_id}"))

    def in_ms(self, ms: int) -> str:
        """An instant of the store's clock."""
        return to_iso(self.cell.now_ms() + ms)

    def listed(self, **query: Any) -> tuple[list[str], int]:
        """The ids of a list, and its total."""
        status, answer = self.call("GET", "/v1/events", query_string=query)
        assert status == 200, answer
        return [e["eventId"] for e in answer["data"]], answer["meta"]["total"]

    def at(self, now_ms: int) -> Cell:
        return Cell(self.cell.client, self.cell.prefix, clock_ms=now_ms)

    def worker(self, now_ms: int) -> SyncWorker:
        return new_sync_worker(self.cell.client, self.cell.prefix, clock_ms=now_ms)

    def fire(
        self, event_id: str, *, now_ms: int, outcome: str = "delivered", **log: Any
    ) -> bool:
        """Claims at a time, and makes one attempt of whatever that gave of an event."""
        claim = claims.claim(self.at(now_ms), room=100, timeouts=TIMEOUTS)
        made = [e for e in claim.ids if e.partition(".")[0] == internal_id(event_id)]
        for each in made:
            begun = self.worker(now_ms).begin(each)
            if not begun:
                return False
            reason = "exhausted" * (outcome == "dead")
            status = 200 if outcome == "delivered" else 500
            line = {"started_ms": now_ms, "total_ms": 1, "status": status} | log
            self.worker(now_ms + 1).end(*begun, outcome, reason=reason, **line)
        return bool(made)


@pytest.fixture
def make_api(
    make_web: Callable[..., Web], store_url: str
) -> Iterator[Callable[..., Api]]:
    """Applications with settings of their own, each seen by a new tenant."""

    def make(**changes: Any) -> Api:
        web = make_web(EventsV1Settings, **changes)
        return Api(app=web.app, store=web.store, tenant=web.tenant)

    yield make
    with redis.Redis.from_url(store_url) as client:
        assert [str(fault) for fault in walk.check(Cell(client, "{s1}:"))] == []


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()
