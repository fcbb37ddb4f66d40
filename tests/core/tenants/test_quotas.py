"""Tests of quotas: counts of requests and events, and their limits."""

import pytest
import redis
from scheduler_api.core.model import Owner
from scheduler_api.core.settings.limits import OwnerQuotas
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.quotas import OverQuota, Quotas

OWNER, OTHER = Owner("1", "jiter"), Owner("2", "jiter")
PREFIX = "{t}:"
MINUTE_MS = 60_000
JULY_MS = 13_522_031_999_999  # 2398-06-30T23:59:59.999Z, just before July


def _quotas(client: redis.Redis, now_ms: int = MINUTE_MS * 10) -> Quotas:
    return Quotas(Cell(client, PREFIX, clock_ms=now_ms))


def test_requests_over_the_limit_of_their_minute_are_refused(
    store_client: redis.Redis,
) -> None:
    quotas = _quotas(store_client)
    for _ in range(3):
        quotas.count_request(OWNER, limit=3)

    with pytest.raises(OverQuota):
        quotas.count_request(OWNER, limit=3)
    quotas.count_request(OTHER, limit=3)
    _quotas(store_client, MINUTE_MS * 11).count_request(OWNER, limit=3)


def test_the_count_of_requests_expires(store_client: redis.Redis) -> None:
    _quotas(store_client).count_request(OWNER, limit=3)

    assert 0 < store_client.ttl(keys.requests(PREFIX, str(OWNER), 10)) <= 120


def test_what_is_counted_is_that_of_this_minute_and_this_month(
    store_client: redis.Redis,
) -> None:
    quotas = _quotas(store_client, JULY_MS)
    for _ in range(2):
        quotas.count_request(OWNER, limit=9)
    for at_ms in (JULY_MS - 1, JULY_MS, JULY_MS, JULY_MS + 1):
        quotas.count_event(OWNER, at_ms, limit=9)

    later = _quotas(store_client, JULY_MS + 1)

    assert quotas.counted(OWNER) == OwnerQuotas(2, 3)
    assert later.counted(OWNER) == OwnerQuotas(0, 1)
    assert quotas.counted(OTHER) == OwnerQuotas(0, 0)


def test_nothing_is_counted_without_a_limit(store_client: redis.Redis) -> None:
    quotas = _quotas(store_client)

    quotas.count_request(OWNER, limit=0)
    quotas.count_event(OWNER, JULY_MS, limit=0)
    quotas.uncount_event(OWNER, JULY_MS, limit=0)

    assert store_client.keys("*") == []


def test_a_refused_event_is_not_counted(store_client: redis.Redis) -> None:
    quotas = _quotas(store_client)
    quotas.count_event(OWNER, JULY_MS, limit=1)
    for _ in range(3):
        with pytest.raises(OverQuota):
            quotas.count_event(OWNER, JULY_MS, limit=1)

    quotas.uncount_event(OWNER, JULY_MS, limit=1)

    quotas.count_event(OWNER, JULY_MS, limit=1)


def test_months_and_owners_are_counted_separately(store_client: redis.Redis) -> None:
    quotas = _quotas(store_client)

    quotas.count_event(OWNER, JULY_MS, limit=1)
    quotas.count_event(OWNER, JULY_MS + 1, limit=1)
    quotas.count_event(OTHER, JULY_MS, limit=1)

    assert store_client.get(keys.month(PREFIX, str(OWNER), "2398-06")) == b"1"
    assert store_client.get(keys.month(PREFIX, str(OWNER), "2398-07")) == b"1"


def test_a_count_expires_32_days_after_its_latest_event(
    store_client: redis.Redis,
) -> None:
    quotas, key = _quotas(store_client), keys.month(PREFIX, str(OWNER), "2398-06")

    quotas.count_event(OWNER, JULY_MS, limit=5)
    longest = store_client.pexpiretime(key)
    quotas.count_event(OWNER, JULY_MS - 86_400_000, limit=5)

    assert store_client.pexpiretime(key) == longest == JULY_MS + 32 * 86_400_000


def test_undoing_an_uncounted_event_leaves_a_count_that_expires(
    store_client: redis.Redis,
) -> None:
    _quotas(store_client).uncount_event(OWNER, JULY_MS, limit=5)

    key = keys.month(PREFIX, str(OWNER), "2398-06")
    assert store_client.pexpiretime(key) == JULY_MS + 32 * 86_400_000
