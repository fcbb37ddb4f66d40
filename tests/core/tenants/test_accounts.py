"""Tests of tenants: their tokens, and their encrypted secrets."""

import itertools
import pytest
import redis
from concurrent.futures import ThreadPoolExecutor
from redis.client import Pipeline
from scheduler_api.core.errors import Conflict, NotFound
from scheduler_api.core.fsck import walk
from scheduler_api.core.settings.limits import TenantLimits
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Account, Tenants
from scheduler_api.core.tenants.encryption import WrongSecretKey
from scheduler_api.core.tenants.limits import Limits
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.core.tenants.tokens import FIRST, Access

PREFIX = "{s1}:"
SECRET_KEY = "a secret key of the tests"
NUMBERS = itertools.count()
MAKERS = {
    name: lambda: f"secret {next(NUMBERS)}" for name in ("one.signing", "two.signing")
}


@pytest.fixture
def tenants(store_client: redis.Redis) -> Tenants:
    return Tenants(Cell(store_client, PREFIX), secret_key=SECRET_KEY, makers=MAKERS)


def store_contents(client: redis.Redis) -> str:
    contents = []
    for key in client.scan_iter():
        kind = client.type(key)
        contents += [key, client.hgetall(key)] if kind == b"hash" else [key]
    return repr(contents)


def test_a_tenant_is_found_by_its_token(tenants: Tenants):
    first, second = tenants.create("first"), tenants.create("second")

    assert tenants.tokens.find(first.token) == Access(first.id, FIRST, read_only=False)
    assert tenants.tokens.find(second.token) == Access(
        second.id, FIRST, read_only=False
    )


@pytest.mark.parametrize("token", ["", "sched_", "é", "\ud800", "a" * 100_000])
def test_no_tenant_is_found_by_an_unknown_token(tenants: Tenants, token: str):
    tenants.create("first")

    assert tenants.tokens.find(token) is None


def test_ids_are_ascending_numbers(tenants: Tenants):
    made = [tenants.create("again").id for _ in range(11)]

    assert made == [str(number) for number in range(1, 12)]
    assert tenants.all_ids() == made


def test_secrets_are_read_as_they_were_created(tenants: Tenants):
    new = tenants.create("first")

    assert set(new.secrets.by_name) == set(MAKERS)
    assert tenants.secrets(new.id) == new.secrets


def test_two_tenants_share_no_secret(tenants: Tenants):
    one, two = tenants.create("first"), tenants.create("first")

    secrets = [one.token, two.token]
    for new in (one, two):
        secrets += new.secrets.by_name.values()
    assert len(set(secrets)) == len(secrets)


def test_a_missing_secret_is_created_once(tenants: Tenants, store_client: redis.Redis):
    new = tenants.create("old")
    store_client.hdel(keys.tenant(PREFIX, new.id), "two.signing")

    first = tenants.secrets(new.id)

    assert first["two.signing"].startswith("secret")
    assert first["one.signing"] == new.secrets["one.signing"]
    assert tenants.secrets(new.id) == first


def test_concurrent_readers_of_a_missing_secret_get_the_same_one(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        tenants = Tenants(Cell(client, PREFIX), secret_key=SECRET_KEY, makers=MAKERS)
        new = tenants.create("old")
        client.hdel(keys.tenant(PREFIX, new.id), *MAKERS)

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: tenants.secrets(new.id), range(16)))

    assert found == [found[0]] * 16


def test_a_rotation_replaces_the_named_secrets_and_keeps_the_others(tenants: Tenants):
    new = tenants.create("first")

    def swap(old: Secrets, last_ms: int | None, _now_ms: int) -> dict[str, str]:
        return {"one.signing": f"after {last_ms}"}

    first = tenants.rotate(new.id, "one", swap)
    second = tenants.rotate(new.id, "one", swap)
    other = tenants.rotate(new.id, "two", swap)

    assert first.secrets["one.signing"] == "after None"
    assert second.secrets["one.signing"] == f"after {first.at_ms}"
    assert (second.last_ms, other.last_ms) == (first.at_ms, None)
    assert other.secrets == tenants.secrets(new.id)
    assert other.secrets["two.signing"] == new.secrets["two.signing"]


def test_secrets_of_an_unknown_tenant_cannot_be_rotated(
    tenants: Tenants, store_client: redis.Redis
):
    with pytest.raises(NotFound):
        tenants.rotate("7", "one", lambda *_: {"one.signing": "x"})
    assert not store_client.exists(keys.tenant(PREFIX, "7"))


def test_an_application_is_registered_once(tenants: Tenants):
    tenants.create("app")
    first = tenants.register("app")

    with pytest.raises(Conflict):
        tenants.register("app")
    assert tenants.tokens.find(first.token) == Access(first.id, FIRST, read_only=False)
    assert tenants.register("App").id != first.id
    assert len(tenants.all_ids()) == 3


def test_one_of_many_concurrent_registrations_of_a_name_succeeds(
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


def test_tokens_are_long_and_url_safe(tenants: Tenants):
    token = tenants.create("first").token

    assert len(token) >= 32
    assert token.replace("-", "").replace("_", "").isalnum()


def test_the_store_contains_no_secret_in_plain_text(
    tenants: Tenants, store_client: redis.Redis
):
    new = tenants.create("first")

    stored = store_contents(store_client)
    assert new.id in stored
    for secret in (new.token, *new.secrets.by_name.values()):
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


def test_reading_secrets_with_another_secret_key_fails(
    tenants: Tenants, store_client: redis.Redis
):
    new = tenants.create("first")
    other = Tenants(
        Cell(store_client, PREFIX), secret_key="another key altogether", makers=MAKERS
    )

    with pytest.raises(WrongSecretKey):
        other.secrets(new.id)


def test_an_unknown_tenant_has_no_secrets(tenants: Tenants):
    with pytest.raises(NotFound):
        tenants.secrets("7")


def test_accounts_are_listed_oldest_first(tenants: Tenants):
    tenants.create("first")
    tenants.create("second")

    accounts = tenants.accounts()
    assert [account.name for account in accounts] == ["first", "second"]
    assert isinstance(accounts[0], Account)
    assert 0 <= accounts[1].created_at_ms - accounts[0].created_at_ms < 60_000


def test_finding_a_tenant_takes_one_round_trip(valkey: str):
    with redis.Redis.from_url(valkey, protocol=2) as client:
        tenants = Tenants(Cell(client, PREFIX), secret_key=SECRET_KEY, makers=MAKERS)
        token = tenants.create("first").token
        before = client.info("stats")["total_commands_processed"]

        tenants.tokens.find(token)

        after = client.info("stats")["total_commands_processed"]
    assert after - before == 2


def test_check_key_detects_another_secret_key(
    store_client: redis.Redis,
) -> None:
    Tenants(Cell(store_client, "{s1}:"), secret_key="a" * 32, makers=MAKERS).create(
        "Ada"
    )

    Tenants(Cell(store_client, "{s1}:"), secret_key="a" * 32, makers=MAKERS).check_key()
    with pytest.raises(WrongSecretKey):
        Tenants(
            Cell(store_client, "{s1}:"), secret_key="b" * 32, makers=MAKERS
        ).check_key()


def test_a_removed_tenant_gets_no_token_limit_or_secret(
    tenants: Tenants, store_client: redis.Redis
):
    new = tenants.create("first")
    limits = Limits(Cell(store_client, PREFIX), TenantLimits(), ())
    tenants.begin_removal(new.id, by="test")
    for _ in range(2):
        with pytest.raises(NotFound):
            tenants.tokens.create(new.id, "late")
        with pytest.raises(NotFound):
            limits.set(new.id, {"pending_events": 5}, by="test")
        with pytest.raises(NotFound):
            tenants.rotate(new.id, "one", lambda *_: {"one.signing": "x"})
        tenants.end_removal(new.id)


@pytest.mark.parametrize(("late", "name"), [("create", "ci"), ("rotate", FIRST)])
def test_no_token_that_is_made_while_a_removal_begins_outlives_it(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch, late: str, name: str
):
    new, made = tenants.create("first"), list[str]()
    revoke_all = tenants.tokens.revoke_all

    def make_then_revoke(pipe: Pipeline, tenant: str) -> None:
        revoke_all(pipe, tenant)
        if not made:
            made.append(getattr(tenants.tokens, late)(new.id, name))

    monkeypatch.setattr(tenants.tokens, "revoke_all", make_then_revoke)
    tenants.begin_removal(new.id, by="test")

    assert made
    assert tenants.tokens.find(made[0]) is None
