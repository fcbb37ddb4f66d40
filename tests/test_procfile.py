"""Tests of the Procfile's commands, run as written with only the required settings."""

import http.client
import http.server
import json
import os
import pytest
import redis
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from scheduler_api.core.store import layout
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import NewTenant, Tenants
from scheduler_api.dialects.outbound import SECRETS

ROOT = Path(__file__).parents[1]
SECRET_KEY = "0123456789abcdef0123456789abcdef"
PROCFILE = dict(
    line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines()
)
pytestmark = pytest.mark.slow


def test_the_procfile_names_all_roles():
    assert list(PROCFILE) == ["web", "ticker", "worker", "clock", "chores"]
    assert PROCFILE["worker"] == (
        "rq worker -S json -w workers.DeliveryWorker deliveries"
    )
    assert PROCFILE["chores"] == "rq worker -S json housekeeping"


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def tenant(valkey: str) -> NewTenant:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        layout.ensure(client, "{s1}:")
        return Tenants(
            Cell(client, "{s1}:"), secret_key=SECRET_KEY, makers=SECRETS
        ).create("first")


@pytest.fixture(scope="module")
def shells(
    valkey: str, tenant: NewTenant, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Path]]:
    """Run all commands of the Procfile; yield the log file of each role."""
    environ = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REDIS_URL": valkey,
        "PORT": str(port),
        "SECRET_KEY": SECRET_KEY,
    }
    folder = tmp_path_factory.mktemp("procfile")
    logs = {role: folder / f"{role}.log" for role in PROCFILE}
    processes = []
    for role, line in PROCFILE.items():
        with logs[role].open("wb") as log:
            processes.append(
                subprocess.Popen(
                    # With `exec`, the command replaces the shell, so that
                    # `process.wait` waits for the command.
                    ["sh", "-c", f"exec {line}"],
                    cwd=ROOT,
                    env=environ,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
    yield logs
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        process.wait(timeout=60)


def request(
    port: int, tenant: NewTenant, method: str, path: str, body: object = None
) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"content-type": "application/json", "x-api-key": tenant.token}
    connection.request(method, path, body and json.dumps(body), headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def is_ready(port: int, tenant: NewTenant) -> bool:
    try:
        return request(port, tenant, "GET", "/readyz")[0] == 200
    except OSError:
        return False


@pytest.fixture
def ready_port(
    shells: dict[str, Path],
    port: int,
    tenant: NewTenant,
    wait_until: Callable[..., None],
) -> int:
    wait_until(lambda: is_ready(port, tenant), within_s=60)
    return port


def test_three_variables_are_enough_to_be_ready(
    shells: dict[str, Path],
    port: int,
    tenant: NewTenant,
    wait_until: Callable[..., None],
):
    wait_until(lambda: is_ready(port, tenant), within_s=60)

    printed = "".join(log.read_text() for log in shells.values())
    assert SECRET_KEY not in printed
    assert "Traceback" not in printed


def test_a_path_with_two_leading_slashes_is_not_found(
    shells: dict[str, Path],
    port: int,
    tenant: NewTenant,
    wait_until: Callable[..., None],
):
    wait_until(lambda: is_ready(port, tenant), within_s=60)

    assert request(port, tenant, "GET", "/api/events")[0] == 200
    assert request(port, tenant, "GET", "//api/events")[0] == 404


def test_a_response_without_a_body_is_sent(ready_port: int):
    connection = http.client.HTTPConnection("127.0.0.1", ready_port, timeout=10)

    for _ in range(2):
        connection.request("HEAD", "/healthz")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        ("POST /v2/publish/https://example.com/", "Content-Length: 9\r\n\r\nhalf"),
        (
            "POST /v2/publish/https://example.com/",
            "Transfer-Encoding: chunked\r\n\r\nz",
        ),
        ("DELETE /v2/messages", "Content-Length: 40\r\n\r\n"),
        ("POST /api/events", "Transfer-Encoding: chunked\r\n\r\nz\r\n"),
        ("POST /v1/events", "Content-Length: 40\r\n\r\n{}"),
    ],
)
def test_a_request_that_is_cut_off_or_malformed_is_refused(
    start: str, rest: str, ready_port: int, tenant: NewTenant
):
    with socket.create_connection(("127.0.0.1", ready_port), timeout=10) as client:
        token = f"Authorization: Bearer {tenant.token}\r\nX-Api-Key: {tenant.token}"
        client.sendall(f"{start} HTTP/1.1\r\nHost: h\r\n{token}\r\n{rest}".encode())
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(100)

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_delivery_to_loopback_is_refused(
    shells: dict[str, Path],
    port: int,
    tenant: NewTenant,
    wait_until: Callable[..., None],
):
    wait_until(lambda: is_ready(port, tenant), within_s=60)
    hits: list[str] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hits.append(self.path)

    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        event = {
            "payload": "hello",
            "destination": f"http://127.0.0.1:{receiver.server_port}/",
            "scheduledTime": (datetime.now(UTC) + timedelta(seconds=1)).isoformat(),
        }
        status, created = request(port, tenant, "POST", "/api/events", event)
        assert status == 200, created
        path = f"/api/events/{created['id']}"

        def has_failed() -> bool:
            return request(port, tenant, "GET", path)[1]["status"] == "Failed To Send"

        wait_until(has_failed, within_s=30)
        receiver.shutdown()
    assert hits == []


@pytest.mark.parametrize("role", ["web", "ticker", "worker", "clock"])
def test_a_process_with_an_unknown_setting_exits_and_names_it(
    role: str, valkey: str, port: int
):
    environ = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REDIS_URL": valkey,
        "PORT": str(port),
        "SECRET_KEY": SECRET_KEY,
        "SCHED_WINDOWS": "1",
    }

    result = subprocess.run(
        ["sh", "-c", PROCFILE[role]],
        check=False,
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert result.returncode != 0
    assert "SCHED_WINDOWS: there is no such setting" in result.stderr
