"""Fixtures for tests of schedules: an API client with a method that runs schedules."""

import pytest
import redis
from collections.abc import Callable
from dataclasses import dataclass
from scheduler_api.core.model import Outcome, Owner, Schedule
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import claims
from scheduler_api.core.store.cell import Cell
from tests.dialects.engine import TIMEOUTS
from tests.sync_worker import new_sync_worker
from typing import Any

URL = "https://example.com/hook"


@dataclass
class Api:
    """An API client of one tenant, with a client of the store."""

    app: Any
    client: redis.Redis
    owner: Owner
    token: str

    @property
    def cell(self) -> Cell:
        return Cell(self.client, "{s1}:")

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
        """Send a request; return the status and the parsed body.

        Args:
            headers: values by name; `_` in a name stands for a dash.
        """
        sent = {"Authorization": f"Bearer {self.token}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with self.app.test_client() as client:
            answer = client.open(path, method=method, headers=sent, data=body)
            return answer.status_code, answer.get_json() if answer.data else None

    def try_create(self, url: str = URL, body: bytes = b"", **headers: str) -> Any:
        headers = {"Upstash_Cron": "0 0 1 1 *"} | headers
        return self.call("POST", f"/v2/schedules/{url}", body, **headers)

    def create(self, url: str = URL, body: bytes = b"", **headers: str) -> str:
        status, answer = self.try_create(url, body, **headers)
        assert (status, list(answer)) == (200, ["scheduleId"]), answer
        return str(answer["scheduleId"])

    def get(self, schedule_id: str) -> dict[str, Any]:
        status, schedule = self.call("GET", f"/v2/schedules/{schedule_id}")
        assert status == 200, schedule
        return dict(schedule)

    def all(self) -> list[dict[str, Any]]:
        status, schedules = self.call("GET", "/v2/schedules")
        assert status == 200, schedules
        return list(schedules)

    def stored(self, schedule_id: str) -> Schedule:
        schedules = Schedules(self.cell, grace_ms=60_000)
        name = schedule_id.removeprefix("scd_")
        if name == schedule_id:
            name = schedules.id_of(self.owner, schedule_id)
        return schedules.get(self.owner, name)

    def run(self, schedule_id: str, outcome: Outcome | None = None) -> tuple[str, int]:
        """Create and claim the event of a schedule's next fire time.

        Args:
            outcome: if given, the event is attempted once, with this outcome.

        Returns:
            The id of the event, and the fire time.
        """
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
    """A function that returns an API client of a new tenant.

    The arguments of the function are settings of the API.
    """

    def make(**changes: Any) -> Api:
        made = make_api(**changes)
        return Api(made.app, made.cell.client, made.owner, made.token)

    return make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()
