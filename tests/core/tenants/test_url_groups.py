"""Tests of URL groups: endpoints, concurrent changes, and damaged records."""

import pytest
import redis
from concurrent.futures import ThreadPoolExecutor
from scheduler_api.core.errors import LimitReached, NotFound, UnreadableRecord
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.url_groups import (
    DONE,
    MAX_ENDPOINTS,
    Endpoint,
    Groups,
    TooManyEndpoints,
    read_group,
)
from tests.core.engine import OWNER, PREFIX, START_MS
from tests.core.function_calls import before_next_call, repeating

A, B = Endpoint("https://a.example/", "first"), Endpoint("https://b.example/")
OTHERS = (Owner("2", OWNER.dialect), Owner(OWNER.tenant, "other"))


@pytest.fixture
def cell(store_client: redis.Redis) -> Cell:
    return Cell(store_client, PREFIX, clock_ms=START_MS)


@pytest.fixture
def groups(cell: Cell) -> Groups:
    return Groups(cell)


def test_endpoints_keep_the_order_of_their_creation(groups: Groups, cell: Cell):
    groups.add(OWNER, "g", [A])
    cell.clock_ms = START_MS + 5
    groups.add(OWNER, "g", [B, Endpoint(A.url, "renamed")])
    group = groups.get(OWNER, "g")

    assert [each.url for each in group.endpoints] == [A.url, B.url]
    assert [each.name for each in group.endpoints] == ["renamed", ""]
    assert (group.created_ms, group.updated_ms) == (START_MS, START_MS + 5)


def test_groups_are_listed_oldest_first(groups: Groups, cell: Cell):
    for name in ("z", "a"):
        groups.add(OWNER, name, [A])
        assert cell.clock_ms is not None
        cell.clock_ms += 1

    assert [group.name for group in groups.all_of(OWNER)] == ["z", "a"]


def test_a_group_of_a_tenant_being_removed_can_only_be_deleted(
    groups: Groups, cell: Cell
):
    groups.add(OWNER, "g", [A])
    cell.client.set(keys.removed(PREFIX, OWNER.tenant), 1)

    with pytest.raises(LimitReached):
        groups.add(OWNER, "g", [B])
    groups.delete(OWNER, "g")

    assert groups.all_of(OWNER) == []


@pytest.mark.parametrize("by", [{"urls": [A.url]}, {"names": [A.name]}])
def test_endpoints_are_removed_by_url_or_name(groups: Groups, by: dict[str, list[str]]):
    groups.add(OWNER, "g", [A, B])
    groups.remove(OWNER, "g", **{"urls": ["https://x/"], "names": [""]} | by)

    assert groups.get(OWNER, "g").endpoints == (B,)


def test_a_group_without_endpoints_is_deleted(groups: Groups):
    groups.add(OWNER, "g", [A, B])
    groups.set_defaults(OWNER, "g", {"x": 1})
    groups.remove(OWNER, "g", urls=[A.url, B.url], names=[])

    with pytest.raises(NotFound):
        groups.get(OWNER, "g")
    groups.add(OWNER, "g", [A])
    assert groups.get(OWNER, "g").defaults == {}


def test_a_missing_group_cannot_be_changed(groups: Groups):
    with pytest.raises(NotFound):
        groups.remove(OWNER, "g", urls=[], names=[])
    with pytest.raises(NotFound):
        groups.set_defaults(OWNER, "g", {})
    groups.delete(OWNER, "g")
    assert groups.all_of(OWNER) == []


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_groups_of_two_owners_are_independent(groups: Groups, other: Owner):
    groups.add(OWNER, "g", [A])

    assert groups.all_of(other) == []
    with pytest.raises(NotFound):
        groups.get(other, "g")
    groups.delete(other, "g")
    groups.add(other, "g", [B])
    assert groups.get(OWNER, "g").endpoints == (A,)


def test_a_group_has_a_maximum_number_of_endpoints(groups: Groups):
    many = [Endpoint(f"https://{n}.example/") for n in range(MAX_ENDPOINTS)]
    groups.add(OWNER, "g", many)
    groups.add(OWNER, "g", many[:1])

    with pytest.raises(TooManyEndpoints):
        groups.add(OWNER, "g", [A])
    assert len({each.key for each in many}) == MAX_ENDPOINTS


def test_no_concurrent_change_is_lost(groups: Groups):
    endpoints = [Endpoint(f"https://{n}.example/") for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: groups.add(OWNER, "g", [each]), endpoints))

    assert set(groups.get(OWNER, "g").endpoints) == set(endpoints)


def test_a_repeated_change_is_made_once(groups: Groups, cell: Cell):
    with repeating(cell.client) as made:
        groups.add(OWNER, "g", [A])
    added = groups.get(OWNER, "g")
    with repeating(cell.client) as removed:
        groups.remove(OWNER, "g", urls=[A.url], names=[])

    assert made.answers == removed.answers == [DONE]
    assert added.endpoints == (A,)
    assert groups.all_of(OWNER) == []


def test_a_change_is_repeated_if_the_group_changed_meanwhile(
    groups: Groups, cell: Cell
):
    groups.add(OWNER, "g", [A])

    with before_next_call(cell.client, lambda: groups.add(OWNER, "g", [B])):
        groups.set_defaults(OWNER, "g", {"x": 1})

    group = groups.get(OWNER, "g")
    assert (group.endpoints, group.defaults) == ((A, B), {"x": 1})


def test_the_key_of_an_endpoint_depends_on_its_url_only():
    assert A.key == Endpoint(A.url, "other").key != B.key
    assert A.key.isalnum() and A.key == A.key.lower() and len(A.key) <= 16


@pytest.mark.parametrize("record", [b"", b"x", b"[]", b"{}", b'{"c":1,"u":1,"e":[1]}'])
def test_a_damaged_group_is_unreadable_and_reported_by_fsck(
    cell: Cell, groups: Groups, record: bytes
):
    with pytest.raises(UnreadableRecord):
        read_group("g", record)
    groups.add(OWNER, "good", [A])
    cell.client.hset(keys.groups(PREFIX, str(OWNER)), "g", record)

    [fault] = walk.check(cell)
    assert str(fault).startswith(f"groups:{OWNER} g: is not a readable group")


def test_fsck_reports_groups_without_an_owner(cell: Cell, groups: Groups):
    groups.add(OWNER, "g", [A])
    assert walk.check(cell) == []
    cell.client.delete(keys.owners(PREFIX))

    [fault] = walk.check(cell)
    assert fault.key == f"groups:{OWNER}"
