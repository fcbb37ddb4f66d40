"""Tenants: found by their token, their secrets unreadable in the store."""

import pytest
import redis
from scheduler_api.core.errors import NotFound
from scheduler_api.core.sealing import WrongSecretKey
from scheduler_api.core.tenants import Account, Tenant, Tenants

PREFIX = "{s1}:"
SECRET_KEY = "a secret key of the tests"


@pytest.fixture
def tenants(store_client: redis.Redis) -> Tenants:
    return Tenants(store_client, PREFIX, secret_key=SECRET_KEY)


def whole_store(client: redis.Redis) -> str:
    seen = []
    for key in client.scan_iter():
        kind = client.type(key)
        seen += [key, client.hgetall(key)] if kind == b"hash" else [key]
    return repr(seen)


def test_a_tenant_is_found_by_its_token(tenants: Tenants):
    first, second = tenants.create("first"), tenants.create("second")

    assert tenants.by_token(first.token) == Tenant(first.id)
    assert tenants.by_token(second.token) == Tenant(second.id)


@pytest.mark.parametrize("token", ["", "sched_", "é", "\ud800", "a" * 100_000])
def test_another_token_finds_nobody(tenants: Tenants, token: str):
    tenants.create("first")

    assert tenants.by_token(token) is None


def test_ids_are_short_and_ascend(tenants: Tenants):
    made = [tenants.create("again").id for _ in range(11)]

    assert made == [str(number) for number in range(1, 12)]
    assert tenants.all_ids() == made


def test_signing_keys_come_back(tenants: Tenants):
    new = tenants.create("first")

    assert tenants.signing(new.id) == new.signing


def test_two_tenants_share_no_secret(tenants: Tenants):
    one, two = tenants.create("first"), tenants.create("first")

    secrets = [one.token, two.token]
    for new in (one, two):
        keys = new.signing
        secrets += [keys.jiter, keys.qstash_current, keys.qstash_next]
    assert len(set(secrets)) == len(secrets)


def test_qstash_keys_look_as_its_clients_expect(tenants: Tenants):
    signing = tenants.create("first").signing

    for key in (signing.qstash_current, signing.qstash_next):
        assert key.startswith("sig_")
        assert key[4:].isalnum()
        assert len(key) == 32


def test_tokens_are_long_and_plain_words(tenants: Tenants):
    token = tenants.create("first").token

    assert len(token) >= 32
    assert token.replace("-", "").replace("_", "").isalnum()


def test_the_store_holds_no_secret_in_plain_text(
    tenants: Tenants, store_client: redis.Redis
):
    new = tenants.create("first")

    stored = whole_store(store_client)
    assert new.id in stored
    for secret in (
        new.token,
        new.signing.jiter,
        new.signing.qstash_current,
        new.signing.qstash_next,
    ):
        assert secret not in stored
        assert secret not in repr(new)


def test_every_record_has_a_format_number(tenants: Tenants, store_client: redis.Redis):
    tenants.create("first")

    formats = [
        store_client.hget(key, "f")
        for key in store_client.scan_iter()
        if store_client.type(key) == b"hash"
    ]
    assert formats == [b"1", b"1"]


def test_another_secret_key_is_told_apart(tenants: Tenants, store_client: redis.Redis):
    new = tenants.create("first")
    stranger = Tenants(store_client, PREFIX, secret_key="another key altogether")

    with pytest.raises(WrongSecretKey):
        stranger.signing(new.id)


def test_an_unknown_tenant_has_no_keys(tenants: Tenants):
    with pytest.raises(NotFound):
        tenants.signing("7")


def test_accounts_are_listed_oldest_first(tenants: Tenants):
    tenants.create("first")
    tenants.create("second")

    accounts = tenants.accounts()
    assert [account.name for account in accounts] == ["first", "second"]
    assert isinstance(accounts[0], Account)
    assert 0 <= accounts[1].created_at_ms - accounts[0].created_at_ms < 60_000


def test_finding_a_tenant_costs_one_round_trip(valkey: str):
    with redis.Redis.from_url(valkey, protocol=2) as client:
        tenants = Tenants(client, PREFIX, secret_key=SECRET_KEY)
        token = tenants.create("first").token
        before = client.info("stats")["total_commands_processed"]

        tenants.by_token(token)

        after = client.info("stats")["total_commands_processed"]
    assert after - before == 2


def test_another_secret_key_is_told_before_anything_is_signed(
    store_client: redis.Redis,
) -> None:
    Tenants(store_client, "{s1}:", secret_key="a" * 32).create("Ada")

    Tenants(store_client, "{s1}:", secret_key="a" * 32).check_key()
    with pytest.raises(WrongSecretKey):
        Tenants(store_client, "{s1}:", secret_key="b" * 32).check_key()
