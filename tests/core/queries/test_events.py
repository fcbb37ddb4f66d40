"""Lists and histories, from the indexes that the scripts keep."""

import pytest
import random
import redis
from itertools import islice
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.ids import to_number
from scheduler_api.core.model import Content, Event, Owner
from scheduler_api.core.queries import events as queries
from scheduler_api.core.queries.events import Queries
from scheduler_api.core.queries.filters import Phase, Selection, Span
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import keys
from scheduler_api.core.store.events import Store, Terms
from tests.hand import hand_of
from typing import Any

OWNER, OTHER = Owner("1", "jiter"), Owner("2", "jiter")
CONTENT = Content("http://example.com", b"x")
PREFIX = "{t}:"
NOW_MS = 1_000_000
TERMS = Terms(offer_ms=3_000, lease_ms=15_000, quiet_ms=15_000, missed_grace_ms=60_000)


class Cell:
    """A store whose clock stands where it is told."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.store = self.at(NOW_MS)
        self.queries = Queries(self.store)

    def at(self, now_ms: int) -> Store:
        return Store(self.client, PREFIX, clock_ms=now_ms)

    def event(self, wanted_ms: int, owner: Owner = OWNER) -> str:
        early = self.at(1)
        early.ids = self.store.ids
        return early.create(owner, CONTENT, at_ms=wanted_ms, deadline_ms=10).id

    def schedule(self, seconds: str) -> str:
        """A schedule of those seconds after the start of time."""
        made = Schedules(self.at(1), grace_ms=60_000).create(
            OWNER,
            Content("http://a", b"1"),
            expression=f"{seconds} 0 0 1 1 *",
            tz="UTC",
            grammar=FULL,
            deadline_ms=10,
        )
        return made.id

    def offer(self, *, at_ms: int) -> None:
        self.at(at_ms).claim(room=10_000, terms=TERMS)

    def end(self, event_id: str, outcome: str, *, at_ms: int, **line: Any) -> None:
        self.offer(at_ms=at_ms)
        worker = hand_of(self.client, PREFIX, clock_ms=at_ms)
        [begun] = worker.begin(event_id)
        worker.end(begun, outcome, delay_ms=5_000, started_ms=at_ms, **line)

    def ids(self, *phases: Phase, most: int = 1_000, **conditions: Any) -> list[str]:
        chosen = frozenset(phases or Phase)
        selection = Selection(phases=chosen, **conditions)
        events = self.queries.events(OWNER, selection, now_ms=NOW_MS)
        return [event.id for event in islice(events, most)]


@pytest.fixture
def cell(store_client: redis.Redis) -> Cell:
    return Cell(store_client)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "FIRST_PAGE", 2)
    monkeypatch.setattr(queries, "LARGEST_PAGE", 4)
    monkeypatch.setattr(queries, "BATCH", 3)


def _key(event: Event) -> tuple[int, int]:
    return event.wanted_ms, to_number(event.id)


def test_nothing_is_an_empty_list(cell: Cell) -> None:
    assert cell.ids() == []


@pytest.mark.usefixtures("small_pages")
def test_all_phases_come_in_one_order(cell: Cell) -> None:
    rng = random.Random(3)
    ids = [cell.event(rng.randrange(1_000, 1_020)) for _ in range(80)]
    for n, event_id in enumerate(ids):
        if n % 3:
            cell.end(event_id, ("delivered", "dead")[n % 2], at_ms=2_000 + n)

    events = list(cell.queries.events(OWNER, Selection(), now_ms=NOW_MS))

    assert [_key(event) for event in events] == sorted(_key(event) for event in events)
    assert {event.id for event in events} == set(ids)


@pytest.mark.usefixtures("small_pages")
def test_events_of_one_instant_come_by_number_over_all_pages(cell: Cell) -> None:
    ids = [cell.event(1_000) for _ in range(50)]

    assert cell.ids() == ids
    assert cell.ids(most=40) == ids[:40]


@pytest.mark.usefixtures("small_pages")
def test_span_of_ends_gives_the_same_by_sorting_and_by_walking(cell: Cell) -> None:
    rng = random.Random(4)
    ended = {}
    for _ in range(60):
        wanted_ms = rng.randrange(1_000, 3_000)
        event_id = cell.event(wanted_ms)
        ended[event_id] = (wanted_ms, wanted_ms + rng.choice((0, 1, 5, 3_000)))
    for event_id, (_, end_ms) in sorted(ended.items(), key=lambda item: item[1][1]):
        cell.end(event_id, "delivered", at_ms=end_ms)

    for start_ms in range(900, 6_100, 200):
        for width_ms in (0, 300, 2_000, 9_000):
            span = Span(start_ms, start_ms + width_ms)
            kept = [i for i, (_, end_ms) in ended.items() if span.holds(end_ms)]
            kept.sort(key=lambda i: (ended[i][0], to_number(i)))
            assert cell.ids(Phase.DELIVERED, ended={Phase.DELIVERED: span}) == kept


def test_wanted_span_includes_both_ends_in_every_phase(cell: Cell) -> None:
    for phase, outcome in ((Phase.DELIVERED, "delivered"), (Phase.DEAD, "dead")):
        ids = [cell.event(1_000 + n) for n in range(4)]
        for event_id in ids:
            cell.end(event_id, outcome, at_ms=5_000)
        assert cell.ids(phase, wanted=Span(1_001, 1_002)) == ids[1:3]
    waiting = [cell.event(1_000 + n) for n in range(4)]
    assert cell.ids(Phase.WAITING, wanted=Span(1_001, 1_002)) == waiting[1:3]


def test_waiting_and_under_way_are_told_apart(cell: Cell) -> None:
    waiting, retried = cell.event(1_000), cell.event(1_000)
    cell.end(retried, "retry", at_ms=2_000)

    assert cell.ids(Phase.WAITING) == [waiting]
    assert cell.ids(Phase.UNDER_WAY) == [retried]
    assert cell.ids(Phase.WAITING, Phase.UNDER_WAY) == [waiting, retried]


def test_future_is_not_read_for_what_is_under_way(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(300):
        cell.event(NOW_MS + 1 + n)
    read: list[str] = []
    get_many = cell.store.get_many
    monkeypatch.setattr(
        cell.store, "get_many", lambda o, ids: read.extend(ids) or get_many(o, ids)
    )

    assert cell.ids(Phase.UNDER_WAY) == []
    assert read == []


def test_stuck_events_are_listed_by_their_owner_and_time(cell: Cell) -> None:
    late, early, free = cell.event(3_000), cell.event(2_000), cell.event(1_000)
    foreign = cell.event(1_000, OTHER)
    members = {late: 10, early: 20, foreign: 10, "s:7": 10, "7.1": 10}
    cell.client.zadd(keys.stuck(PREFIX), members)

    assert cell.ids(Phase.STUCK) == [early, late]
    assert cell.ids(Phase.STUCK, ended={Phase.STUCK: Span(15)}) == [early]
    assert cell.ids(Phase.WAITING) == [free]


@pytest.mark.usefixtures("small_pages")
def test_event_that_moves_on_while_the_list_is_read_is_shown_once(cell: Cell) -> None:
    ids = [cell.event(1_000 + n) for n in range(60)]

    shown = []
    for event in cell.queries.events(OWNER, Selection(), now_ms=NOW_MS):
        if not shown:
            for event_id in ids:
                cell.end(event_id, "delivered", at_ms=5_000)
        shown.append(event.id)

    assert sorted(shown) == sorted(set(shown))


def test_unreadable_record_is_left_out_of_the_list(cell: Cell) -> None:
    ids = [cell.event(1_000 + n) for n in range(3)]
    cell.client.delete(keys.body(PREFIX, ids[1]))

    assert cell.ids() == [ids[0], ids[2]]
    with pytest.raises(UnreadableRecord):
        cell.queries.event(OWNER, ids[1])


def test_record_that_is_gone_is_left_out_of_the_list(cell: Cell) -> None:
    ids = [cell.event(1_000 + n) for n in range(3)]
    cell.client.delete(keys.event(PREFIX, ids[1]))

    assert cell.ids() == [ids[0], ids[2]]
    with pytest.raises(NotFound):
        cell.queries.event(OWNER, ids[1])


def test_edit_between_the_two_reads_of_an_event_does_no_harm(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id = cell.event(NOW_MS + 5)
    stale: list[Exception] = [UnreadableRecord(), UnreadableRecord()]
    get = cell.store.get

    def edited_meanwhile(owner: Owner, event_id: str) -> Event:
        if stale:
            raise stale.pop()
        return get(owner, event_id)

    monkeypatch.setattr(cell.store, "get", edited_meanwhile)

    assert cell.queries.event(OWNER, event_id).id == event_id


def test_attempts_come_oldest_first(cell: Cell) -> None:
    event_id = cell.event(1_000)
    for n in range(12):
        cell.end(event_id, "retry", at_ms=10_000 * (n + 1), status=500 + n)

    attempts = cell.queries.attempts(event_id)

    assert [attempt.number for attempt in attempts] == list(range(1, 13))
    assert [attempt.status for attempt in attempts] == list(range(500, 512))
    assert attempts[0].next_ms == 15_000


def test_history_of_a_schedule_is_that_of_its_newest_occurrences(cell: Cell) -> None:
    sid = cell.schedule("1-6")
    for n in range(1, 6):
        cell.offer(at_ms=1_000 * n)
        cell.end(f"{sid}.{n}", "delivered", at_ms=1_000 * n, status=200 + n)

    past = list(cell.queries.history(sid, most=3))

    assert [each.occurrence_ms for each in past] == [3_000, 4_000, 5_000]
    assert [each.attempt.status for each in past] == [203, 204, 205]
    assert [each.content for each in past] == [Content("http://a", b"1")] * 3
    assert cell.ids() == []


def test_schedule_is_busy_while_an_occurrence_was_begun_and_not_ended(
    cell: Cell,
) -> None:
    sid = cell.schedule("1,2")
    cell.offer(at_ms=1_000)
    made = cell.queries.busy([sid, "none"])
    cell.end(f"{sid}.1", "retry", at_ms=1_000)
    begun = cell.queries.busy([sid, "none"])
    cell.end(f"{sid}.1", "delivered", at_ms=7_000)

    assert (made, begun, cell.queries.busy([sid])) == (set(), {sid}, set())


def test_occurrence_under_way_is_no_event_of_the_list(cell: Cell) -> None:
    sid = cell.schedule("1,2")
    cell.offer(at_ms=1_000)
    cell.end(f"{sid}.1", "retry", at_ms=1_000)

    assert cell.ids() == []
    assert cell.ids(Phase.UNDER_WAY) == []
