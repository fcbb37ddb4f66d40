"""Tests of lists of events, and of the histories of events and schedules."""

import pytest
import random
import redis
from itertools import islice
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.ids import to_number
from scheduler_api.core.model import Content, Draft, Event, Owner
from scheduler_api.core.queries import events as queries
from scheduler_api.core.queries.events import Queries
from scheduler_api.core.queries.filters import Phase, Selection, Span
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import claims, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import ClaimTimeouts
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.reads import read_event
from tests.sync_worker import new_sync_worker
from typing import Any

OWNER, OTHER = Owner("1", "jiter"), Owner("2", "jiter")
CONTENT = Content("http://example.com", b"x")
PREFIX = "{t}:"
NOW_MS = 1_000_000
TIMEOUTS = ClaimTimeouts(
    offer_ms=3_000, lease_ms=15_000, grace_ms=15_000, missed_grace_ms=60_000
)


class Clocked:
    """A store whose clock the test sets."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.store = self.at(NOW_MS)
        self.queries = Queries(self.store.cell)

    def at(self, now_ms: int) -> EventStore:
        return EventStore(Cell(self.client, PREFIX, clock_ms=now_ms))

    def event(self, wanted_ms: int, owner: Owner = OWNER) -> str:
        return (
            self.at(1)
            .create(owner, Draft(CONTENT, 10, at_ms=wanted_ms, must_be_future=True))
            .id
        )

    def schedule(self, seconds: str) -> str:
        """Create a schedule that fires on 1 January at 00:00, at the given seconds."""
        made = Schedules(self.at(1).cell, grace_ms=60_000).create(
            OWNER,
            Content("http://a", b"1"),
            expression=f"{seconds} 0 0 1 1 *",
            tz="UTC",
            grammar=FULL,
            deadline_ms=10,
        )
        return made.id

    def offer(self, *, at_ms: int) -> None:
        claims.claim(self.at(at_ms).cell, room=10_000, timeouts=TIMEOUTS)

    def end(self, event_id: str, outcome: str, *, at_ms: int, **line: Any) -> None:
        self.offer(at_ms=at_ms)
        worker = new_sync_worker(self.client, PREFIX, clock_ms=at_ms)
        [begun] = worker.begin(event_id)
        worker.end(begun, outcome, delay_ms=5_000, started_ms=at_ms, **line)

    def ids(self, *phases: Phase, limit: int = 1_000, **conditions: Any) -> list[str]:
        chosen = frozenset(phases or Phase)
        selection = Selection(phases=chosen, **conditions)
        events = self.queries.events(OWNER, selection, now_ms=NOW_MS)
        return [event.id for event in islice(events, limit)]


@pytest.fixture
def clocked(store_client: redis.Redis) -> Clocked:
    return Clocked(store_client)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "FIRST_PAGE", 2)
    monkeypatch.setattr(queries, "LARGEST_PAGE", 4)
    monkeypatch.setattr(queries, "BATCH", 3)


def _key(event: Event) -> tuple[int, int]:
    return event.wanted_ms, to_number(event.id)


def test_an_empty_store_lists_no_events(clocked: Clocked) -> None:
    assert clocked.ids() == []


@pytest.mark.usefixtures("small_pages")
def test_events_of_all_phases_are_merged_in_order(clocked: Clocked) -> None:
    rng = random.Random(3)
    ids = [clocked.event(rng.randrange(1_000, 1_020)) for _ in range(80)]
    for n, event_id in enumerate(ids):
        if n % 3:
            clocked.end(event_id, ("delivered", "dead")[n % 2], at_ms=2_000 + n)

    events = list(clocked.queries.events(OWNER, Selection(), now_ms=NOW_MS))

    assert [_key(event) for event in events] == sorted(_key(event) for event in events)
    assert {event.id for event in events} == set(ids)


@pytest.mark.usefixtures("small_pages")
def test_events_with_the_same_fire_time_are_sorted_by_id(clocked: Clocked) -> None:
    ids = [clocked.event(1_000) for _ in range(50)]

    assert clocked.ids() == ids
    assert clocked.ids(limit=40) == ids[:40]


@pytest.mark.usefixtures("small_pages")
def test_sorting_and_walking_find_the_same_events(
    clocked: Clocked,
) -> None:
    rng = random.Random(4)
    ended = {}
    for _ in range(60):
        wanted_ms = rng.randrange(1_000, 3_000)
        event_id = clocked.event(wanted_ms)
        ended[event_id] = (wanted_ms, wanted_ms + rng.choice((0, 1, 5, 3_000)))
    for event_id, (_, end_ms) in sorted(ended.items(), key=lambda item: item[1][1]):
        clocked.end(event_id, "delivered", at_ms=end_ms)

    for start_ms in range(900, 6_100, 200):
        for width_ms in (0, 300, 2_000, 9_000):
            span = Span(start_ms, start_ms + width_ms)
            kept = [i for i, (_, end_ms) in ended.items() if span.contains(end_ms)]
            kept.sort(key=lambda i: (ended[i][0], to_number(i)))
            assert clocked.ids(Phase.DELIVERED, ended={Phase.DELIVERED: span}) == kept


def test_a_span_of_fire_times_includes_both_ends_in_every_phase(
    clocked: Clocked,
) -> None:
    for phase, outcome in ((Phase.DELIVERED, "delivered"), (Phase.DEAD, "dead")):
        ids = [clocked.event(1_000 + n) for n in range(4)]
        for event_id in ids:
            clocked.end(event_id, outcome, at_ms=5_000)
        assert clocked.ids(phase, wanted=Span(1_001, 1_002)) == ids[1:3]
    waiting = [clocked.event(1_000 + n) for n in range(4)]
    assert clocked.ids(Phase.WAITING, wanted=Span(1_001, 1_002)) == waiting[1:3]


def test_waiting_events_and_events_under_way_are_distinguished(
    clocked: Clocked,
) -> None:
    waiting, retried = clocked.event(1_000), clocked.event(1_000)
    clocked.end(retried, "retry", at_ms=2_000)

    assert clocked.ids(Phase.WAITING) == [waiting]
    assert clocked.ids(Phase.UNDER_WAY) == [retried]
    assert clocked.ids(Phase.WAITING, Phase.UNDER_WAY) == [waiting, retried]


def test_future_events_are_not_read_for_the_phase_under_way(
    clocked: Clocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(300):
        clocked.event(NOW_MS + 1 + n)
    read: list[str] = []
    monkeypatch.setattr(queries, "read_events", lambda _, __, ids: read.extend(ids))

    assert clocked.ids(Phase.UNDER_WAY) == []
    assert read == []


def test_quarantined_events_are_listed_by_owner_and_time(
    clocked: Clocked,
) -> None:
    late, early, free = clocked.event(3_000), clocked.event(2_000), clocked.event(1_000)
    foreign = clocked.event(1_000, OTHER)
    members = {late: 10, early: 20, foreign: 10, "s:7": 10, "7.1": 10}
    clocked.client.zadd(keys.quarantine(PREFIX), members)

    assert clocked.ids(Phase.QUARANTINED) == [early, late]
    assert clocked.ids(Phase.QUARANTINED, ended={Phase.QUARANTINED: Span(15)}) == [
        early
    ]
    assert clocked.ids(Phase.WAITING) == [free]


@pytest.mark.usefixtures("small_pages")
def test_an_event_that_changes_state_during_the_list_appears_once(
    clocked: Clocked,
) -> None:
    ids = [clocked.event(1_000 + n) for n in range(60)]

    shown = []
    for event in clocked.queries.events(OWNER, Selection(), now_ms=NOW_MS):
        if not shown:
            for event_id in ids:
                clocked.end(event_id, "delivered", at_ms=5_000)
        shown.append(event.id)

    assert sorted(shown) == sorted(set(shown))


def test_an_unreadable_event_is_left_out_of_the_list(clocked: Clocked) -> None:
    ids = [clocked.event(1_000 + n) for n in range(3)]
    clocked.client.delete(keys.body(PREFIX, ids[1]))

    assert clocked.ids() == [ids[0], ids[2]]
    with pytest.raises(UnreadableRecord):
        clocked.queries.event(OWNER, ids[1])


def test_a_deleted_event_is_left_out_of_the_list(clocked: Clocked) -> None:
    ids = [clocked.event(1_000 + n) for n in range(3)]
    clocked.client.delete(keys.event(PREFIX, ids[1]))

    assert clocked.ids() == [ids[0], ids[2]]
    with pytest.raises(NotFound):
        clocked.queries.event(OWNER, ids[1])


def test_an_event_edited_between_its_two_reads_is_read_again(
    clocked: Clocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id = clocked.event(NOW_MS + 5)
    stale: list[Exception] = [UnreadableRecord(), UnreadableRecord()]

    def edited_meanwhile(*what: Any) -> Event:
        if stale:
            raise stale.pop()
        return read_event(*what)

    monkeypatch.setattr(queries, "read_event", edited_meanwhile)

    assert clocked.queries.event(OWNER, event_id).id == event_id


def test_attempts_are_listed_oldest_first(clocked: Clocked) -> None:
    event_id = clocked.event(1_000)
    for n in range(12):
        clocked.end(event_id, "retry", at_ms=10_000 * (n + 1), status=500 + n)

    attempts = clocked.queries.attempts(event_id)

    assert [attempt.number for attempt in attempts] == list(range(1, 13))
    assert [attempt.status for attempt in attempts] == list(range(500, 512))
    assert attempts[0].next_ms == 15_000


def test_the_history_of_a_schedule_has_its_newest_occurrences(
    clocked: Clocked,
) -> None:
    sid = clocked.schedule("1-6")
    for n in range(1, 6):
        clocked.offer(at_ms=1_000 * n)
        clocked.end(f"{sid}.{n}", "delivered", at_ms=1_000 * n, status=200 + n)

    past = list(clocked.queries.history(sid, limit=3))

    assert [each.occurrence_ms for each in past] == [3_000, 4_000, 5_000]
    assert [each.attempt.status for each in past] == [203, 204, 205]
    assert [each.content for each in past] == [Content("http://a", b"1")] * 3
    assert clocked.ids() == []


def test_a_schedule_is_busy_while_an_occurrence_is_under_way(
    clocked: Clocked,
) -> None:
    sid = clocked.schedule("1,2")
    clocked.offer(at_ms=1_000)
    made = clocked.queries.busy([sid, "none"])
    clocked.end(f"{sid}.1", "retry", at_ms=1_000)
    begun = clocked.queries.busy([sid, "none"])
    clocked.end(f"{sid}.1", "delivered", at_ms=7_000)

    assert (made, begun, clocked.queries.busy([sid])) == (set(), {sid}, set())


def test_occurrences_are_not_in_the_list_of_events(clocked: Clocked) -> None:
    sid = clocked.schedule("1,2")
    clocked.offer(at_ms=1_000)
    clocked.end(f"{sid}.1", "retry", at_ms=1_000)

    assert clocked.ids() == []
    assert clocked.ids(Phase.UNDER_WAY) == []
