"""Tests of tokens: several per tenant, read-only ones, rotation and revocation."""

import pytest
import redis
from concurrent.futures import ThreadPoolExecutor
from scheduler_api.core.errors import Conflict, NotFound
from scheduler_api.core.fsck import walk
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.token_forms import digest
from scheduler_api.core.tenants.tokens import FIRST, GRACE_MS, Access, Tokens

PREFIX = "{s1}:"


@pytest.fixture
def tenants(store_client: redis.Redis) -> Tenants:
    return Tenants(Cell(store_client, PREFIX), secret_key="x" * 16, makers={})


@pytest.fixture
def tokens(tenants: Tenants) -> Tokens:
    return tenants.tokens


def names(tokens: Tokens, tenant: str | None) -> list[str]:
    return sorted(each.access.token for each in tokens.all_of(tenant))


def test_a_tenant_has_several_tokens(tenants: Tenants, tokens: Tokens):
    ada = tenants.create("Ada")
    ci = tokens.create(ada.id, "ci")
    reader = tokens.create(ada.id, "reader", read_only=True)

    assert tokens.find(ada.token) == Access(ada.id, FIRST, read_only=False)
    assert tokens.find(ci) == Access(ada.id, "ci", read_only=False)
    assert tokens.find(reader) == Access(ada.id, "reader", read_only=True)
    assert names(tokens, ada.id) == ["ci", FIRST, "reader"]


def test_an_operator_s_token_belongs_to_no_tenant(tenants: Tenants, tokens: Tokens):
    tenants.create("Ada")
    full = tokens.create(None, "ops")
    reader = tokens.create(None, "grafana", read_only=True)

    assert tokens.find(full) == Access(None, "ops", read_only=False)
    assert tokens.find(reader) == Access(None, "grafana", read_only=True)
    assert names(tokens, None) == ["grafana", "ops"]
    assert names(tokens, "1") == [FIRST]


@pytest.mark.parametrize(("tenant", "read_only"), [("1", True), (None, False)])
def test_an_earlier_version_refuses_the_new_kinds_of_tokens(
    store_client: redis.Redis, tokens: Tokens, tenant: str | None, read_only: bool
):
    token = tokens.create(tenant, "new", read_only=read_only)

    # Earlier versions read only this field, and give all rights to the tenant in it.
    assert store_client.hget(keys.token(PREFIX, digest(token)), "tn") is None


@pytest.mark.parametrize("tenant", ["1", None])
def test_a_name_is_given_once(tokens: Tokens, tenant: str | None):
    tokens.create(tenant, "ci")

    with pytest.raises(Conflict):
        tokens.create(tenant, "ci", read_only=True)
    tokens.create("2", "ci")


@pytest.mark.parametrize("tenant", ["1", None])
def test_a_revoked_token_is_unknown_and_the_others_are_not(
    tokens: Tokens, tenant: str | None
):
    kept, revoked = tokens.create(tenant, "kept"), tokens.create(tenant, "revoked")

    tokens.revoke(tenant, "revoked")

    assert tokens.find(revoked) is None
    assert tokens.find(kept) is not None
    assert names(tokens, tenant) == ["kept"]
    with pytest.raises(NotFound):
        tokens.revoke(tenant, "revoked")


def test_a_tenant_cannot_revoke_or_rotate_the_token_of_another(tokens: Tokens):
    token = tokens.create("1", "ci")

    for holder in ("2", None):
        with pytest.raises(NotFound):
            tokens.revoke(holder, "ci")
        with pytest.raises(NotFound):
            tokens.rotate(holder, "ci")
    assert tokens.find(token) is not None


@pytest.mark.parametrize("read_only", [True, False])
def test_a_rotated_token_is_valid_for_24_hours(
    store_client: redis.Redis, tokens: Tokens, read_only: bool
):
    old = tokens.create("1", "ci", read_only=read_only)
    new = tokens.rotate("1", "ci")

    assert tokens.find(old) == tokens.find(new) == Access("1", "ci", read_only)
    [first, second] = tokens.all_of("1")
    now_ms = Cell(store_client, PREFIX).now_ms()
    assert 0 <= now_ms + GRACE_MS - (first.ends_ms or 0) < 60_000
    assert second.ends_ms is None
    assert GRACE_MS == 24 * 3_600_000


def test_a_second_rotation_does_not_prolong_the_first_token(
    store_client: redis.Redis, tokens: Tokens
):
    first = tokens.create("1", "ci")
    second = tokens.rotate("1", "ci", grace_ms=60_000)
    third = tokens.rotate("1", "ci")

    ends_s = store_client.ttl(keys.token(PREFIX, digest(first)))
    assert 0 < ends_s <= 60
    assert tokens.find(second) == tokens.find(third)


def test_a_rotation_without_grace_ends_the_old_token(tokens: Tokens):
    old = tokens.create("1", "ci")
    new = tokens.rotate("1", "ci", grace_ms=0)

    assert (tokens.find(old), tokens.find(new)) == (None, Access("1", "ci", False))
    assert len(tokens.all_of("1")) == 1
    tokens.create("1", "other")


def test_revoking_a_rotated_token_revokes_what_it_replaced(tokens: Tokens):
    old = tokens.create("1", "ci")
    new = tokens.rotate("1", "ci")

    tokens.revoke("1", "ci")

    assert (tokens.find(old), tokens.find(new)) == (None, None)
    assert tokens.all_of("1") == []


def test_an_expired_token_leaves_the_index_at_the_next_change(
    store_client: redis.Redis, tokens: Tokens
):
    tokens.create("1", "ci")
    tokens.rotate("1", "ci", grace_ms=0)
    tokens.create("1", "other")

    assert store_client.zcard(keys.tokens(PREFIX, "1")) == 2


def test_the_token_of_an_earlier_version_is_listed_rotated_and_revoked(
    store_client: redis.Redis, tokens: Tokens
):
    for tenant, token in (("1", "sched_old"), ("2", "sched_other")):
        record = {"f": "1", "tn": tenant}
        store_client.hset(keys.token(PREFIX, digest(token)), mapping=record)

    assert names(tokens, "1") == [FIRST]
    tokens.create("1", "ci")
    assert names(tokens, "1") == ["ci", FIRST]
    tokens.rotate("1", FIRST, grace_ms=0)
    tokens.revoke("2", FIRST)

    assert (tokens.find("sched_old"), tokens.find("sched_other")) == (None, None)
    assert names(tokens, "1") == ["ci", FIRST]


def test_one_of_many_concurrent_creations_of_a_name_succeeds(
    store_client: redis.Redis, tokens: Tokens
):
    def create(_: int) -> bool:
        try:
            return tokens.find(tokens.create("1", "ci")) is not None
        except Conflict:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 1
    assert len(tokens.all_of("1")) == 1
    assert walk.check(Cell(store_client, PREFIX)) == []


def test_s29_the_store_contains_no_token(store_client: redis.Redis, tokens: Tokens):
    made = [tokens.create("1", "ci"), tokens.rotate("1", "ci")]

    stored = repr(
        [
            store_client.hgetall(key)
            if store_client.type(key) == b"hash"
            else store_client.zrange(key, 0, -1)
            for key in store_client.scan_iter()
        ]
    )
    assert "ci" in stored
    assert not any(token in stored for token in made)


def test_a_rotation_without_grace_also_ends_tokens_that_were_replaced_before(
    tokens: Tokens,
):
    first = tokens.create("1", "ci")
    second = tokens.rotate("1", "ci")
    third = tokens.rotate("1", "ci", grace_ms=0)

    assert tokens.find(first) is tokens.find(second) is None
    assert tokens.find(third) is not None
