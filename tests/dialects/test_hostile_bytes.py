"""Tests of hostile headers and hostile responses in complete deliveries.

A worker delivers what the API accepts, and receivers record the bytes of its requests.
"""

import pytest
from scheduler_api.core.timestamps import to_iso
from tests.dialects.conformance.adaptor import Client
from tests.dialects.conformance.world import World
from tests.dialects.raw_receiver import raw_receiver
from tests.fuzzing import FACTOR
from tests.workers.http_client.shapes import all_shapes
from typing import Any

DAY_MS = 86_400_000
# The first field gets every value, the others every fourth; each fourth response is
# sent.
STEP = 1 if FACTOR else 4
MARK = "Injected"
INJECTED = f"X-{MARK}: 1"
# Values that end a header line somewhere, or that a server or a store may choke on.
VALUES = (
    *(f"a\r\n{INJECTED}", f"a\n{INJECTED}", f"a\r{INJECTED}", f"\r\n\r\n{INJECTED}"),
    *("a\0b", "a\x0bb", "a\x0cb", "a\x1b[31mb", "a\x7fb", "a\x85b", "a\u2028b"),
    # These end in the bytes of CR and LF in UTF-16, or in their low byte.
    *(f"嘊嘍{INJECTED}", f"Ċč{INJECTED}", "\ud800", "日本", "é", "\U0001f600"),
    *("a\tb", " a", "a ", "", "x" * 9_000, f"=?utf-8?Q?=0D=0A{INJECTED}?="),
    *("%0d%0aX-Injected:%201", "\\r\\nX-Injected: 1"),
)
# Headers that the service sends itself, describes the connection with, or keeps to
# itself; and names that are none.
NAMES = (
    *("Host", "host", "HOST", "Content-Length", "Transfer-Encoding", "Connection"),
    *("Keep-Alive", "TE", "Trailer", "Upgrade", "Expect", "Proxy-Authorization"),
    *("Proxy-Connection", "Upstash-Signature", "Upstash-Message-Id", "User-Agent"),
    *("Upstash-Retried", "HTTP2-Settings", "Content_Length", "Transfer_Encoding"),
    *("Scheduler-Event-Id", "Scheduler-Attempt", "Scheduler-Possible-Duplicate"),
    *(
        "X A",
        "X-A:",
        f"X-A\r\n{INJECTED}",
        "",
        "X-A\0",
        "X\u212a",
        "Ho\u017ft",
        "\tHost",
    ),
    *("Content-Length ", "X-A\n", "é", "X(A)", 'X"A"'),
)
# Reserved headers, which never arrive with the publisher's value.
RESERVED = {
    *("host", "content-length", "transfer-encoding", "connection", "keep-alive"),
    *("te", "trailer", "upgrade", "expect", "proxy-authorization", "proxy-connection"),
    *("upstash-signature", "upstash-message-id", "upstash-retried", "http2-settings"),
    *("content_length", "transfer_encoding"),
}
VALUED = (
    *("Upstash-Forward-X-A", "Content-Type", "Upstash-Method", "Upstash-Label"),
    *("Upstash-Flow-Control-Key", "Upstash-Deduplication-Id", "Upstash-Timeout"),
    *(
        "Upstash-Callback-Forward-X-A",
        "Upstash-Callback-X-A",
        "Upstash-Callback-Method",
    ),
    *("Upstash-Failure-Callback-Forward-X-A", "Upstash-Callback-Content-Type"),
)
NAMED = ("Upstash-Forward-", "Upstash-Callback-Forward-", "Upstash-Callback-")


@pytest.fixture
def world(store_url: str) -> World:
    return World(store_url)


@pytest.fixture
def client(world: World) -> Client:
    tenant = world.new_tenant()
    token = {"x-api-key": tenant.token, "Authorization": f"Bearer {tenant.token}"}
    return Client(world.app, tenant, token)


def hostile_headers(url: str) -> list[dict[str, str]]:
    """Headers of messages; each has one hostile name or value."""
    found = [
        {name: value}
        for start, name in enumerate(VALUED)
        for value in (VALUES[start % STEP :: STEP] if start else VALUES)
    ]
    found += [{prefix + name: MARK} for prefix in NAMED for name in NAMES]
    others = {
        **{"Upstash-Retries": "0", "Upstash-Callback": f"{url}/callback"},
        **{"Upstash-Flow-Control-Key": "k"},
        "Upstash-Flow-Control-Value": "parallelism=100",
    }
    return [others | each for each in found]


def check_head(head: bytes) -> None:
    """Check that the head of a request has exactly the service's own lines."""
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert b"\r" not in b"".join(lines) and b"\n" not in b"".join(lines), head
    assert b"\0" not in head, head
    assert lines[0].endswith(b" HTTP/1.1") and lines[0].count(b" ") == 2, head
    names = [line.partition(b":")[0].lower().decode("latin-1") for line in lines[1:]]
    assert f"x-{MARK}".lower() not in names, head
    for single in ("host", "content-length", "user-agent", "upstash-signature"):
        assert names.count(single) <= 1, head
    for name, line in zip(names, lines[1:], strict=True):
        assert MARK.encode() not in line.split(b":")[1] or name not in RESERVED, head


def test_s16_s17_no_header_of_a_client_adds_or_replaces_a_line_of_a_request(
    world: World, client: Client
) -> None:
    with raw_receiver() as receiver:
        headers = hostile_headers(receiver.url)
        items = [
            {"destination": f"{receiver.url}/{n}", "body": "b", "headers": each}
            for n, each in enumerate(headers)
        ]
        status, answers = client.call("POST", "/v2/batch", json=items)
        world.run_for(DAY_MS)

    assert (status, len(answers)) == (200, len(items))
    accepted = [
        n
        for n, answer in enumerate(answers)
        if answer.get("messageId") and not answer.get("deduplicated")
    ]
    targets = {head.split(b" ")[1] for head in receiver.heads}
    assert {f"/{n}".encode() for n in accepted} | {b"/callback"} == targets
    assert len(items) > len(accepted) > len(items) / 4
    for head in receiver.heads:
        check_head(head)


def test_s12_s13_s14_every_response_ends_an_attempt_that_all_dialects_can_show(
    world: World, client: Client
) -> None:
    shapes = all_shapes()[::STEP]

    def respond(target: bytes) -> bytes:
        return shapes[int(target[1:])].data

    with raw_receiver(respond) as receiver:
        urls = [f"{receiver.url}/{n}" for n in range(len(shapes))]
        once = {"Upstash-Retries": "0"}
        items: Any = [{"destination": url, "headers": once} for url in urls]
        _, messages = client.call("POST", "/v2/batch", json=items)
        soon = to_iso(world.now_ms + 60_000)
        template = {"payload": "", "scheduledTime": soon}
        events = [
            client.call("POST", "/api/events", json=template | {"destination": url})[1]
            for url in urls[::10]
        ]
        world.run_for(70_000)

    _, page = client.call("GET", "/v2/logs?count=1000")
    ended = {"DELIVERED", "FAILED"}
    shown = {log["url"] for log in page["logs"] if log["state"] in ended}
    assert len(messages) == len(shapes)
    assert shown == set(urls)
    for event in events:
        status, found = client.call("GET", f"/api/events/{event['id']}")
        assert status == 200 and found["history"], found
