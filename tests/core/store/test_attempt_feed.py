"""Tests of the feed of finished attempts."""

import redis
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.queries import followed_attempts
from scheduler_api.core.store import keys
from scheduler_api.core.store.attempt_feed import TTL_MS, AttemptFeed, Entry
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from tests.core.engine import PREFIX
from tests.dialects.engine import Engine

OWNER = Owner("1", "jiter")
KEY = keys.attempt_feed(PREFIX)


def attempt(client: redis.Redis, outcome: str = "delivered") -> str:
    """Make the first attempt of an event; return the id of the event."""
    engine = Engine(client, PREFIX)
    draft = Draft(Content("https://a/", b"x"), 1_000)
    event = EventStore(Cell(client, PREFIX)).create(OWNER, draft).id
    engine.settle(engine.begin(event), outcome, status=200)
    return event


def read(feed: AttemptFeed, most: int = 10) -> list[Entry]:
    return feed.read(wait_ms=1, most=most)


def test_without_a_reader_there_is_no_feed(store_client: redis.Redis):
    attempt(store_client)

    assert not store_client.exists(KEY)


def test_every_reader_gets_what_finishes_from_its_start_on(store_client: redis.Redis):
    first, second = (AttemptFeed(Cell(store_client, PREFIX)) for _ in range(2))
    first.open()
    before = attempt(store_client, "retry")
    second.open()
    after = attempt(store_client)

    assert read(first, most=1) == [Entry(before, 1)]
    assert read(first) + read(first) == [Entry(after, 1)]
    assert read(second) == [Entry(after, 1)]
    assert read(second) == []


def test_the_feed_expires_without_a_reader(store_client: redis.Redis):
    now_s = 0.0
    feed = AttemptFeed(Cell(store_client, PREFIX), clock=lambda: now_s)
    feed.open()
    store_client.pexpire(KEY, 1_000)
    read(feed)
    kept = store_client.pttl(KEY)
    now_s = 6.0
    read(feed)

    assert kept <= 1_000
    assert TTL_MS - 5_000 < store_client.pttl(KEY) <= TTL_MS


def test_a_lost_feed_is_created_again(store_client: redis.Redis):
    now_s = 0.0
    feed = AttemptFeed(Cell(store_client, PREFIX), clock=lambda: now_s)
    feed.open()
    store_client.delete(KEY)
    now_s = 6.0
    read(feed)
    event = attempt(store_client)

    assert read(feed) == [Entry(event, 1)]


def test_attempts_of_deleted_events_are_left_out(store_client: redis.Redis):
    cell = Cell(store_client, PREFIX)
    gone, kept = attempt(store_client), attempt(store_client)
    store_client.delete(keys.event(PREFIX, gone))
    found = followed_attempts.read(cell, [Entry(gone, 1), Entry(kept, 1)])

    assert [each.attempt.event_id for each in found] == [kept]
    assert found[0].content is not None
    assert (found[0].owner, found[0].content.url) == (OWNER, "https://a/")
