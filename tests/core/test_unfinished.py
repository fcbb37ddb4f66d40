"""Walks over unfinished events that are cancelled on the way."""

import pytest
import redis
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store import Store
from scheduler_api.core.unfinished import AT_ONCE, unfinished

OWNER = Owner("1", "qstash")


@pytest.fixture
def store(store_client: redis.Redis) -> Store:
    return Store(store_client, "{s1}:")


def create(store: Store, count: int, *, owner: Owner = OWNER) -> set[str]:
    drafts = [Draft(Content("https://h", b""), 1_000, at_ms=10**15)] * count
    return {accepted.id for accepted in store.create_many(owner, drafts)}


def test_nothing_is_unfinished_at_first(store: Store) -> None:
    assert [ids for ids in unfinished(store, OWNER) if ids] == []


@pytest.mark.parametrize("count", [1, 100, 1_203])
def test_everything_is_met_although_the_walker_ends_it(
    store: Store, count: int
) -> None:
    created = create(store, count)
    create(store, 1, owner=Owner("2", "qstash"))
    met = set()
    for ids in unfinished(store, OWNER):
        assert len(ids) <= AT_ONCE
        store.cancel(OWNER, ids)
        met.update(ids)

    assert met == created
    assert [ids for ids in unfinished(store, OWNER) if ids] == []
