"""Tests of iterating over unfinished events while some of them are cancelled."""

import pytest
import redis
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.queries.active_events import (
    AT_ONCE,
    created_within,
    outlines,
    unfinished,
)
from scheduler_api.core.queries.filters import ALWAYS, Span
from scheduler_api.core.queries.heads import HEAD_BYTES
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.reads import read_event

OWNER = Owner("1", "qstash")


@pytest.fixture
def store(store_client: redis.Redis) -> EventStore:
    return EventStore(Cell(store_client, "{s1}:"))


def create(store: EventStore, count: int, *, owner: Owner = OWNER) -> set[str]:
    drafts = [Draft(Content("https://h", b""), 1_000, at_ms=10**14)] * count
    return {accepted.id for accepted in store.create_many(owner, drafts)}


def test_a_new_store_has_no_unfinished_events(store: EventStore) -> None:
    assert [ids for ids in unfinished(store.cell, OWNER) if ids] == []


@pytest.mark.parametrize("count", [1, 100, 1_203])
def test_a_walk_finds_all_events_even_if_they_are_cancelled_on_the_way(
    store: EventStore, count: int
) -> None:
    created = create(store, count)
    create(store, 1, owner=Owner("2", "qstash"))
    found = set()
    for ids in unfinished(store.cell, OWNER):
        assert len(ids) <= AT_ONCE
        store.cancel(OWNER, ids)
        found.update(ids)

    assert found == created
    assert [ids for ids in unfinished(store.cell, OWNER) if ids] == []


@pytest.mark.parametrize("head", [1, HEAD_BYTES, 3 * HEAD_BYTES])
@pytest.mark.parametrize("body", [b"", b"a\nb", b"x" * 20_000])
def test_an_outline_has_everything_but_the_body(
    store: EventStore, head: int, body: bytes
) -> None:
    content = Content("https://h", body, {"o": "x" * head})
    draft = Draft(content, 1_000, at_ms=10**14)
    [created] = store.create_many(OWNER, [draft])

    [found] = outlines(store.cell, [created.id], ALWAYS)
    assert (found.id, found.schedule) == (created.id, None)
    assert found.content == Content("https://h", b"", {"o": "x" * head})


def test_unreadable_events_are_left_out(store: EventStore) -> None:
    good, bad = sorted(create(store, 2))
    store.cell.client.set(keys.body(store.cell.prefix, bad), "x")

    assert [found.id for found in outlines(store.cell, [bad, good, "0"], ALWAYS)] == [
        good
    ]


def test_a_span_of_creation_times_includes_both_ends(store: EventStore) -> None:
    [event_id] = create(store, 1)
    at_ms = read_event(store.cell, OWNER, event_id).created_ms

    for span, found in (
        (Span(at_ms, at_ms), [event_id]),
        (Span(at_ms + 1, None), []),
        (Span(None, at_ms - 1), []),
    ):
        assert created_within(store.cell, [event_id, "0"], span) == found
        assert [each.id for each in outlines(store.cell, [event_id], span)] == found
