"""Helpers that claim, begin and settle events of the web application under test."""

import redis
from dataclasses import dataclass, fields
from scheduler_api.app import create_app
from scheduler_api.core.model import Begun, Owner
from scheduler_api.core.store import claims
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import Claim, ClaimTimeouts
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.tenants.accounts import NewTenant, Tenants
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings
from tests import sync_worker
from typing import Any

SECRET_KEY = "0123456789abcdef"
TIMEOUTS = ClaimTimeouts(
    offer_ms=3_000, lease_ms=15_000, grace_ms=15_000, missed_grace_ms=60_000
)


def settings_with(
    kind: type | None, changes: dict[str, Any], *, redis_url: str
) -> Settings:
    """Return the default settings with some changes.

    Args:
        kind: the class of a dialect's settings. It may be None if `changes` contains
            only settings of the engine.
        changes: new values, by the name of a field of `kind` or of `Settings`.
    """
    declared = set() if kind is None else {field.name for field in fields(kind)}
    own = {name: value for name, value in changes.items() if name in declared}
    engine = {name: value for name, value in changes.items() if name not in declared}
    dialects = () if kind is None else (kind(**own),)
    return Settings(
        redis_url=redis_url, secret_key=SECRET_KEY, dialects=dialects, **engine
    )


@dataclass
class Web:
    """A web application with its store, and a new tenant in this store."""

    app: Any
    store: EventStore
    tenants: Tenants
    tenant: NewTenant

    @property
    def cell(self) -> Cell:
        return self.store.cell

    def owner(self, dialect: str) -> Owner:
        return Owner(self.tenant.id, dialect)


def new_web(settings: Settings) -> Web:
    """Return an application with a new tenant."""
    cell = Cell(redis.Redis.from_url(settings.redis_url), settings.prefix)
    tenants = outbound.tenants(cell, settings)
    tenant = tenants.create("test")
    return Web(create_app(settings), EventStore(cell), tenants, tenant)


class Engine:
    """Claims events as a ticker does, and begins and settles events as a worker does.

    Callers may give the time of a step as `now_ms`; the default is the time of the
    store's clock. Entries in the journal always have the time of the store's clock.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def cell_at(self, now_ms: int | None) -> Cell:
        return Cell(self._client, self._prefix, clock_ms=now_ms)

    def worker(self, now_ms: int | None = None) -> sync_worker.SyncWorker:
        return sync_worker.new_sync_worker(self._client, self._prefix, clock_ms=now_ms)

    def offer(self, *, now_ms: int | None = None, room: int = 10_000) -> Claim:
        return claims.claim(self.cell_at(now_ms), room=room, timeouts=TIMEOUTS)

    def begin(self, event_id: str, *, now_ms: int | None = None) -> Begun:
        """Claim all due events, and begin the event with this id."""
        self.offer(now_ms=now_ms)
        [begun] = self.worker(now_ms).begin(event_id)
        return begun

    def settle(
        self, begun: Begun, outcome: str, *, now_ms: int | None = None, **log: Any
    ) -> None:
        attempt = {
            "started_ms": self.cell_at(now_ms).now_ms() - 10,
            "total_ms": 10,
        } | log
        self.worker(now_ms).end(begun, outcome, **attempt)

    def attempt(self, event_id: str, outcome: str, *, now_ms: int, **log: Any) -> None:
        self.settle(self.begin(event_id, now_ms=now_ms), outcome, now_ms=now_ms, **log)
