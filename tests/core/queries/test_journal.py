"""Tests of reading the journal in both directions, from any position."""

import pytest
import redis
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.queries import journal as module
from scheduler_api.core.queries.journal import Entry, Journal, JournalRange
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore

PREFIX = "{s1}:"
OWNER = Owner("1", "qstash")
OTHER = Owner("2", "qstash")
CONTENT = Content("https://example.com/hook", b"hello")


@pytest.fixture
def store(store_client: redis.Redis) -> EventStore:
    return EventStore(Cell(store_client, PREFIX))


@pytest.fixture
def journal(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """A journal that reads entries in batches of 3, and events in batches of 2."""
    monkeypatch.setattr(module, "ENTRIES", 3)
    monkeypatch.setattr(module, "RECORDS", 2)
    return Journal(store.cell)


def write(store: EventStore, *places: str) -> None:
    for place in places:
        fields = {"e": f"e{place}", "k": "created", "n": 0}
        store.cell.client.xadd(keys.journal(PREFIX, str(OWNER)), fields, id=place)


def read(journal: Journal, **of: object) -> list[str]:
    chunks = list(journal.chunks(OWNER, JournalRange(**of)))
    assert all(chunks)
    return ["{}-{}".format(*entry.cursor) for chunk in chunks for entry in chunk]


PLACES = ["5-0", "5-1", "7-0", "7-1", "7-2", "9-0", "9-1"]


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("count", range(8))
def test_every_entry_is_read_once_in_order(
    store: EventStore, journal: Journal, count: int, newest_first: bool
) -> None:
    write(store, *PLACES[:count])

    expected = PLACES[:count][::-1] if newest_first else PLACES[:count]
    assert read(journal, newest_first=newest_first) == expected


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((None, 7), PLACES[:5]),
        ((7, None), PLACES[2:]),
        ((7, 7), PLACES[2:5]),
        ((6, 8), PLACES[2:5]),
        ((10, None), []),
        ((None, 4), []),
        ((8, 6), []),
    ],
)
@pytest.mark.parametrize("newest_first", [True, False])
def test_a_range_includes_both_ends(
    store: EventStore,
    journal: Journal,
    ends: tuple[int | None, int | None],
    expected: list[str],
    newest_first: bool,
) -> None:
    write(store, *PLACES)
    start_ms, end_ms = ends
    found = read(journal, start_ms=start_ms, end_ms=end_ms, newest_first=newest_first)

    assert found == (expected[::-1] if newest_first else expected)


@pytest.mark.parametrize("after", [(5, 1), (7, 0), (7, 2), (6, 0), (1, 0), (99, 0)])
@pytest.mark.parametrize("newest_first", [True, False])
def test_reading_continues_after_an_entry(
    store: EventStore, journal: Journal, after: tuple[int, int], newest_first: bool
) -> None:
    write(store, *PLACES)
    places = [tuple(map(int, place.split("-"))) for place in PLACES]
    if newest_first:
        left = [place for place in places[::-1] if place < after]
    else:
        left = [place for place in places if place > after]

    found = read(journal, after=after, newest_first=newest_first)
    assert found == ["{}-{}".format(*place) for place in left]
    within = [place for place in left if 6 <= place[0] <= 8]
    found = read(journal, start_ms=6, end_ms=8, after=after, newest_first=newest_first)
    assert found == ["{}-{}".format(*place) for place in within]


def test_an_entry_has_what_the_engine_wrote(
    store: EventStore, journal: Journal
) -> None:
    draft = Draft(CONTENT, 1_000, delay_ms=1_000, journal=True)
    accepted = store.create_many(OWNER, [draft])[0]
    ((entry,),) = journal.chunks(OWNER, JournalRange())

    assert entry == Entry(entry.ms, entry.sequence, accepted.id, "created", 0)
    assert list(journal.chunks(OTHER, JournalRange())) == []


def test_existing_events_are_read_once_each(
    store: EventStore, journal: Journal
) -> None:
    drafts = [Draft(CONTENT, 1_000, delay_ms=1_000)] * 5
    ids = [accepted.id for accepted in store.create_many(OWNER, drafts)]
    foreign = store.create_many(OTHER, drafts[:1])[0].id

    requested = [*ids, ids[0], "zzz", foreign]
    assert [event.id for event in journal.events(OWNER, requested)] == ids


def test_an_unreadable_event_does_not_hide_others(
    store: EventStore, journal: Journal
) -> None:
    drafts = [Draft(CONTENT, 1_000, delay_ms=1_000)] * 4
    ids = [accepted.id for accepted in store.create_many(OWNER, drafts)]
    store.cell.client.set(keys.body(PREFIX, ids[1]), "broken")

    found = [event.id for event in journal.events(OWNER, ids)]
    assert found == [ids[0], *ids[2:]]


def test_attempts_are_read_by_number(store: EventStore, journal: Journal) -> None:
    line = b'a 20 0 {"started_ms":10,"status":200}'
    store.cell.client.hset(keys.log(PREFIX, "1"), mapping={"1": line, "2": b"broken"})
    first, second, third = journal.attempts([("1", 1), ("1", 2), ("2", 1)])

    assert first is not None
    assert (first.number, first.status, first.ended_ms) == (1, 200, 20)
    assert second is third is None
