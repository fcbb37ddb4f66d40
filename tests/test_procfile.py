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
from scheduler_api.web.gunicorn_worker import HEAD_MAX_BYTES
from tests.procfile import PROCFILE, ROOT

SECRET_KEY = "0123456789abcdef0123456789abcdef"
pytestmark = pytest.mark.slow


def test_the_procfile_names_all_roles():
    assert list(PROCFILE) == ["web", "ticker", "worker", "clock", "chores"]
    assert PROCFILE["worker"] == (
        "rq worker -S json -w workers.DeliveryWorker deliveries"
    )
    assert PROCFILE["chores"] == (
        "rq worker -S json -w workers.ChoresWorker housekeeping"
    )


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def tenant(valkey: str) -> Iterator[NewTenant]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        layout.ensure(client, "{s1}:")
        yield Tenants(
            Cell(client, "{s1}:"), secret_key=SECRET_KEY, makers=SECRETS
        ).create("first")
        # The ticker has left the epoch of this store.
        client.function_flush()


@pytest.fixture(scope="module")
def shells(
    valkey: str, tenant: NewTenant, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Path]]:
    """Run all commands of the Procfile; yield the log file of each role."""
    environ = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REDIS_URL": valkey,
        "SCHED_ALLOW_NO_PERSISTENCE": "true",
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


def test_readiness_lists_the_processes_of_all_roles(
    ready_port: int, tenant: NewTenant, wait_until: Callable[..., None]
):
    listed: list[dict] = []

    def are_complete() -> bool:
        answer = request(ready_port, tenant, "GET", "/readyz")[1]
        listed[:] = answer.get("processes", [])
        # Two processes serve HTTP.
        return sorted(each["role"] for each in listed) == sorted([*PROCFILE, "web"])

    wait_until(are_complete, within_s=30)

    assert len({each["settings"] for each in listed}) == 1
    assert len({each["pid"] for each in listed}) == len(listed)


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


FORMATS = {
    "/v2/publish/http://h/": {"error"},
    "/api/events": {"message"},
    "/v1/events": {"statusCode", "message", "error", "timestamp"},
    "/nothing": {"message"},
}
MALFORMED = [
    ("POST {}" + "a" * 9000, "", 414),
    ("POST {}?x y", "", 400),
    ("POST {}\x01", "", 400),
    ("pöst {}", "", 400),
    ("POST http://h{}", "No Colon: 1", 400),
    ("POST {}", "X: " + "a" * 20_000, 431),
    ("POST {}", "\r\n".join(["X: a"] * 600), 431),
    ("POST {}", "X: a\r\n b", 400),
    ("POST {}", "X: \x00", 400),
    ("POST {}", "Content-Length: 1\r\nContent-Length: 2", 400),
    ("POST {}", "Content-Length: 1\r\nTransfer-Encoding: chunked", 400),
    ("POST {}", "Transfer-Encoding: xyz", 501),
    ("POST {}", "Expect: xyz", 417),
]


def exchange(port: int, head: bytes) -> tuple[int, dict, bytes]:
    """Send a request without a body; return the status, the JSON and all bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(head)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as stream:
            answer = stream.read()
    start, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in start.lower()
    return int(start.split(b" ")[1]), json.loads(body), answer


@pytest.mark.parametrize("path", FORMATS)
@pytest.mark.parametrize(("start", "rest", "status"), MALFORMED)
def test_every_refusal_of_the_server_has_the_format_of_the_api(
    path: str, start: str, rest: str, status: int, ready_port: int
):
    head = f"{start.format(path)} HTTP/1.1\r\nConnection: close\r\n{rest}\r\n\r\n"

    found, body, answer = exchange(ready_port, head.encode())

    assert (found, set(body)) == (status, FORMATS[path])
    assert b"html" not in answer.lower()


def test_a_head_that_does_not_end_is_refused_at_its_limit(ready_port: int):
    endless = b"GET /v2/queues HTTP/1.1\r\n" + b"X" * (HEAD_MAX_BYTES + 1)

    with socket.create_connection(("127.0.0.1", ready_port), timeout=10) as client:
        client.sendall(endless)
        answer = client.recv(100)

    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "garbage", [b"\r\n\r\n\r\n", b"\x16\x03\x01\r\n", b"\xff" * 9000]
)
def test_what_is_not_http_gets_plain_json(garbage: bytes, ready_port: int):
    status, body, _ = exchange(ready_port, garbage)

    assert (status // 100, set(body)) == (4, {"message"})


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("?name=José", "?name=Jos%C3%A9"),
        ("pfad/ü?q=東京&x", "pfad/%C3%BC?q=%E6%9D%B1%E4%BA%AC&x"),
        ("%C3%BCü?%zz=€", "%C3%BC%C3%BC?%zz=%E2%82%AC"),
    ],
)
def test_a_raw_utf8_target_is_percent_encoded(
    raw: str, escaped: str, ready_port: int, tenant: NewTenant
):
    head = (
        f"POST /v2/publish/https://example.com/{raw} HTTP/1.1\r\nConnection: close\r\n"
        f"Authorization: Bearer {tenant.token}\r\nUpstash-Delay: 1d\r\n\r\n"
    )

    status, body, _ = exchange(ready_port, head.encode())

    assert (status, body["url"]) == (201, f"https://example.com/{escaped}")


def test_s31_a_delivery_to_loopback_is_refused(
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


@pytest.mark.parametrize("role", ["web", "ticker", "worker", "clock", "chores"])
def test_a_process_with_an_unknown_setting_exits_and_names_it(
    role: str, valkey: str, port: int
):
    environ = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REDIS_URL": valkey,
        "SCHED_ALLOW_NO_PERSISTENCE": "true",
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
