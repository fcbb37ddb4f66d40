"""Fixtures: one running system, and official clients of it."""

import asyncio
import os
import pytest
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from qstash import AsyncQStash, QStash
from tests.clients.node import Run
from tests.clients.publisher import BlockingClient, Publisher
from tests.clients.receivers import Destination, Receivers, serve_receivers
from tests.clients.system import System, running

HERE = Path(__file__).parent
# Tests with these fixtures wait until a new minute starts. The fixtures are set up
# before all tests, and the tests that use them run last.
MINUTE_FIXTURES = {"jiter_run", "minutely"}


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system, shared by all tests; a test may see data of other tests."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    system = System(tmp_path_factory.mktemp("clients") / "data", port)
    with running(system):
        yield system


@pytest.fixture(scope="session")
def node() -> str:
    """The path of node; without node, tests are skipped, or fail in CI."""
    path = shutil.which("node")
    if path is None and os.environ.get("CI") == "true":
        pytest.fail("node is not installed; CI must run the client tests")
    return path or pytest.skip("needs node")


@pytest.fixture(scope="session")
def jiter_run(system: System, node: str) -> Iterator[Run]:
    """The node tests of Jiter's client, running in the background."""
    foreign = {"JITER_FOREIGN_API_KEY": system.new_tenant("foreign")["JITER_API_KEY"]}
    run = Run(node, "jiter*.test.mjs", system.credentials | foreign)
    yield run
    run.stop()


@pytest.fixture(scope="session")
def minutely(
    system: System, receivers: Receivers, no_proxy: None
) -> tuple[str, Destination]:
    """The id and the destination of a schedule that runs when a minute starts."""
    environ, destination = system.credentials, receivers.new_destination()
    client = QStash(environ["QSTASH_TOKEN"], base_url=environ["QSTASH_URL"])
    schedule_id = client.schedule.create(
        destination=destination.url,
        cron="* * * * *",
        schedule_id="minutely",
        body="tick",
    )
    return schedule_id, destination


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests with `MINUTE_FIXTURES` last, so that they wait less."""
    last = [item for item in items if _uses_minute_fixture(item)]
    if last:
        first = [i for i in items if i.path.parent == HERE and i not in last]
        start = min(items.index(item) for item in first + last)
        others = [item for item in items if item not in first + last]
        items[:] = others[:start] + first + last + others[start:]


def _uses_minute_fixture(item: pytest.Item) -> bool:
    return not MINUTE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def start_minute_fixtures(request: pytest.FixtureRequest) -> None:
    """Set up the needed `MINUTE_FIXTURES` before all tests."""
    needed = {name for item in request.session.items for name in item.fixturenames}
    for name in sorted(MINUTE_FIXTURES & needed):
        request.getfixturevalue(name)


@pytest.fixture(scope="session")
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
    options = {"token": environ["QSTASH_TOKEN"], "base_url": environ["QSTASH_URL"]}
    if request.param == "sync":
        return Publisher(QStash(**options), environ)
    return Publisher(BlockingClient(AsyncQStash(**options), loop), environ)


@pytest.fixture(scope="session")
def receivers() -> Iterator[Receivers]:
    with serve_receivers() as receivers:
        yield receivers
