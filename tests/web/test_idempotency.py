"""What is carried out once, whoever else does the same at this instant."""

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
def carry_out(store: EventStore) -> Run:
    """Carry something out under the deduplication key; answer the stored id."""
    return lambda make: once(
        store,
        OWNER,
        DEDUPLICATION,
        make=make,
        again=lambda duplicate: Response(duplicate.id),
    )


def stored(store: EventStore, deduplication: DeduplicationKey = DEDUPLICATION) -> str:
    return store.create(OWNER, Draft(CONTENT, 1_000, deduplication=deduplication)).id


def refused() -> Response:
    raise OverQuota


def test_what_another_has_stored_meanwhile_is_answered(
    store: EventStore, carry_out: Run
):
    ids = []

    def beaten() -> Response:
        ids.append(stored(store))
        return Response(stored(store))

    answer = carry_out(beaten)

    assert (answer.get_data(as_text=True), answer.headers[REPLAYED]) == (ids[0], "true")


def test_who_finds_nothing_left_is_answered_if_it_was_the_same_that_took_it(
    store: EventStore, carry_out: Run
):
    ids = []

    def beaten() -> Response:
        ids.append(stored(store))
        return refused()

    assert carry_out(beaten).get_data(as_text=True) == ids[0]


def test_who_finds_nothing_left_is_refused_otherwise(store: EventStore, carry_out: Run):
    def beaten_by_another() -> Response:
        stored(store, DeduplicationKey("k", 60_000, "another"))
        return refused()

    with pytest.raises(OverQuota):
        carry_out(refused)
    with pytest.raises(Refusal):
        carry_out(beaten_by_another)
