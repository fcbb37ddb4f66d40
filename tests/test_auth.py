"""Tests of authentication: finding a tenant by its token."""

import pytest
import redis
from scheduler_api.auth import Auth, Unauthorized
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.tokens import Tokens
from tests.clock import Clock

SECRET_KEY = "0123456789abcdef"


class CountingTokens(Tokens):
    """A `Tokens` that counts its lookups in the store."""

    lookups = 0

    def find(self, token: str):  # type: ignore[no-untyped-def]
        self.lookups += 1
        return super().find(token)


@pytest.fixture
def tenants(store_client: redis.Redis) -> Tenants:
    return Tenants(Cell(store_client, "{t}:"), secret_key=SECRET_KEY, makers={})


@pytest.fixture
def tokens(store_client: redis.Redis) -> CountingTokens:
    return CountingTokens(Cell(store_client, "{t}:"))


def test_a_token_identifies_its_tenant(
    tenants: Tenants, tokens: CountingTokens
) -> None:
    one, other = tenants.create("one"), tenants.create("other")
    auth = Auth(tokens)

    assert auth.access(one.token).tenant == one.id
    assert auth.access(other.token).tenant == other.id


@pytest.mark.parametrize("token", [None, "", "x", "é", "\ud83d", "\x00", "x" * 10_000])
def test_an_unknown_token_is_refused(
    tenants: Tenants, tokens: CountingTokens, token: str | None
) -> None:
    tenants.create("one")

    with pytest.raises(Unauthorized):
        Auth(tokens).access(token)


def test_an_altered_token_is_refused(tenants: Tenants, tokens: CountingTokens) -> None:
    token = tenants.create("one").token
    auth = Auth(tokens)
    auth.access(token)

    for wrong in (token[:-1], token + "x", token.upper(), f" {token}"):
        with pytest.raises(Unauthorized):
            auth.access(wrong)


def test_a_valid_token_is_cached_for_five_seconds(
    tenants: Tenants, tokens: CountingTokens
) -> None:
    token, clock = tenants.create("one").token, Clock(100.0)
    auth = Auth(tokens, clock=clock)
    for clock.now_s in (100.0, 101.0, 104.9):
        auth.access(token)
    lookups_within_5_s = tokens.lookups
    clock.now_s = 105.1
    auth.access(token)

    assert (lookups_within_5_s, tokens.lookups) == (1, 2)


def test_an_unknown_token_is_never_cached(
    tenants: Tenants, tokens: CountingTokens
) -> None:
    auth = Auth(tokens)
    for _ in range(3):
        with pytest.raises(Unauthorized):
            auth.access("nobody's")

    assert tokens.lookups == 3


def test_a_revoked_token_is_refused_after_five_seconds(
    tenants: Tenants, tokens: CountingTokens, store_client: redis.Redis
) -> None:
    token, clock = tenants.create("one").token, Clock(100.0)
    auth = Auth(tokens, clock=clock)
    auth.access(token)
    store_client.flushall()

    clock.now_s += 5.1

    with pytest.raises(Unauthorized):
        auth.access(token)
