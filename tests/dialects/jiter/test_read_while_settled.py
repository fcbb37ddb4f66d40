"""Tests of reads of an event while a worker settles an attempt of this event."""

import pytest
from collections.abc import Callable
from dataclasses import replace
from scheduler_api import services
from scheduler_api.core.model import Attempt
from scheduler_api.core.queries.events import Queries
from scheduler_api.core.store.cell import Cell
from scheduler_api.dialects.jiter.events import Events
from scheduler_api.settings import Settings
from tests.dialects.engine import SECRET_KEY
from typing import Any


class Interrupted(Queries):
    """Queries that call one of `actions`, in order, before each read of attempts."""

    def __init__(self, cell: Cell, *actions: Callable[[], None]) -> None:
        super().__init__(cell)
        self._actions = list(actions)

    def attempts(self, event_id: str) -> list[Attempt]:
        if self._actions:
            self._actions.pop(0)()
        return super().attempts(event_id)


Read = Callable[..., dict[str, Any]]


@pytest.fixture
def read_while(api: Any, store_url: str) -> Read:
    """A function that reads an event. During the read, the function calls `actions`."""
    built = services.build(Settings(redis_url=store_url, secret_key=SECRET_KEY))

    def read(event: str, *actions: Callable[[], None]) -> dict[str, Any]:
        events = Events(replace(built, queries=Interrupted(built.cell, *actions)))
        return dict(events.get(api.owner, event).get_json())

    return read


def test_an_event_delivered_during_the_read_is_sent(api: Any, read_while: Read) -> None:
    event = api.create_past(ago_ms=1000)

    event_read = read_while(event, lambda: api.attempt(event, "delivered", status=200))

    assert event_read["status"] == "Sent"
    assert [record["status"] for record in event_read["history"]] == ["200"]


def test_an_event_retried_during_the_read_has_all_attempts(
    api: Any, read_while: Read
) -> None:
    event = api.create_past(ago_ms=10_000)

    event_read = read_while(
        event,
        lambda: api.attempt(event, "retry", ago_ms=5_000, status=500),
        lambda: api.attempt(event, "delivered", status=200),
    )

    assert event_read["status"] == "Sent"
    assert [record["status"] for record in event_read["history"]] == ["500", "200"]
