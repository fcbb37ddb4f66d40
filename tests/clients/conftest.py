"""One running system for the tests of all official clients, and node to run theirs."""

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
from tests.clients.publisher import Blocking, Publisher
from tests.clients.receivers import Receivers, Spot, receiving
from tests.clients.system import System, running

HERE = Path(__file__).parent
WAITING = {"jiter_run", "minutely"}


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


@pytest.fixture(scope="session")
def jiter_run(system: System, node: str) -> Iterator[Run]:
    """The tests of Jiter's client, of which one waits for a full minute."""
    foreign = {"JITER_FOREIGN_API_KEY": system.new_tenant("foreign")["JITER_API_KEY"]}
    run = Run(node, "jiter*.test.mjs", system.credentials | foreign)
    yield run
    run.end()


@pytest.fixture(scope="session")
def minutely(system: System, receivers: Receivers, no_proxy: None) -> tuple[str, Spot]:
    """A schedule of the first tenant, which runs at every full minute."""
    environ, spot = system.credentials, receivers.spot()
    client = QStash(environ["QSTASH_TOKEN"], base_url=environ["QSTASH_URL"])
    schedule_id = client.schedule.create(
        destination=spot.url, cron="* * * * *", schedule_id="minutely", body="tick"
    )
    return schedule_id, spot


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for a full minute comes last, so that the others give it the time."""
    waiting = [item for item in items if _waits(item)]
    if waiting:
        ours = [item for item in items if item.path.parent == HERE and not _waits(item)]
        first = min(items.index(item) for item in ours + waiting)
        others = [item for item in items if item not in ours + waiting]
        items[:] = others[:first] + ours + waiting + others[first:]


def _waits(item: pytest.Item) -> bool:
    return not WAITING.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def begun_early(request: pytest.FixtureRequest) -> None:
    """Begins what waits for a full minute before everything else."""
    wanted = {name for item in request.session.items for name in item.fixturenames}
    for name in sorted(WAITING & wanted):
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
    words = {"token": environ["QSTASH_TOKEN"], "base_url": environ["QSTASH_URL"]}
    if request.param == "sync":
        return Publisher(QStash(**words), environ)
    return Publisher(Blocking(AsyncQStash(**words), loop), environ)


@pytest.fixture(scope="session")
def receivers() -> Iterator[Receivers]:
    with receiving() as receivers:
        yield receivers
