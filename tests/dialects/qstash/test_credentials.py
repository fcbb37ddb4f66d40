"""Tests of the signing keys of a tenant, and of their rotation."""

import pytest
import redis
from concurrent.futures import ThreadPoolExecutor
from scheduler_api.core.errors import NotFound
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.outbound import SECRETS
from scheduler_api.dialects.qstash.credentials import CURRENT_KEY, NEXT_KEY, rotate

PREFIX = "{s1}:"
SECRET_KEY = "a secret key of the tests"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@pytest.fixture
def tenants(store_client: redis.Redis) -> Tenants:
    return Tenants(Cell(store_client, PREFIX), secret_key=SECRET_KEY, makers=SECRETS)


def test_keys_have_the_format_that_clients_expect(tenants: Tenants):
    secrets = tenants.create("first").secrets

    for key in (secrets[CURRENT_KEY], secrets[NEXT_KEY]):
        assert key.startswith("sig_")
        assert key[4:].isalnum()
        assert len(key) == 32


def age_rotation(client: redis.Redis, tenant_id: str, by_ms: int) -> None:
    """Move the time of the last rotation `by_ms` milliseconds into the past."""
    client.hincrby(keys.tenant(PREFIX, tenant_id), "qstash.rotated", -by_ms)


def pair(secrets: Secrets) -> tuple[str, str]:
    return secrets[CURRENT_KEY], secrets[NEXT_KEY]


def verify(issued: tuple[str, str], secrets: Secrets) -> bool:
    """Return whether a receiver that has the keys `issued` accepts new signatures.

    New deliveries are signed with the current key in `secrets`.
    """
    return secrets[CURRENT_KEY] in issued


def test_after_the_first_rotation_the_old_and_the_new_pair_verify(tenants: Tenants):
    new = tenants.create("first")
    rotation = rotate(tenants, new.id, grace_ms=DAY_MS)

    assert rotation.secrets == tenants.secrets(new.id)
    assert rotation.secrets["jiter.signing"] == new.secrets["jiter.signing"]
    assert rotation.secrets[CURRENT_KEY] == new.secrets[NEXT_KEY]
    assert rotation.secrets[NEXT_KEY] not in pair(new.secrets)
    assert (rotation.replaced_both, rotation.breaks_before_ms) == (True, None)


@pytest.mark.parametrize("hours", [0, 1, 5, 13, 23])
def test_a_replaced_pair_verifies_for_another_day(
    tenants: Tenants, store_client: redis.Redis, hours: int
):
    new = tenants.create("first")
    issued = [pair(new.secrets)]
    for _ in range(4):
        secrets = rotate(tenants, new.id, grace_ms=DAY_MS).secrets
        issued.append(pair(secrets))
        assert all(verify(each, secrets) for each in issued)
        age_rotation(store_client, new.id, hours * HOUR_MS)

    assert len(set(issued)) == 5


def test_rotations_a_day_apart_replace_both_keys(
    tenants: Tenants, store_client: redis.Redis
):
    new = tenants.create("first")
    first = rotate(tenants, new.id, grace_ms=DAY_MS)
    age_rotation(store_client, new.id, DAY_MS)
    second = rotate(tenants, new.id, grace_ms=DAY_MS)

    assert second.replaced_both
    assert second.secrets[CURRENT_KEY] == first.secrets[NEXT_KEY]
    assert not verify(pair(new.secrets), second.secrets)
    assert second.breaks_before_ms == first.at_ms - DAY_MS


def test_a_forced_rotation_reports_which_pairs_break(tenants: Tenants):
    new = tenants.create("first")
    first = rotate(tenants, new.id, grace_ms=DAY_MS)
    second = rotate(tenants, new.id, grace_ms=DAY_MS)
    forced = rotate(tenants, new.id, grace_ms=DAY_MS, force=True)

    assert (first.replaced_both, second.replaced_both) == (True, False)
    assert forced.replaced_both
    assert forced.breaks_before_ms == second.at_ms
    kept = [new.secrets, first.secrets, second.secrets]
    found = [verify(pair(secrets), forced.secrets) for secrets in kept]
    assert found == [False, False, True]


def test_pairs_from_concurrent_rotations_all_verify(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        tenants = Tenants(Cell(client, PREFIX), secret_key=SECRET_KEY, makers=SECRETS)
        new = tenants.create("first")

        def rotate_once(_: int) -> Secrets:
            return rotate(tenants, new.id, grace_ms=DAY_MS).secrets

        with ThreadPoolExecutor(8) as pool:
            issued = list(pool.map(rotate_once, range(24)))
        last = tenants.secrets(new.id)

    assert len({secrets[NEXT_KEY] for secrets in issued}) == 24
    assert all(verify(pair(secrets), last) for secrets in [new.secrets, *issued])


def test_rotating_the_keys_of_an_unknown_tenant_fails(
    tenants: Tenants, store_client: redis.Redis
):
    with pytest.raises(NotFound):
        rotate(tenants, "7", grace_ms=DAY_MS)
    assert not store_client.exists(keys.tenant(PREFIX, "7"))
