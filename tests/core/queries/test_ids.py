"""Tests of finding events and schedules by the ids that clients have."""

import pytest
import redis
from scheduler_api.core import public_ids
from scheduler_api.core.model import Content, Draft, Event, Owner
from scheduler_api.core.queries.ids import Found, find
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.dialects.outbound import DIALECTS

NAMES = [each.name for each in DIALECTS]


def create(client: redis.Redis, dialect: str) -> tuple[Cell, Event]:
    """Create an event of the tenant `1`."""
    cell, draft = Cell(client, "{s1}:"), Draft(Content("https://h", b""), 1_000)
    return cell, EventStore(cell).create(Owner("1", dialect), draft)


@pytest.mark.parametrize("dialect", NAMES)
def test_an_event_is_found_by_the_id_that_its_client_has(
    store_client: redis.Redis, dialect: str
) -> None:
    cell, event = create(store_client, dialect)
    public = public_ids.event_id(event.owner, event.id)
    found = find(cell, f" {public} ", tenant="1", owners=[])

    assert found == [Found(event.owner, event.id, is_schedule=False)]
    assert find(cell, public, tenant=None, owners=[]) == found


@pytest.mark.parametrize("dialect", NAMES)
def test_s27_an_event_of_another_tenant_is_not_found(
    store_client: redis.Redis, dialect: str
) -> None:
    cell, event = create(store_client, dialect)

    public = public_ids.event_id(event.owner, event.id)
    assert find(cell, public, tenant="2", owners=[]) == []


@pytest.mark.parametrize(
    "text", ["", " ", "x", "msg_", "0", "é", "\ud800", "9" * 2_000]
)
def test_other_texts_find_nothing(store_client: redis.Redis, text: str) -> None:
    cell = Cell(store_client, "{s1}:")

    assert find(cell, text, tenant="1", owners=[Owner("1", "qstash")]) == []
