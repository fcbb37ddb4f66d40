"""Tests that header values reach receivers as the bytes that publishers sent."""

import json
import os
import pytest
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store.events import EventStore
from tests.dialects.conformance.world import SECRET_KEY, World
from tests.dialects.qstash.publisher import Publisher
from tests.procfile import PROCFILE
from tests.system.processes import Process, free_port, wait_until
from typing import Any

UTF8, LATIN1, OTHER = "Gr\u00fc\u00dfe \u65e5".encode(), b"caf\xe9", b"\x80\t\xfe\xff"
RAW = (UTF8, LATIN1, OTHER)


class RawReceiver:
    """A receiver that records the bytes of requests; a path with `500` fails."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.requests: list[bytes] = []

    def url(self, path: str) -> str:
        return f"{self._address}/{path}"

    def values(self, path: str, name: str = "X-A") -> list[bytes]:
        """Return the values of a header in all requests to a path."""
        line = f"\r\n{name}: ".encode()
        return [
            request.partition(line)[2].partition(b"\r\n")[0]
            for request in self.requests
            if request.split(b" ")[1] == f"/{path}".encode()
        ]

    def body(self, path: str) -> Any:
        """Return the parsed body of the only request to a path."""
        [body] = [
            request.partition(b"\r\n\r\n")[2]
            for request in self.requests
            if request.split(b" ")[1] == f"/{path}".encode()
        ]
        return json.loads(body)


@pytest.fixture(scope="module")
def receiver() -> Iterator[RawReceiver]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = list(iter(self.rfile.readline, b"\r\n"))
            lengths = [x for x in lines if x.lower().startswith(b"content-length:")]
            size = int(lengths[0].split(b":")[1]) if lengths else 0
            receiver.requests.append(b"".join(lines) + b"\r\n" + self.rfile.read(size))
            status = b"500" if b"500" in lines[0] else b"200"
            head = b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            self.wfile.write(b"HTTP/1.1 " + status + b" -" + head)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        receiver = RawReceiver(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


def test_batches_send_texts_as_latin_1_or_else_as_utf8(
    publisher: Publisher, receiver: RawReceiver
) -> None:
    texts = ("caf\u00e9", "\u65e5\u00fc", "\u00c3\u00a9", "a\tb", "")
    items = [
        {
            "destination": receiver.url(f"batch/{n}"),
            "headers": {"upstash-forward-x-a": text, "content-type": f"a/b; c={text}"},
        }
        for n, text in enumerate(texts)
    ]

    answers = publisher.post("/v2/batch", json=items)
    publisher.deliver()

    sent = (LATIN1, "\u65e5\u00fc".encode(), b"\xc3\xa9", b"a\tb", b"")
    for n, value in enumerate(sent):
        assert receiver.values(f"batch/{n}") == [value]
        assert receiver.values(f"batch/{n}", "Content-Type") == [b"a/b; c=" + value]
    messages = [
        publisher.call("GET", f"/v2/messages/{each['messageId']}") for each in answers
    ]
    assert [each["header"]["X-A"] for each in messages] == [
        ["caf\u00e9"],
        ["\u65e5\u00fc"],
        ["\u00e9"],
        ["a\tb"],
        [""],
    ]


def test_a_parameter_sends_the_bytes_of_its_escapes(
    publisher: Publisher, receiver: RawReceiver
) -> None:
    query = "x=1&upstash-forward-x-a=caf%E9+%C3%BC%ff&upstash-label=%C3%BC"

    answer = publisher.post(f"/v2/publish/{receiver.url('query')}?{query}")
    publisher.deliver()

    assert receiver.values("query?x=1") == [b"caf\xe9 \xc3\xbc\xff"]
    message = publisher.call("GET", f"/v2/messages/{answer['messageId']}")
    assert message["label"] == "\u00fc"


def test_defaults_of_a_group_are_sent_and_shown_like_texts_of_a_batch(
    publisher: Publisher, receiver: RawReceiver
) -> None:
    endpoints = [{"url": receiver.url("group"), "name": "\u00c3\u00bc"}]
    headers = {
        "Upstash-Forward-X-A": "caf\u00e9",
        "Upstash-Forward-X-B": "\u65e5",
        "Upstash-Label": "\u65e5\u00fc",
    }
    publisher.post("/v2/topics/bytes/endpoints", json={"endpoints": endpoints})
    publisher.call("PATCH", "/v2/topics/bytes", json={"headers": headers})

    [answer] = publisher.post("/v2/publish/bytes")
    publisher.deliver()

    group = publisher.call("GET", "/v2/topics/bytes")
    assert group["headers"] == {name: [text] for name, text in headers.items()}
    assert group["endpoints"] == endpoints
    assert receiver.values("group") == [LATIN1]
    assert receiver.values("group", "X-B") == ["\u65e5".encode()]
    message = publisher.call("GET", f"/v2/messages/{answer['messageId']}")
    assert message["label"] == "\u65e5\u00fc"


def test_values_that_an_older_version_stored_are_sent_as_before(
    publisher: Publisher, receiver: RawReceiver
) -> None:
    store = EventStore(publisher.world.cell)
    owner = Owner(publisher.client.tenant.id, "qstash")
    for n, stored in enumerate((UTF8.decode("latin-1"), "caf\u00e9")):
        url, options = receiver.url(f"old/{n}"), {"h": ["X-A", stored], "ct": stored}
        store.create(owner, Draft(Content(url, b"", options), 5_000))
    publisher.deliver()

    for n, value in enumerate((UTF8, "caf\u00e9".encode())):
        assert receiver.values(f"old/{n}") == [value]
        assert receiver.values(f"old/{n}", "Content-Type") == [value]


@pytest.fixture(scope="module")
def http_server(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The port of the web process of the Procfile, on the store of the world."""
    port = free_port()
    environ = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        "PORT": str(port),
        "REDIS_URL": world.settings.redis_url,
        "SCHED_ALLOW_NETWORKS": "127.0.0.0/8",
        "SCHED_ALLOW_NO_PERSISTENCE": "true",
        "SCHED_HOST": "127.0.0.1",
        "SCHED_WEB_WORKERS": "1",
        "SECRET_KEY": SECRET_KEY,
    }
    log = tmp_path_factory.mktemp("web") / "web.log"
    process = Process(["sh", "-c", f"exec {PROCFILE['web']}"], environ=environ, log=log)
    process.start()
    try:
        wait_until(lambda: is_healthy(port))
        yield port
    finally:
        process.kill_tree()


def is_healthy(port: int) -> bool:
    try:
        return post_raw(port, "/healthz", method="GET")[0] == 200
    except OSError:
        return False


def post_raw(
    port: int, target: str, *headers: tuple[str, bytes], method: str = "POST"
) -> tuple[int, Any]:
    """Send a request whose header values are these bytes; return status and answer."""
    head = f"{method} {target} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n".encode()
    lines = [name.encode() + b": " + value + b"\r\n" for name, value in headers]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head + b"".join(lines) + b"Content-Length: 0\r\n\r\n")
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


@pytest.fixture
def post_bytes(http_server: int, publisher: Publisher) -> Callable[..., Any]:
    """A function that sends bytes as header values through the HTTP server."""
    token = publisher.client.headers["Authorization"].encode()

    def post(target: str, **headers: bytes) -> Any:
        pairs = ((name.replace("_", "-"), value) for name, value in headers.items())
        status, answer = post_raw(http_server, target, ("Authorization", token), *pairs)
        assert status in (200, 201), answer
        return answer

    return post


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("publish", {}),
        ("enqueue/queue", {}),
        ("schedules", {"Upstash_Cron": b"0 0 1 1 *"}),
    ],
)
def test_bytes_reach_the_receiver_and_are_shown_as_text(
    publisher: Publisher,
    receiver: RawReceiver,
    post_bytes: Callable[..., Any],
    path: str,
    more: dict[str, bytes],
) -> None:
    headers = {
        "Upstash_Forward_X_A": b"-".join(RAW),
        "Content_Type": b"a/b; c=" + LATIN1,
        "Upstash_Callback": receiver.url(f"back/{path}").encode(),
        "Upstash_Callback_Forward_X_A": OTHER,
    }

    answer = post_bytes(f"/v2/{path}/{receiver.url(path)}", **headers, **more)
    if more:
        publisher.post(f"/v2/schedules/{answer['scheduleId']}/run")
    publisher.deliver()

    assert receiver.values(path) == [b"-".join(RAW)]
    assert receiver.values(path, "Content-Type") == [b"a/b; c=" + LATIN1]
    assert receiver.values(f"back/{path}") == [OTHER]
    shown = {
        "Content-Type": ["a/b; c=caf\u00e9"],
        "X-A": [b"-".join(RAW).decode("latin-1")],
    }
    assert receiver.body(f"back/{path}")["sourceHeader"] == shown
    kind, name = ("schedules", "scheduleId") if more else ("messages", "messageId")
    found = publisher.call("GET", f"/v2/{kind}/{answer[name]}")
    assert found["header"] == shown
    assert found["callbackHeader"] == {"X-A": [OTHER.decode("latin-1")]}
    [log, *_] = publisher.call("GET", f"/v2/logs?url={receiver.url(path)}")["logs"]
    assert log["header"] == shown


def test_a_flow_control_key_is_one_text_and_reaches_the_receiver_as_bytes(
    publisher: Publisher, receiver: RawReceiver, post_bytes: Callable[..., Any]
) -> None:
    sent = ("k\u00fcche".encode(), "k\u00fcche".encode("latin-1"))

    answers = [
        post_bytes(
            f"/v2/publish/{receiver.url('flow')}",
            Upstash_Flow_Control_Key=key,
            Upstash_Flow_Control_Value=b"rate=9",
        )
        for key in sent
    ]
    publisher.deliver()

    assert sorted(receiver.values("flow", "Upstash-Flow-Control-Key")) == sorted(sent)
    messages = [
        publisher.call("GET", f"/v2/messages/{answer['messageId']}")
        for answer in answers
    ]
    assert [each["flowControlKey"] for each in messages] == ["k\u00fcche"] * 2
    [key] = publisher.call("GET", "/v2/flowControl")
    assert key["flowControlKey"] == "k\u00fcche"


def test_all_headers_are_forwarded_as_bytes(
    publisher: Publisher, receiver: RawReceiver, post_bytes: Callable[..., Any]
) -> None:
    own = {"X_A": UTF8, "X_B": LATIN1, "X_C": OTHER}

    post_bytes(
        f"/v2/publish/{receiver.url('all')}", Upstash_Header_Forward=b"true", **own
    )
    publisher.deliver()

    names = [name.replace("_", "-") for name in own]
    assert [receiver.values("all", name) for name in names] == [
        [UTF8],
        [LATIN1],
        [OTHER],
    ]


@pytest.mark.parametrize("route", ["publish", "schedules"])
def test_a_name_with_underscores_is_forwarded_beside_one_with_hyphens(
    publisher: Publisher, receiver: RawReceiver, http_server: int, route: str
) -> None:
    path = f"underscores/{route}"
    headers = [
        ("Authorization", publisher.client.headers["Authorization"].encode()),
        ("Upstash-Cron" if route == "schedules" else "X-Cron", b"0 0 1 1 *"),
        ("Upstash-Forward-Api_Key", b"a"),
        ("Upstash-Forward-Api-Key", b"b"),
        ("Upstash-Forward-Upstash_Signature", b"forged"),
        ("Upstash-Header-Forward", b"true"),
        ("User_Id", b"c"),
        ("X_Forwarded_For", b"192.0.2.1"),
        ("Upstash_Retries", b"77"),
    ]

    status, answer = post_raw(
        http_server, f"/v2/{route}/{receiver.url(path)}", *headers
    )
    if route == "schedules":
        publisher.post(f"/v2/schedules/{answer['scheduleId']}/run")
    publisher.deliver()

    assert status in (200, 201)
    names = ("Api_key", "Api-Key", "User_id", "Upstash-Max-Retries")
    assert [receiver.values(path, name) for name in names] == [
        [b"a"],
        [b"b"],
        [b"c"],
        [b"3"],
    ]
    absent = ("Upstash_signature", "X_forwarded_for", "Upstash_retries")
    assert [receiver.values(path, name) for name in absent] == [[b""]] * 3


def test_a_dead_letter_shows_text_and_its_replay_sends_bytes(
    publisher: Publisher, receiver: RawReceiver, post_bytes: Callable[..., Any]
) -> None:
    path, back = "dead/500", "failed"
    post_bytes(
        f"/v2/publish/{receiver.url(path)}",
        Upstash_Retries=b"0",
        Upstash_Forward_X_A=UTF8,
        Upstash_Forward_X_B=LATIN1,
        Upstash_Redact_Fields=b"header[X-B]",
        Upstash_Failure_Callback=receiver.url(back).encode(),
        Upstash_Failure_Callback_X_A=LATIN1,
    )
    publisher.deliver()
    [letter] = publisher.call("GET", "/v2/dlq")["messages"]
    post_bytes(f"/v2/dlq/retry/{letter['dlqId']}?upstash-forward-x-c=%FC")
    publisher.deliver()

    assert letter["header"]["X-A"] == [UTF8.decode()]
    assert letter["header"]["X-B"][0].startswith("REDACTED:")
    assert receiver.values(path) == [UTF8, UTF8]
    assert receiver.values(path, "X-B") == [LATIN1, LATIN1]
    assert receiver.values(path, "X-C") == [b"", b"\xfc"]
    assert receiver.values(back) == [LATIN1, LATIN1]


def test_s16_control_characters_and_empty_names_are_refused(
    publisher: Publisher, receiver: RawReceiver, http_server: int
) -> None:
    token = publisher.client.headers["Authorization"].encode()
    target = f"/v2/publish/{receiver.url('refused')}"
    bad = [
        *(("Upstash-Forward-X-A", bytes((97, code, 98))) for code in (0, 1, 13, 27)),
        ("Upstash-Callback-X-A", b"a\x7fb"),
        ("Content-Type", b"a\x1fb"),
        ("Upstash-Forward-", b"a"),
        ("Upstash-Callback-", b"a"),
        ("Upstash-Failure-Callback-Forward-", b"a"),
        ("", b"a"),
    ]

    for header in bad:
        status, answer = post_raw(http_server, target, ("Authorization", token), header)
        assert (status, list(answer)) == (400, ["error"]), header
    publisher.deliver()

    assert receiver.values("refused") == []
