"""An event that moves on while a client's request reads it."""

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


class Meanwhile(Queries):
    """Lets things happen right before attempts are read, one at each read."""

    def __init__(self, cell: Cell, *acts: Callable[[], None]) -> None:
        super().__init__(cell)
        self._acts = list(acts)

    def attempts(self, event_id: str) -> list[Attempt]:
        if self._acts:
            self._acts.pop(0)()
        return super().attempts(event_id)


Read = Callable[..., dict[str, Any]]


@pytest.fixture
def read_while(api: Any, store_url: str) -> Read:
    """A function that reads an event while the rest of its arguments happens."""
    built = services.build(Settings(redis_url=store_url, secret_key=SECRET_KEY))

    def read(event: str, *acts: Callable[[], None]) -> dict[str, Any]:
        events = Events(replace(built, queries=Meanwhile(built.cell, *acts)))
        return dict(events.get(api.owner, event).get_json())

    return read


def test_event_delivered_while_it_is_read_is_shown_as_sent(
    api: Any, read_while: Read
) -> None:
    event = api.past(ago_ms=1000)

    shown = read_while(event, lambda: api.attempt(event, "delivered", status=200))

    assert shown["status"] == "Sent"
    assert [record["status"] for record in shown["history"]] == ["200"]


def test_event_retried_while_it_is_read_is_shown_with_all_attempts(
    api: Any, read_while: Read
) -> None:
    event = api.past(ago_ms=10_000)

    shown = read_while(
        event,
        lambda: api.attempt(event, "retry", ago_ms=5_000, status=500),
        lambda: api.attempt(event, "delivered", status=200),
    )

    assert shown["status"] == "Sent"
    assert [record["status"] for record in shown["history"]] == ["500", "200"]
