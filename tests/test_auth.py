"""Tests of authentication: finding a tenant by its token."""

import pytest
import redis
from scheduler_api.auth import Auth, Unauthorized
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Tenants

SECRET_KEY = "0123456789abcdef"


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class CountingTenants(Tenants):
    """A `Tenants` that counts its lookups in the store."""

    lookups = 0

    def by_token(self, token: str):  # type: ignore[no-untyped-def]
        self.lookups += 1
        return super().by_token(token)


@pytest.fixture
def tenants(store_client: redis.Redis) -> CountingTenants:
    return CountingTenants(Cell(store_client, "{t}:"), secret_key=SECRET_KEY, makers={})


def test_a_token_identifies_its_tenant(tenants: CountingTenants) -> None:
    one, other = tenants.create("one"), tenants.create("other")
    auth = Auth(tenants)

    assert auth.tenant(one.token).id == one.id
    assert auth.tenant(other.token).id == other.id


@pytest.mark.parametrize("token", [None, "", "x", "é", "\ud83d", "\x00", "x" * 10_000])
def test_an_unknown_token_is_refused(
    tenants: CountingTenants, token: str | None
) -> None:
    tenants.create("one")

    with pytest.raises(Unauthorized):
        Auth(tenants).tenant(token)


def test_an_altered_token_is_refused(tenants: CountingTenants) -> None:
    token = tenants.create("one").token
    auth = Auth(tenants)
    auth.tenant(token)

    for wrong in (token[:-1], token + "x", token.upper(), f" {token}"):
        with pytest.raises(Unauthorized):
            auth.tenant(wrong)


def test_a_valid_token_is_cached_for_five_seconds(tenants: CountingTenants) -> None:
    token, clock = tenants.create("one").token, Clock()
    auth = Auth(tenants, clock=clock)
    for clock.now_s in (100.0, 101.0, 104.9):
        auth.tenant(token)
    lookups_within_5_s = tenants.lookups
    clock.now_s = 105.1
    auth.tenant(token)

    assert (lookups_within_5_s, tenants.lookups) == (1, 2)


def test_an_unknown_token_is_never_cached(tenants: CountingTenants) -> None:
    auth = Auth(tenants)
    for _ in range(3):
        with pytest.raises(Unauthorized):
            auth.tenant("nobody's")

    assert tenants.lookups == 3


def test_a_revoked_token_is_refused_after_five_seconds(
    tenants: CountingTenants, store_client: redis.Redis
) -> None:
    token, clock = tenants.create("one").token, Clock()
    auth = Auth(tenants, clock=clock)
    auth.tenant(token)
    store_client.flushall()

    clock.now_s += 5.1

    with pytest.raises(Unauthorized):
        auth.tenant(token)
