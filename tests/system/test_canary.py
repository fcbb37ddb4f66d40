"""A client's secrets are in no file of the store, no command, log or foreign read."""

import base64
import http.client
import json
import pytest
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from scheduler_api.core.timestamps import to_iso
from tests.system.cell import Cell
from tests.system.processes import wait_until

pytestmark = pytest.mark.slow

# What is not secret, and so must be found: the search would find the canaries too.
VISIBLE = "visible-key"
BODY, HEADER, QUERY = "BODYcanary7", "HEADERcanary7", "QUERYcanary7"
READS = (
    *("/v2/messages", "/v2/logs", "/v2/events", "/v2/dlq", "/v2/schedules"),
    *("/v2/topics", "/api/events", "/api/cronjobs", "/v1/events"),
)


def forms(canary: str) -> Iterator[bytes]:
    """The canary, and what remains of it in base64 wherever it begins."""
    yield canary.encode()
    for blanks in range(3):
        encoded = base64.b64encode(b" " * blanks + canary.encode())
        yield encoded[4 if blanks else 0 : -4]


def found(canaries: list[str], *texts: bytes) -> set[str]:
    return {
        canary
        for canary in canaries
        if any(form in text for form in forms(canary) for text in texts)
    }


@contextmanager
def monitored(cell: Cell) -> Iterator[list[bytes]]:
    """Collect all commands that the store gets."""
    commands: list[bytes] = []
    connection = cell.client.connection_pool.make_connection()
    connection.connect()
    connection.send_command("MONITOR")
    assert connection.read_response() == b"OK"

    def read() -> None:
        while True:
            try:
                commands.append(connection.read_response())
            except Exception:
                return

    threading.Thread(target=read, daemon=True).start()
    yield commands
    connection.disconnect()


def call(
    cell: Cell, method: str, path: str, token: str, *, body: bytes = b"", **headers: str
) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", cell.settings.port, timeout=10)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    keys = {"authorization": f"Bearer {token}", "x-api-key": token}
    connection.request(method, path, body or None, keys | names)
    answer = connection.getresponse().read()
    connection.close()
    return answer


def publish(cell: Cell, path: str) -> None:
    """Publish a message that fails, with everything that a client keeps secret."""
    body = {"payload": BODY, "scheduledTime": to_iso(0)}
    answer = call(
        cell,
        "POST",
        path,
        cell.token,
        body=json.dumps(body).encode(),
        upstash_forward_authorization=f"Bearer {HEADER}",
        upstash_retries="0",
        upstash_flow_control_key=VISIBLE,
        upstash_flow_control_value="parallelism=9",
        upstash_failure_callback=cell.receiver.url(),
        upstash_failure_callback_forward_authorization=f"Bearer {HEADER}",
    )
    assert b"messageId" in answer


def files(folder: Path) -> bytes:
    """What the store and the processes have written, without the key itself."""
    return b"\n".join(
        path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("secret.key", "credentials.env")
    )


def test_s24_s26_a_clients_secrets_are_in_no_file_command_log_or_foreign_read(
    new_cell: Callable[..., Cell], tmp_path: Path
):
    cell = new_cell(SCHED_LOG_LEVEL="debug")
    _, other = cell.add_tenant("other")
    with monitored(cell) as commands:
        cell.start("web", "ticker", "worker")
        failing = cell.receiver.url("status=500") + f"&q={QUERY}"
        publish(cell, f"/v2/publish/{failing}")
        schedule = call(
            cell,
            "POST",
            f"/v2/schedules/{failing}",
            cell.token,
            body=BODY.encode(),
            upstash_cron="0 0 1 1 *",
            upstash_forward_authorization=f"Bearer {HEADER}",
        )
        assert b"scheduleId" in schedule
        group = {"endpoints": [{"url": f"https://a.example/?{QUERY}", "name": "e"}]}
        made = call(
            cell,
            "POST",
            "/v2/topics/group/endpoints",
            cell.token,
            body=json.dumps(group).encode(),
            content_type="application/json",
        )
        assert b"error" not in made
        call(cell, "GET", f"/v2/unknown/{BODY}?qstash_token={cell.token}", cell.token)
        wait_until(lambda: len(cell.receiver.arrivals) == 2)
        reads = [call(cell, "GET", path, other) for path in READS]
        mine = call(cell, "GET", "/v2/dlq", cell.token)
    cell.client.save()

    canaries = [BODY, HEADER, QUERY, cell.token]
    stored = files(tmp_path)
    monitor = b"\n".join(commands)
    assert VISIBLE.encode() in stored and VISIBLE.encode() in monitor
    assert found([BODY, HEADER], mine) == {BODY, HEADER}
    assert found(canaries, stored, monitor, *reads) == set()
