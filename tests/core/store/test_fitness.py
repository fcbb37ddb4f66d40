"""Tests of what a store must be like for a process to start, on a real server."""

import logging
import pytest
import redis
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from scheduler_api.core.errors import UnfitStore
from scheduler_api.core.store import fitness
from scheduler_api.core.store.connection import connect
from scheduler_api.settings import Settings
from tests.system.tls_proxy import tls_proxy
from tests.workers.http_client import hostile
from workers.bootstrap import start_process

# What the shared server of the tests has.
DEFAULTS = {"appendonly": "no", "save": "", "maxmemory-policy": "noeviction"}
SETTINGS = Settings(redis_url="redis://127.0.0.1:1/0", secret_key="k" * 32)
FORGETFUL = Settings(
    redis_url="redis://127.0.0.1:1/0", secret_key="k" * 32, allow_no_persistence=True
)


@pytest.fixture
def client(valkey: str) -> Iterator[redis.Redis]:
    """A client of a server whose configuration is restored afterwards."""
    with redis.Redis.from_url(valkey) as client:
        yield client
        for name, value in DEFAULTS.items():
            client.config_set(name, value)


@pytest.fixture
def without_config(client: redis.Redis, valkey: str) -> Iterator[redis.Redis]:
    """A client of a user who may not call CONFIG, as in hosted stores."""
    permissions = ("nopass", "~*", "&*", "+@all", "-config")
    client.execute_command("ACL", "SETUSER", "tenant", "on", *permissions)
    with redis.Redis.from_url(valkey, username="tenant", password="x") as limited:
        yield limited
    client.execute_command("ACL", "DELUSER", "tenant")


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_r10_a_store_that_may_evict_events_is_refused_by_name(
    client: redis.Redis, policy: str
):
    client.config_set("maxmemory-policy", policy)

    with pytest.raises(UnfitStore, match=rf"maxmemory-policy is {policy}.*noeviction"):
        fitness.check(client, FORGETFUL)


def test_r07_a_store_without_persistence_is_refused_unless_a_setting_allows_it(
    client: redis.Redis,
):
    with pytest.raises(UnfitStore, match=r"appendonly yes.*SCHED_ALLOW_NO_PERSISTENCE"):
        fitness.check(client, SETTINGS)

    assert fitness.check(client, FORGETFUL) == []


def test_a_store_with_an_append_only_file_is_accepted(losing_store):
    assert fitness.check(losing_store.client, SETTINGS) == []


def test_a_certificate_that_is_not_checked_is_a_warning(
    client: redis.Redis, tmp_path: Path
):
    authority = hostile.make_authority(tmp_path)
    port = client.connection_pool.connection_kwargs["port"]

    with tls_proxy(("127.0.0.1", port), authority.serve_as("localhost")) as own:
        checked = replace(FORGETFUL, redis_url=f"rediss://localhost:{own}/0")
        trusting = replace(checked, store_tls_verify=False)
        knowing = replace(checked, store_ca=authority.path)

        with pytest.raises(UnfitStore, match=r"SCHED_STORE_CA.*TLS_VERIFY=false"):
            fitness.check(connect(checked.store_url), checked)
        for settings, found in ((trusting, [fitness.UNVERIFIED]), (knowing, [])):
            client_of_it = connect(settings.store_url, max_connections=1)
            assert fitness.check(client_of_it, settings) == found


def test_snapshots_alone_are_a_warning(client: redis.Redis):
    client.config_set("save", "3600 1")

    assert fitness.check(client, SETTINGS) == [fitness.SNAPSHOTS]


def test_what_a_store_does_not_tell_is_a_warning(without_config: redis.Redis):
    [warning] = fitness.check(without_config, SETTINGS)

    assert "persistence" in warning


def test_r10_without_config_the_policy_is_read_from_info(
    client: redis.Redis, without_config: redis.Redis
):
    client.config_set("maxmemory-policy", "allkeys-lru")

    with pytest.raises(UnfitStore, match="allkeys-lru"):
        fitness.check(without_config, SETTINGS)


def test_r10_a_process_ends_on_a_store_that_may_evict_events(
    client: redis.Redis,
    valkey: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setenv("REDIS_URL", valkey)
    monkeypatch.setenv("SECRET_KEY", "k" * 32)
    monkeypatch.setattr(logging.root, "handlers", [caplog.handler])
    client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(SystemExit) as end:
        start_process("ticker")

    assert end.value.code == 1
    assert "store.unfit" in caplog.text


def test_a_process_starts_while_the_store_is_away(
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port}/0")
    monkeypatch.setenv("SECRET_KEY", "k" * 32)
    monkeypatch.setattr(logging.root, "handlers", [caplog.handler])

    start_process("ticker")

    assert "store.unreachable" in caplog.text
