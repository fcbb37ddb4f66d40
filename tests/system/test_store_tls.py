"""Test of a system whose store has a certificate of an authority of its own."""

import pytest
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tests.procfile import PROCFILE
from tests.system.cell import Cell
from tests.system.processes import ROOT, wait_until
from tests.system.tls_proxy import tls_proxy
from tests.workers.http_client import hostile

pytestmark = pytest.mark.slow

SETTINGS = "SCHED_STORE_CA to a PEM file of the authority that signed it, or"
REFUSAL = f"the certificate of the store is refused: .*; set {SETTINGS}"


@pytest.fixture
def cell(new_cell: Callable[..., Cell]) -> Cell:
    return new_cell()


@pytest.fixture
def authority(tmp_path: Path) -> hostile.Authority:
    return hostile.make_authority(tmp_path)


@pytest.fixture
def url(cell: Cell, authority: hostile.Authority) -> Iterator[str]:
    """The URL of the store with TLS."""
    [(host, port)] = cell.settings.store_addresses
    with tls_proxy((host, port), authority.serve_as("localhost")) as own:
        address = cell.settings.redis_url.replace(f"{host}:{port}", f"localhost:{own}")
        yield address.replace("redis://", "rediss://")


def list_tenants(cell: Cell, **settings: str) -> tuple[int, str]:
    """Run a command; return its exit code and its output."""
    result = subprocess.run(
        [sys.executable, "-m", "scheduler_api", "tenant", "list"],
        cwd=ROOT,
        env=cell.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout + result.stderr


def test_all_processes_take_the_certificate_of_a_store_only_as_set(
    cell: Cell, url: str, authority: hostile.Authority
):
    tls = {"REDIS_URL": url, "RQ_CONNECTION_CLASS": "workers.StoreClient"}

    # While gunicorn stops because of one worker, the exit of another one makes it print
    # a traceback.
    cell.launch(*PROCFILE, **tls, SCHED_WEB_WORKERS="1")
    for role in PROCFILE:
        assert cell[role].wait() != 0
        output = cell[role].output
        assert re.search(REFUSAL, output) and "Traceback" not in output, output
    code, output = list_tenants(cell, **tls)
    assert code != 0 and re.search(REFUSAL, output), output

    cell.start(*PROCFILE, **tls, SCHED_STORE_CA=authority.path)
    assert cell.post("one", in_ms=500).status == 200
    wait_until(lambda: cell.receiver.count("one"))
    code, output = list_tenants(cell, **tls, SCHED_STORE_TLS_VERIFY="false")
    assert code == 0 and "one" in output, output
