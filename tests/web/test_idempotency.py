"""Tests that equal requests at the same time are executed only once."""

import pytest
import redis
from collections.abc import Callable
from flask import Response
from scheduler_api.core.deduplication import DeduplicationKey
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.tenants.quotas import OverQuota
from scheduler_api.web.idempotency import REPLAYED, once
from scheduler_api.web.refusal import Refusal

OWNER = Owner("1", "jiter")
DEDUPLICATION = DeduplicationKey("k", 60_000, "digest")
CONTENT = Content("https://example.com/", b"")

Run = Callable[[Callable[[], Response]], Response]


@pytest.fixture
def store(store_client: redis.Redis) -> EventStore:
    return EventStore(Cell(store_client, "{s1}:"))


@pytest.fixture
def run(store: EventStore) -> Run:
    """Return a function that executes a request with the key `DEDUPLICATION`.

    If an earlier request had this key, the response is the id of the event that the
    earlier request created.
    """
    return lambda execute: once(
        store,
        OWNER,
        DEDUPLICATION,
        execute=execute,
        repeat=lambda duplicate: Response(duplicate.id),
    )


def create(store: EventStore, deduplication: DeduplicationKey = DEDUPLICATION) -> str:
    return store.create(OWNER, Draft(CONTENT, 1_000, deduplication=deduplication)).id


def exceed_quota() -> Response:
    raise OverQuota


def test_the_loser_of_a_race_gets_the_id_of_the_winner(store: EventStore, run: Run):
    ids = []

    def lose_to_the_same_request() -> Response:
        ids.append(create(store))
        return Response(create(store))

    response = run(lose_to_the_same_request)

    assert response.get_data(as_text=True) == ids[0]
    assert response.headers[REPLAYED] == "true"


def test_a_quota_used_up_by_the_same_request_is_no_error(store: EventStore, run: Run):
    ids = []

    def lose_to_the_same_request() -> Response:
        ids.append(create(store))
        return exceed_quota()

    assert run(lose_to_the_same_request).get_data(as_text=True) == ids[0]


def test_a_quota_used_up_by_another_request_is_an_error(store: EventStore, run: Run):
    def lose_to_another_request() -> Response:
        create(store, DeduplicationKey("k", 60_000, "another"))
        return exceed_quota()

    with pytest.raises(OverQuota):
        run(exceed_quota)
    with pytest.raises(Refusal):
        run(lose_to_another_request)
