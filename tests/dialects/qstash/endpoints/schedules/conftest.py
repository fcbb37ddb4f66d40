"""One tenant's view of the schedules of an application."""

import pytest
import redis
from collections.abc import Callable
from dataclasses import dataclass
from scheduler_api.core.model import Outcome, Owner, Schedule
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import claims
from scheduler_api.core.store.cell import Cell
from tests.dialects.by_hand import TIMEOUTS
from tests.sync_worker import new_sync_worker
from typing import Any

URL = "https://example.com/hook"


@dataclass
class Api:
    """One tenant's view of the application."""

    app: Any
    client: redis.Redis
    owner: Owner
    token: str

    @property
    def cell(self) -> Cell:
        return Cell(self.client, "{s1}:")

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
        """Status and parsed body of a request; `_` in a header's name is a dash."""
        given = {"Authorization": f"Bearer {self.token}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        with self.app.test_client() as client:
            answer = client.open(path, method=method, headers=given, data=body)
            return answer.status_code, answer.get_json() if answer.data else None

    def try_create(self, url: str = URL, body: bytes = b"", **headers: str) -> Any:
        given = {"Upstash_Cron": "0 0 1 1 *"} | headers
        return self.call("POST", f"/v2/schedules/{url}", body, **given)

    def create(self, url: str = URL, body: bytes = b"", **headers: str) -> str:
        status, answer = self.try_create(url, body, **headers)
        assert (status, list(answer)) == (200, ["scheduleId"]), answer
        return str(answer["scheduleId"])

    def get(self, schedule_id: str) -> dict[str, Any]:
        status, shown = self.call("GET", f"/v2/schedules/{schedule_id}")
        assert status == 200, shown
        return dict(shown)

    def all(self) -> list[dict[str, Any]]:
        status, shown = self.call("GET", "/v2/schedules")
        assert status == 200, shown
        return list(shown)

    def stored(self, schedule_id: str) -> Schedule:
        schedules = Schedules(self.cell, grace_ms=60_000)
        name = schedule_id.removeprefix("scd_")
        if name == schedule_id:
            name = schedules.id_of(self.owner, schedule_id)
        return schedules.get(self.owner, name)

    def run(self, schedule_id: str, outcome: Outcome | None = None) -> tuple[str, int]:
        """Makes its next message, and tries it; answers its id and its fire time."""
        stored = self.stored(schedule_id)
        tick_ms = stored.times_ms[0]
        at_tick = Cell(self.client, "{s1}:", clock_ms=tick_ms)
        assert claims.claim(at_tick, room=10, timeouts=TIMEOUTS).ids
        event_id = f"{stored.id}.{tick_ms // 1000}"
        if outcome is not None:
            worker = new_sync_worker(self.client, "{s1}:", clock_ms=tick_ms)
            [begun] = worker.begin(event_id)
            worker.end(begun, outcome, delay_ms=1_000)
        return event_id, tick_ms


@pytest.fixture
def make_api(make_api: Callable[..., Any]) -> Callable[..., Api]:
    """Applications with settings of their own, each seen by a new tenant."""

    def make(**changes: Any) -> Api:
        made = make_api(**changes)
        return Api(made.app, made.cell.client, made.owner, made.token)

    return make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()
