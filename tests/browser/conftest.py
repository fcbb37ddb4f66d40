"""Fixtures: a running system, and Chromium, which fails tests on what it reports."""

import os
import pytest
import shutil
from collections.abc import Callable, Iterator
from playwright.sync_api import Browser
from qstash import QStash
from tests.browser.visits import CHROMIUM, Visit, chromium
from tests.clients.system import System, running
from tests.system.processes import free_port


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system with the built-in receiver."""
    system = System(tmp_path_factory.mktemp("browser") / "data", free_port())
    with running(system):
        yield system


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser; without it, tests are skipped, or fail in CI."""
    if shutil.which(CHROMIUM) is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is not installed; CI must run the browser tests")
        pytest.skip("needs chromium")
    with chromium() as browser:
        yield browser


@pytest.fixture
def new_visit(system: System, browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Open windows of the browser; none may have reported an error at the end."""
    visits: list[Visit] = []

    def visit(**options: object) -> Visit:
        visits.append(Visit(browser, system.credentials["QSTASH_URL"], **options))
        return visits[-1]

    yield visit
    for each in visits:
        each.close()
    assert [problem for each in visits for problem in each.problems] == []


@pytest.fixture
def tenant(system: System, request: pytest.FixtureRequest) -> dict[str, str]:
    """The credentials of a tenant of this test alone."""
    return system.new_tenant(request.node.name[:60])


@pytest.fixture
def visit(new_visit: Callable[..., Visit], tenant: dict[str, str]) -> Visit:
    """A window in which the tenant is signed in."""
    window = new_visit()
    window.sign_in(tenant["QSTASH_TOKEN"])
    return window


@pytest.fixture
def operator(new_visit: Callable[..., Visit], system: System) -> Visit:
    """A window in which an operator is signed in."""
    window = new_visit()
    window.sign_in(system.credentials["SCHEDULER_OPERATOR_TOKEN"])
    return window


@pytest.fixture
def client(tenant: dict[str, str]) -> QStash:
    """The official client of the tenant."""
    return QStash(tenant["QSTASH_TOKEN"], base_url=tenant["QSTASH_URL"])
