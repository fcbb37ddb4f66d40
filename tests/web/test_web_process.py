"""Tests of a web process under gunicorn, with clients that misbehave."""

import http.client
import os
import pytest
import redis
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from scheduler_api.core.store import layout
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.dialects.outbound import SECRETS
from scheduler_api.web.connections import PATIENCE_S

ROOT = Path(__file__).parents[2]
SECRET_KEY = "0123456789abcdef0123456789abcdef"
PER_ADDRESS = 20
MIB = 1_048_576
pytestmark = pytest.mark.slow


@dataclass
class Web:
    """A running web process."""

    port: int
    metrics_port: int
    token: str
    log: Path

    def connect(self, data: bytes) -> socket.socket:
        """Open a connection and send the beginning of requests."""
        sock = socket.socket()
        # So the client's side holds little of what it does not read.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", self.port))
        sock.sendall(data)
        return sock

    def get(
        self, path: str, port: int | None = None, **headers: str
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(
            "127.0.0.1", port or self.port, timeout=10
        )
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def web(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Start a web process with low limits."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        layout.ensure(client, "{s1}:")
        cell = Cell(client, "{s1}:")
        token = Tenants(cell, secret_key=SECRET_KEY, makers=SECRETS).create("a").token
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        port, metrics_port = (each.getsockname()[1] for each in (first, second))
    log = tmp_path_factory.mktemp("web") / "log"
    environ = {
        "PATH": os.environ["PATH"],
        "REDIS_URL": valkey,
        "PORT": str(port),
        "SECRET_KEY": SECRET_KEY,
        "SCHED_HOST": "127.0.0.1",
        "SCHED_METRICS_ADDRESS": f"127.0.0.1:{metrics_port}",
        "SCHED_WEB_WORKERS": "1",
        "SCHED_ALLOW_NO_PERSISTENCE": "true",
        "SCHED_ADDRESS_CONNECTIONS": str(PER_ADDRESS),
        "SCHED_BODIES_BYTES": str(2 * MIB),
    }
    command = ("-m", "gunicorn", "-c", "python:scheduler_api.gunicorn_conf")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, "scheduler_api.app:create_app()"],
            cwd=ROOT,
            env=environ,
            stderr=output,
        )
    try:
        yield Web(port, metrics_port, token, log)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def running(web: Web, wait_until: Callable[..., None]) -> Web:
    def is_up() -> bool:
        with suppress(OSError):
            return web.get("/healthz")[0] == 200
        return False

    wait_until(is_up, within_s=30)
    return web


@pytest.mark.parametrize(
    "headers",
    [
        {"SCRIPT_NAME": "/x"},
        {"PATH_INFO": "/v2/keys"},
        {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"},
    ],
)
def test_a_client_cannot_change_where_the_application_is(
    running: Web, headers: dict[str, str]
) -> None:
    assert running.get("/healthz", **headers)[0] == 200


def test_the_port_of_the_metrics_serves_nothing_else(running: Web) -> None:
    status, body = running.get("/metrics", running.metrics_port)

    assert (status, b"scheduler_due 0" in body) == (200, True)
    assert running.get("/healthz", running.metrics_port)[0] == 404
    assert running.get("/healthz", Host=f"a.example:{running.metrics_port}")[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ",
        b"POST /v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n",
        b"GET /openapi/qstash.json HTTP/1.1\r\nHost: x\r\n\r\n" * 9,
    ],
    ids=["idle", "in-head", "in-body", "unread"],
)
def test_clients_that_hold_many_connections_keep_nobody_out(
    running: Web, data: bytes
) -> None:
    with ExitStack() as opened:
        for _ in range(2 * PER_ADDRESS):
            opened.enter_context(running.connect(data))

        assert running.get("/healthz")[0] == 200

    assert "Traceback" not in running.log.read_text()


def test_large_unfinished_bodies_make_room_for_further_ones(running: Web) -> None:
    head = (
        "POST /v2/batch HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {running.token}\r\nContent-Length: {2 * MIB}\r\n\r\n"
    )
    begun = head.encode() + b"[" + b" " * MIB
    with ExitStack() as opened:
        first, *others = [
            opened.enter_context(running.connect(begun)) for _ in range(4)
        ]
        others[-1].sendall(b"]".rjust(MIB - 1))

        assert others[-1].recv(12) == b"HTTP/1.1 200"
        assert first.recv(12) == b"HTTP/1.1 503"


@pytest.mark.parametrize("size", [b"40000001", b"F" * 18], ids=["1-GiB", "72-bits"])
def test_a_chunk_larger_than_any_body_is_refused_before_it_arrives(
    running: Web, size: bytes
) -> None:
    head = (
        "POST /v2/batch HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {running.token}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with running.connect(head.encode() + size + b"\r\nabc") as client:
        client.settimeout(PATIENCE_S / 2)
        assert client.recv(12) == b"HTTP/1.1 413"


def test_a_web_process_with_too_few_open_files_does_not_start() -> None:
    command = "ulimit -n 355; exec $0 -m gunicorn -c python:scheduler_api.gunicorn_conf"
    environ = {"REDIS_URL": "redis://127.0.0.1:1", "SECRET_KEY": SECRET_KEY}
    done = subprocess.run(
        ["bash", "-c", command, sys.executable],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 1
    assert "A web process needs 356 open files, and the limit is 355" in done.stderr
