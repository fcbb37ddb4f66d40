"""Tests of lists of events, page by page."""

import pytest
import redis
from scheduler_api.core.model import Content, Draft, Gates, Owner
from scheduler_api.core.queries import event_pages
from scheduler_api.core.queries.event_pages import (
    EventFilter,
    EventPages,
    Status,
    Summary,
)
from scheduler_api.core.queries.filters import Span, Target
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.records import EVENT

OWNER, OTHER = Owner("1", "qstash"), Owner("1", "jiter")
NOW_MS = 1_900_000_000_000
HOUR_MS = 3_600_000
SCHEDULED = EventFilter(frozenset([Status.SCHEDULED]))


@pytest.fixture
def store(store_client: redis.Redis) -> EventStore:
    return EventStore(Cell(store_client, "{s1}:", clock_ms=NOW_MS))


def create(
    store: EventStore,
    *offsets_ms: int,
    owner: Owner = OWNER,
    url: str = "https://h",
    queue: str = "",
) -> list[str]:
    drafts = [
        Draft(Content(url, b"b"), 1_000, at_ms=NOW_MS + each, gates=Gates(queue))
        for each in offsets_ms
    ]
    return [each.id for each in store.create_many(owner, drafts)]


def pages_of(
    store: EventStore, wanted: EventFilter, *owners: Owner, size: int = 50
) -> list[list[Summary]]:
    """Return all pages, from the first to the last."""
    pages, after, found = EventPages(store.cell, {}), None, []
    while True:
        page = pages.read(
            owners or [OWNER], wanted, now_ms=NOW_MS, after=after, size=size
        )
        found.append([*page.events])
        if page.next is None:
            return found
        after = page.next


def ids_of(pages: list[list[Summary]]) -> list[str]:
    return [event.id for page in pages for event in page]


def test_due_events_are_listed_newest_first(store: EventStore) -> None:
    old, newest, middle = create(store, -3_000, -1_000, -2_000)
    create(store, HOUR_MS)

    assert ids_of(pages_of(store, EventFilter(), size=1)) == [newest, middle, old]


def test_scheduled_events_are_listed_from_the_next_one_on(store: EventStore) -> None:
    late, soon = create(store, 2 * HOUR_MS, HOUR_MS)
    create(store, -1)

    assert ids_of(pages_of(store, SCHEDULED, size=1)) == [soon, late]


def test_a_list_has_the_events_of_all_dialects_of_a_tenant(store: EventStore) -> None:
    [first] = create(store, -2_000)
    [second] = create(store, -1_000, owner=OTHER)
    create(store, -500, owner=Owner("2", "qstash"))

    assert ids_of(pages_of(store, EventFilter(), OWNER, OTHER)) == [second, first]


@pytest.mark.parametrize("offset_ms", [-1_000, HOUR_MS])
@pytest.mark.parametrize("size", [1, 7, 150])
def test_pages_miss_and_repeat_none_of_many_events_of_the_same_time(
    store: EventStore, offset_ms: int, size: int
) -> None:
    created = create(store, *[offset_ms] * 150, offset_ms - 1, offset_ms + 1)
    wanted = SCHEDULED if offset_ms > 0 else EventFilter()
    found = ids_of(pages_of(store, wanted, size=size))

    assert len(found) == len(created)
    assert set(found) == set(created)


def test_a_position_stays_valid_when_its_event_is_gone(store: EventStore) -> None:
    created = create(store, *[-1_000] * 150)
    pages = EventPages(store.cell, {})
    first = pages.read([OWNER], EventFilter(), now_ms=NOW_MS, size=70)
    store.cancel(OWNER, [each.id for each in first.events])
    wanted = EventFilter(frozenset([Status.DUE]))
    rest = pages.read([OWNER], wanted, now_ms=NOW_MS, after=first.next, size=100)

    listed = {each.id for each in (*first.events, *rest.events)}
    assert listed == set(created)


def test_a_page_examines_a_bounded_number_of_events(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_pages, "MAX_EXAMINED", 20)
    create(store, *range(-50, 0))
    [oldest] = create(store, -HOUR_MS, url="https://other/x")
    wanted = EventFilter(target=Target("https://other/"))
    first = EventPages(store.cell, {}).read([OWNER], wanted, now_ms=NOW_MS)

    assert (first.events, first.is_searched) == ([], True)
    assert first.next is not None
    assert first.next.at_ms == NOW_MS - 20
    assert ids_of(pages_of(store, wanted)) == [oldest]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (EventFilter(target=Target("https://a/x")), 1),
        (EventFilter(target=Target("https://a/")), 2),
        (EventFilter(target=Target("https://a")), 2),
        (EventFilter(target=Target("https://")), 3),
        (EventFilter(target=Target(queue="mail")), 1),
        (EventFilter(time=Span(NOW_MS - 2_500, NOW_MS - 1_500)), 1),
        (EventFilter(frozenset([Status.DUE])), 2),
        (EventFilter(frozenset([Status.CANCELLED])), 1),
        (EventFilter(frozenset([Status.FAILED])), 0),
    ],
)
def test_filters(store: EventStore, wanted: EventFilter, count: int) -> None:
    create(store, -1_000, url="https://a/x")
    create(store, -2_000, url="https://a/y", queue="mail")
    store.cancel(OWNER, create(store, -3_000, url="https://b/"))

    assert len(ids_of(pages_of(store, wanted))) == count


def test_an_unreadable_event_does_not_break_the_list(store: EventStore) -> None:
    first, second, third, fourth = create(store, -1_000, -2_000, -3_000, -4_000)
    store.cell.client.delete(f"{{s1}}:e:{first}")
    store.cell.client.set(f"{{s1}}:e:{first}", "no record")
    store.cell.client.set(f"{{s1}}:b:{second}", "no content")
    store.cell.client.hset(f"{{s1}}:e:{fourth}", EVENT.code("created_ms"), "x")
    [page] = pages_of(store, EventFilter())

    assert [(each.id, each.content is None) for each in page] == [
        (second, True),
        (third, False),
    ]
