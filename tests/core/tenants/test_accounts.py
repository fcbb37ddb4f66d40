"""Tenants: found by their token, their secrets unreadable in the store."""

import base64
import pytest
import redis
from concurrent.futures import ThreadPoolExecutor
from scheduler_api.core.errors import Conflict, NotFound
from scheduler_api.core.fsck import walk
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Account, SigningKeys, Tenant, Tenants
from scheduler_api.core.tenants.encryption import WrongSecretKey

PREFIX = "{s1}:"
SECRET_KEY = "a secret key of the tests"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@pytest.fixture
def tenants(store_client: redis.Redis) -> Tenants:
    return Tenants(Cell(store_client, PREFIX), secret_key=SECRET_KEY)


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
        signing = new.signing
        secrets += [signing.jiter, signing.qstash_current, signing.qstash_next]
        secrets.append(signing.events_v1)
    assert len(set(secrets)) == len(secrets)


def test_qstash_keys_look_as_its_clients_expect(tenants: Tenants):
    signing = tenants.create("first").signing

    for key in (signing.qstash_current, signing.qstash_next):
        assert key.startswith("sig_")
        assert key[4:].isalnum()
        assert len(key) == 32


def test_the_v1_secret_is_spelt_as_standard_webhooks_spells_it(tenants: Tenants):
    secret = tenants.create("first").signing.events_v1

    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret[6:], validate=True)) == 32


def test_a_tenant_from_before_the_v1_secret_gets_one_that_stays(
    tenants: Tenants, store_client: redis.Redis
):
    new = tenants.create("old")
    store_client.hdel(keys.tenant(PREFIX, new.id), "events_v1")

    first = tenants.signing(new.id)

    assert first.events_v1.startswith("whsec_")
    assert first.jiter == new.signing.jiter
    assert tenants.signing(new.id) == first


def test_an_application_is_registered_once(tenants: Tenants):
    tenants.create("app")
    first = tenants.register("app")

    with pytest.raises(Conflict):
        tenants.register("app")
    assert tenants.by_token(first.token) == Tenant(first.id)
    assert tenants.register("App").id != first.id
    assert len(tenants.all_ids()) == 3


def test_of_many_who_register_a_name_at_once_one_gets_it(
    tenants: Tenants, store_client: redis.Redis
):
    def register(_: int) -> str:
        try:
            return tenants.register("app").id
        except Conflict:
            return ""

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(register, range(16)))

    assert tenants.all_ids() == [i for i in ids if i]
    assert walk.check(Cell(store_client, PREFIX)) == []


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
        new.signing.events_v1,
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
    stranger = Tenants(Cell(store_client, PREFIX), secret_key="another key altogether")

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
        tenants = Tenants(Cell(client, PREFIX), secret_key=SECRET_KEY)
        token = tenants.create("first").token
        before = client.info("stats")["total_commands_processed"]

        tenants.by_token(token)

        after = client.info("stats")["total_commands_processed"]
    assert after - before == 2


def test_another_secret_key_is_told_before_anything_is_signed(
    store_client: redis.Redis,
) -> None:
    Tenants(Cell(store_client, "{s1}:"), secret_key="a" * 32).create("Ada")

    Tenants(Cell(store_client, "{s1}:"), secret_key="a" * 32).check_key()
    with pytest.raises(WrongSecretKey):
        Tenants(Cell(store_client, "{s1}:"), secret_key="b" * 32).check_key()


def age(client: redis.Redis, tenant_id: str, by_ms: int) -> None:
    """Makes the last rotation lie further back."""
    client.hincrby(keys.tenant(PREFIX, tenant_id), "qr", -by_ms)


def pair(signing: SigningKeys) -> tuple[str, str]:
    return signing.qstash_current, signing.qstash_next


def verify(handed_out: tuple[str, str], signing: SigningKeys) -> bool:
    """Whether a receiver with that pair accepts what is signed now."""
    return signing.qstash_current in handed_out


def test_first_rotation_signs_with_what_both_pairs_share(tenants: Tenants):
    new = tenants.create("first")
    rotation = tenants.rotate_qstash(new.id, grace_ms=DAY_MS)

    assert rotation.signing == tenants.signing(new.id)
    assert rotation.signing.jiter == new.signing.jiter
    assert rotation.signing.qstash_current == new.signing.qstash_next
    assert rotation.signing.qstash_next not in pair(new.signing)
    assert (rotation.whole, rotation.breaks_before_ms) == (True, None)


@pytest.mark.parametrize("hours", [0, 1, 5, 13, 23])
def test_every_pair_verifies_for_a_day_after_it_was_replaced(
    tenants: Tenants, store_client: redis.Redis, hours: int
):
    new = tenants.create("first")
    handed_out = [pair(new.signing)]
    for _ in range(4):
        signing = tenants.rotate_qstash(new.id, grace_ms=DAY_MS).signing
        handed_out.append(pair(signing))
        assert all(verify(each, signing) for each in handed_out)
        age(store_client, new.id, hours * HOUR_MS)

    assert len(set(handed_out)) == 5


def test_rotations_a_day_apart_replace_both(
    tenants: Tenants, store_client: redis.Redis
):
    new = tenants.create("first")
    first = tenants.rotate_qstash(new.id, grace_ms=DAY_MS)
    age(store_client, new.id, DAY_MS)
    second = tenants.rotate_qstash(new.id, grace_ms=DAY_MS)

    assert second.whole
    assert second.signing.qstash_current == first.signing.qstash_next
    assert not verify(pair(new.signing), second.signing)
    assert second.breaks_before_ms == first.at_ms - DAY_MS


def test_forced_rotation_tells_which_pairs_break(tenants: Tenants):
    new = tenants.create("first")
    first = tenants.rotate_qstash(new.id, grace_ms=DAY_MS)
    second = tenants.rotate_qstash(new.id, grace_ms=DAY_MS)
    forced = tenants.rotate_qstash(new.id, grace_ms=DAY_MS, force=True)

    assert (first.whole, second.whole, forced.whole) == (True, False, True)
    assert forced.breaks_before_ms == second.at_ms
    kept = [new.signing, first.signing, second.signing]
    found = [verify(pair(signing), forced.signing) for signing in kept]
    assert found == [False, False, True]


def test_rotations_at_once_hand_out_only_pairs_that_verify(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        tenants = Tenants(Cell(client, PREFIX), secret_key=SECRET_KEY)
        new = tenants.create("first")

        def rotate(_: int) -> SigningKeys:
            return tenants.rotate_qstash(new.id, grace_ms=DAY_MS).signing

        with ThreadPoolExecutor(8) as pool:
            handed_out = list(pool.map(rotate, range(24)))
        last = tenants.signing(new.id)

    assert len({signing.qstash_next for signing in handed_out}) == 24
    assert all(verify(pair(signing), last) for signing in [new.signing, *handed_out])


def test_unknown_tenant_has_nothing_to_rotate(
    tenants: Tenants, store_client: redis.Redis
):
    with pytest.raises(NotFound):
        tenants.rotate_qstash("7", grace_ms=DAY_MS)
    assert not store_client.exists(keys.tenant(PREFIX, "7"))
