"""From a token to its tenant."""

import pytest
import redis
from scheduler_api.auth import Auth, Unauthorized
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Tenants

SECRET_KEY = "0123456789abcdef"


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Counting(Tenants):
    """Counts how often the store is asked."""

    asked = 0

    def by_token(self, token: str):  # type: ignore[no-untyped-def]
        self.asked += 1
        return super().by_token(token)


@pytest.fixture
def tenants(store_client: redis.Redis) -> Counting:
    return Counting(Cell(store_client, "{t}:"), secret_key=SECRET_KEY)


def test_token_belongs_to_its_tenant(tenants: Counting) -> None:
    one, other = tenants.create("one"), tenants.create("other")
    auth = Auth(tenants)

    assert auth.tenant(one.token).id == one.id
    assert auth.tenant(other.token).id == other.id


@pytest.mark.parametrize("token", [None, "", "x", "é", "\ud83d", "\x00", "x" * 10_000])
def test_token_of_nobody_is_refused(tenants: Counting, token: str | None) -> None:
    tenants.create("one")

    with pytest.raises(Unauthorized):
        Auth(tenants).tenant(token)


def test_part_of_a_token_is_refused(tenants: Counting) -> None:
    token = tenants.create("one").token
    auth = Auth(tenants)
    auth.tenant(token)

    for wrong in (token[:-1], token + "x", token.upper(), f" {token}"):
        with pytest.raises(Unauthorized):
            auth.tenant(wrong)


def test_good_answer_is_remembered_for_five_seconds(tenants: Counting) -> None:
    token, clock = tenants.create("one").token, Clock()
    auth = Auth(tenants, clock=clock)
    for clock.now_s in (100.0, 101.0, 104.9):
        auth.tenant(token)
    asked_at_first = tenants.asked
    clock.now_s = 105.1
    auth.tenant(token)

    assert (asked_at_first, tenants.asked) == (1, 2)


def test_bad_answer_is_never_remembered(tenants: Counting) -> None:
    auth = Auth(tenants)
    for _ in range(3):
        with pytest.raises(Unauthorized):
            auth.tenant("nobody's")

    assert tenants.asked == 3


def test_revoked_token_is_refused_after_five_seconds(
    tenants: Counting, store_client: redis.Redis
) -> None:
    token, clock = tenants.create("one").token, Clock()
    auth = Auth(tenants, clock=clock)
    auth.tenant(token)
    store_client.flushall()

    clock.now_s += 5.1

    with pytest.raises(Unauthorized):
        auth.tenant(token)
