"""One running system for the tests of all official clients, and node to run theirs."""

import asyncio
import os
import pytest
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from qstash import AsyncQStash, QStash
from tests.clients.publisher import Blocking, Publisher
from tests.clients.receivers import Receivers, receiving
from tests.clients.system import System, plain_environ, running

JS = Path(__file__).parents[1] / "js"


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that all tests share: what one of them stores, others may see."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    started = System(tmp_path_factory.mktemp("clients") / "data", port)
    with running(started):
        yield started


@pytest.fixture(scope="session")
def node() -> str:
    """The program; without it a test is skipped, but never in CI."""
    found = shutil.which("node")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("node is missing, and CI runs the client tests")
    return found or pytest.skip("needs node")


@pytest.fixture
def run_js_tests(node: str) -> Callable[[str, dict[str, str]], None]:
    """A function that runs files of tests/js, at the same time, with node's own runner.

    Its first argument is a pattern of their names. What the runner tells is printed, so
    that pytest shows it when one of their tests fails.
    """

    def run(pattern: str, environ: dict[str, str]) -> None:
        files = sorted(file.name for file in JS.glob(pattern))
        assert files, f"no file is called {pattern}"
        result = subprocess.run(
            [
                *(node, "--test", "--test-reporter=spec"),
                *(f"--test-concurrency={len(files)}", *files),
            ],
            cwd=JS,
            env=plain_environ() | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
        )
        print(result.stdout)
        assert result.returncode == 0, "some of node's tests failed, see its output"

    return run


@pytest.fixture(scope="module")
def no_proxy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        yield


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module", params=["sync", "async"])
def qstash(
    request: pytest.FixtureRequest,
    system: System,
    loop: asyncio.AbstractEventLoop,
    no_proxy: None,
) -> Publisher:
    environ = system.new_tenant(f"qstash-{request.param}")
    words = {"token": environ["QSTASH_TOKEN"], "base_url": environ["QSTASH_URL"]}
    if request.param == "sync":
        return Publisher(QStash(**words), environ)
    return Publisher(Blocking(AsyncQStash(**words), loop), environ)


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    with receiving() as receivers:
        yield receivers
