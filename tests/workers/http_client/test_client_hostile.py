"""Tests that no receiver can block, overload or break the client (S-12 to S-14)."""

import asyncio
import errno
import pytest
import random
import resource
import socket
import sys
import threading
from dataclasses import replace
from scheduler_api.core.delivery.request import BodyWanted
from tests.workers.http_client import hostile
from tests.workers.http_client.hostile import receiving, until
from tests.workers.http_client.sending import (
    CAP_BYTES,
    CLOCK_MS,
    DEADLINE_MS,
    GRACE_MS,
    LONG_MS,
    new_client,
    post,
    run,
    send_to,
)
from workers.http_client.connection import HttpConnection
from workers.http_client.failures import Failure


def peak_memory_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


TIMEOUTS = {Failure.TIMEOUT, Failure.WRITE_TIMEOUT}
DRIPS = {
    "silence": hostile.never_respond,
    "status": hostile.dripping(b"", b"H"),
    "head": hostile.dripping(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "header": hostile.dripping(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    "interim": hostile.dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": hostile.dripping(hostile.ENDLESS, b"a"),
    "chunks": hostile.dripping(hostile.CHUNKED, b"1\r\na\r\n"),
    "chunk-size": hostile.dripping(hostile.CHUNKED, b"0"),
    "trailers": hostile.dripping(hostile.CHUNKED + b"0\r\n", b"X-A: b\r\n"),
    "until-close": hostile.dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
    "silent-body": hostile.answering_once(hostile.ENDLESS),
    "unread": hostile.not_reading(b"", []),
}


@pytest.mark.parametrize("name", DRIPS)
def test_s12_an_attempt_ends_at_its_deadline(name: str) -> None:
    async def main() -> None:
        body = bytes(2**24) if name == "unread" else b"body"
        result = await send_to(DRIPS[name], body=body, timeout_ms=DEADLINE_MS)

        assert result.total_ms <= DEADLINE_MS + GRACE_MS
        assert result.dispatched
        if result.status is None:
            # An endless header may fail with PROTOCOL before the deadline.
            assert result.error in {*TIMEOUTS, Failure.PROTOCOL}, result
        else:
            assert (result.error, result.body_incomplete) == (None, True)
        if result.error in TIMEOUTS:
            assert result.total_ms >= DEADLINE_MS - CLOCK_MS

    run(main())


def test_s12_the_part_read_before_the_deadline_is_kept() -> None:
    async def main() -> None:
        behave = hostile.dripping(hostile.ENDLESS, b"a")
        result = await send_to(behave, timeout_ms=DEADLINE_MS)

        assert (result.status, result.error) == (200, None)
        assert set(result.body) == {ord("a")}
        assert (result.body_incomplete, result.body_truncated) == (True, False)
        assert result.detail.startswith("the response body was not complete within 0.")

    run(main())


@pytest.mark.parametrize(
    ("status", "wanted", "entire"),
    [
        (200, BodyWanted.NEVER, False),
        (500, BodyWanted.NEVER, False),
        (200, BodyWanted.IF_FAILED, False),
        (500, BodyWanted.IF_FAILED, True),
        (200, BodyWanted.ALWAYS, True),
        (500, BodyWanted.ALWAYS, True),
    ],
)
def test_s12_a_body_that_nobody_wants_is_read_for_a_limited_time(
    status: int, wanted: BodyWanted, entire: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_ms = 50
    monkeypatch.setattr("workers.http_client.connection.BODY_TIMEOUT_S", 0.05)
    head = b"HTTP/1.1 %d Stream\r\n\r\n" % status
    timeout_ms = DEADLINE_MS if entire else 10 * DEADLINE_MS

    async def main() -> None:
        async with (
            receiving(hostile.dripping(head, b"a")) as receiver,
            new_client() as client,
        ):
            request = post(receiver.url(), timeout_ms=timeout_ms)
            result = await client.send(replace(request, body_wanted=wanted))

        assert (result.status, result.error) == (status, None)
        assert result.body_incomplete
        assert set(result.body) == {ord("a")}
        assert result.total_ms >= (timeout_ms if entire else limit_ms) - CLOCK_MS
        assert entire or result.total_ms < timeout_ms - CLOCK_MS

    run(main())


@pytest.mark.parametrize(
    "block",
    [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n"],
)
def test_s12_a_flood_of_interim_responses_ends_the_attempt_early(block: bytes) -> None:
    async def main() -> None:
        async with (
            receiving(hostile.flooding(b"", block * 1000)) as receiver,
            new_client() as client,
        ):
            result = await client.send(post(receiver.url()))
            await until(lambda: receiver.open_connections == 0)

        assert result.error is Failure.HEADERS_TOO_LARGE
        assert result.total_ms < LONG_MS

    run(main())


@pytest.mark.parametrize(
    ("start", "block"),
    [
        (b"", b"\r\n" * 30_000),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 8000),
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 65536),
        (b"HTTP/1.1 200 ", b"a" * 65536),
        (hostile.CHUNKED + b"0\r\n", b"X-A: b\r\n" * 8000),
        (hostile.CHUNKED + b"1;", b"a" * 65536),
        (hostile.CHUNKED, b"0" * 65536),
        (hostile.CHUNKED, (b"1;" + b"a" * 1000 + b"\r\na\r\n") * 60),
    ],
    ids=[
        "blank-lines",
        "headers",
        "header",
        "reason",
        "trailers",
        "chunk-extension",
        "chunk-size",
        "chunk-extensions",
    ],
)
def test_s12_endless_framing_ends_the_attempt_early(start: bytes, block: bytes) -> None:
    async def main() -> None:
        behave = hostile.flooding(start, block)
        async with receiving(behave) as receiver, new_client() as client:
            result = await client.send(post(receiver.url()))
            await until(lambda: receiver.open_connections == 0)

        assert result.total_ms < LONG_MS
        if result.error is None:
            assert result.body_incomplete
        else:
            assert result.error in {Failure.HEADERS_TOO_LARGE, Failure.PROTOCOL}, result

    run(main())


def test_s12_a_stalled_tls_handshake_ends_at_the_deadline() -> None:
    async def main() -> None:
        async with (
            receiving(hostile.accept_only) as receiver,
            new_client() as client,
        ):
            url = receiver.url(scheme="https")
            result = await client.send(post(url, timeout_ms=DEADLINE_MS))
            assert receiver.connections == 1
            await until(lambda: receiver.open_connections == 0)

        assert result.error is Failure.TLS_TIMEOUT
        assert DEADLINE_MS - CLOCK_MS <= result.total_ms <= DEADLINE_MS + GRACE_MS
        assert not result.dispatched

    run(main())


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems refuse at a full backlog"
)
def test_s12_a_stalled_connect_ends_at_the_deadline() -> None:
    async def main(port: int) -> None:
        async with new_client() as client:
            url = f"http://127.0.0.1:{port}/"
            result = await client.send(post(url, timeout_ms=DEADLINE_MS))

        assert result.error is Failure.CONNECT_TIMEOUT
        assert DEADLINE_MS - CLOCK_MS <= result.total_ms <= DEADLINE_MS + GRACE_MS
        assert not result.dispatched

    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(address)
        run(main(address[1]))
        for client in waiting:
            client.close()


def test_s12_a_stalled_name_server_ends_at_the_deadline() -> None:
    may_reply = threading.Event()

    def lookup(host: str) -> list[str]:
        may_reply.wait(LONG_MS / 1000)
        return ["127.0.0.1"]

    async def main() -> None:
        async with new_client(lookup=lookup) as client:
            url = "http://slow.example/"
            result = await client.send(post(url, timeout_ms=DEADLINE_MS))
            may_reply.set()

        assert (result.error, result.dispatched) == (Failure.DNS_TIMEOUT, False)
        assert DEADLINE_MS - CLOCK_MS <= result.total_ms <= DEADLINE_MS + GRACE_MS

    run(main())


def test_s12_nothing_is_sent_after_the_deadline() -> None:
    async def main() -> None:
        async with receiving(hostile.answering()) as receiver, new_client() as client:
            result = await client.send(post(receiver.url(), timeout_ms=0))
            assert receiver.requests == []

        assert (result.error, result.dispatched) == (Failure.WAIT_TIMEOUT, False)

    run(main())


@pytest.mark.parametrize("response", [b"", hostile.OK], ids=["silent", "responding"])
def test_s12_a_receiver_that_does_not_read_cannot_keep_the_connection_open(
    response: bytes,
) -> None:
    async def main() -> None:
        size, counts = 2**25, list[int]()
        async with (
            receiving(hostile.not_reading(response, counts)) as receiver,
            new_client() as client,
        ):
            result = await client.send(
                post(receiver.url(), body=bytes(size), timeout_ms=DEADLINE_MS)
            )
            await until(lambda: client.open_connections == 0)
            receiver.may_continue.set()
            await until(lambda: bool(counts))

        assert result.error is (None if response else Failure.WRITE_TIMEOUT)
        assert result.status == (200 if response else None)
        assert counts[0] < size

    run(main())


def test_a_cancelled_attempt_closes_its_connection() -> None:
    async def main() -> None:
        async with (
            receiving(hostile.never_respond) as receiver,
            new_client() as client,
        ):
            task = asyncio.create_task(client.send(post(receiver.url())))
            await until(lambda: len(receiver.requests) == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: receiver.open_connections == 0)

    run(main())


def test_closing_does_not_wait_for_receivers() -> None:
    async def main() -> None:
        async with receiving(hostile.not_reading(b"", [])) as receiver:
            async with new_client() as client:
                task = asyncio.create_task(
                    client.send(post(receiver.url(), body=bytes(2**25)))
                )
                await until(lambda: len(receiver.requests) == 1)
            result = await task

        assert result.error is Failure.CLOSED

    run(main())


def test_s13_an_endless_body_is_truncated_at_the_cap() -> None:
    async def main() -> None:
        behave = hostile.flooding(hostile.ENDLESS, hostile.BLOCK)
        async with receiving(behave) as receiver, new_client() as client:
            await client.send(post(receiver.url()))
            before_bytes = peak_memory_bytes()
            result = await client.send(post(receiver.url()))
            grown_bytes = peak_memory_bytes() - before_bytes
            await until(lambda: receiver.open_connections == 0)

        assert (result.status, result.error) == (200, None)
        assert result.body_truncated
        assert result.body == bytes(CAP_BYTES)
        assert grown_bytes < 5 * 2**20
        assert result.total_ms < LONG_MS

    run(main())


@pytest.mark.parametrize("start", [hostile.CHUNKED, b"HTTP/1.1 200 OK\r\n\r\n"])
def test_s13_a_body_of_unknown_length_is_truncated_at_the_cap(start: bytes) -> None:
    async def main() -> None:
        block = b"10000\r\n" + hostile.BLOCK + b"\r\n"
        result = await send_to(hostile.flooding(start, block))

        assert (result.status, result.error) == (200, None)
        assert (len(result.body), result.body_truncated) == (CAP_BYTES, True)

    run(main())


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_s13_only_a_body_above_the_cap_is_truncated(over: int) -> None:
    async def main() -> None:
        body = bytes(CAP_BYTES + over)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        result = await send_to(hostile.answering(head + body))

        assert result.body == body[:CAP_BYTES]
        assert result.body_truncated == (over > 0)
        assert result.error is None

    run(main())


def headers_response(*lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"Content-Length: 0", b"", b""])


@pytest.mark.parametrize(
    "response",
    [
        headers_response(*[b"X-A: b"] * 999),
        headers_response(b"X-A: " + b"a" * 65_536),
        headers_response(b"X" * 65_536 + b": a"),
        headers_response(*[b"X-A: " + b"a" * 65_000] * 4),
        b"HTTP/1.1 200 " + b"a" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["1000", "long-value", "long-name", "256-kib", "long-reason"],
)
def test_s14_many_and_long_headers_are_read(response: bytes) -> None:
    async def main() -> None:
        result = await send_to(hostile.answering(response))

        assert (result.status, result.error) == (200, None)
        assert max(len(name + value) for name, value in result.headers) < 9000
        assert result.headers[-1] == ("Content-Length", "0")

    run(main())


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    "lines",
    [
        [b"X-A: b"] * 1000,
        [b"X-%d: b" % number for number in range(50_000)],
        [b"X-A: " + b"a" * 65_537],
        [b"X-A: " + b"a" * 2**20],
        [b"X-" + b"a" * 65_536 + b": b"],
        [b"X-A: " + b"a" * 60_000] * 5,
        [b"X-A: b", b" " + b"a" * 65_537],
    ],
    ids=["1001", "50000", "value", "endless-value", "name", "300-kb", "folded"],
)
def test_s14_too_many_or_too_long_headers_have_a_code_and_the_status(
    status: int, lines: list[bytes]
) -> None:
    response = headers_response(*lines).replace(b"200", b"%d" % status, 1)

    async def main() -> None:
        result = await send_to(hostile.answering(response))

        assert (result.status, result.error) == (status, Failure.HEADERS_TOO_LARGE)
        assert result.dispatched
        assert result.headers == ()

    run(main())


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"a" * 8192, "a" * 8192),
        (b"a" * 8193, "a" * 8178 + "...(truncated)"),
        (b"a" + "ü".encode() * 8000, "a" + "ü" * 4088 + "...(truncated)"),
        (b"\xff" * 9000, "ÿ" * 8178 + "...(truncated)"),
    ],
)
def test_s14_eight_kib_of_a_header_are_kept_and_marked(value: bytes, kept: str) -> None:
    async def main() -> None:
        result = await send_to(hostile.answering(headers_response(b"X-A: " + value)))

        assert dict(result.headers)["X-A"] == kept

    run(main())


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b"caf\xc3\xa9", "café"), (b"caf\xe9", "café"), (b"\xff\xfe", "ÿþ")],
)
def test_s14_header_bytes_outside_ascii_are_decoded(raw: bytes, text: str) -> None:
    async def main() -> None:
        result = await send_to(hostile.answering(headers_response(b"X-Name: " + raw)))

        assert dict(result.headers)["X-Name"] == text
        assert text.encode()

    run(main())


@pytest.mark.parametrize(
    "response",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX(A): b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: b\x00c\r\n\r\n",
    ],
)
def test_an_invalid_response_is_a_protocol_failure(response: bytes) -> None:
    async def main() -> None:
        result = await send_to(hostile.answering_once(response, then_close=True))

        assert result.error is Failure.PROTOCOL, result
        assert result.dispatched

    run(main())


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n", b"nonsense\r\n"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nab"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\nab\r\n0\r\n"),
        (b"Content-Length: 9\r\n\r\n", b"short"),
        (b"Content-Length: 9\r\n\r\n", b""),
    ],
    ids=["bad-chunk", "cut-chunk", "cut-end", "short", "empty"],
)
def test_a_complete_head_is_the_response_however_its_body_ends(
    status: int, framing: bytes, body: bytes
) -> None:
    response = b"HTTP/1.1 %d X\r\nRetry-After: 7\r\n" % status + framing + body

    async def main() -> None:
        result = await send_to(hostile.answering_once(response, then_close=True))

        assert (result.status, result.error) == (status, None)
        assert (result.body_incomplete, result.body_truncated) == (True, False)
        assert ("Retry-After", "7") in result.headers
        assert result.body == b"".join(
            part for part in (b"ab", b"short") if part in body
        )
        assert result.detail

    run(main())


def test_fuzz_no_response_makes_the_client_raise() -> None:
    rng = random.Random(12)
    seeds = [
        hostile.OK,
        hostile.CHUNKED + b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + hostile.OK,
        headers_response(b"Set-Cookie: a=b; Path=/", b"Location: http://[::1"),
        b"HTTP/1.0 204 No\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ]

    def mutate(data: bytes) -> bytes:
        broken = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(broken))
            piece = rng.choice([b"\r\n", b"\x00", b"\xff", b":", b"9" * 30, b""])
            broken[at : at + rng.randint(0, 3)] = piece or rng.randbytes(2)
        return bytes(broken)

    responses = [mutate(rng.choice(seeds)) for _ in range(600)]

    async def behave(connection: hostile.Connection) -> None:
        await connection.read_request()
        await connection.write(responses.pop())

    async def main() -> None:
        async with receiving(behave) as receiver, new_client() as client:
            request = post(receiver.url(), timeout_ms=DEADLINE_MS)
            results = await asyncio.gather(*(client.send(request) for _ in range(600)))

            await until(lambda: client.open_connections == 0)

        for result in results:
            assert result.error is None or result.error in Failure
            assert result.total_ms <= 2 * (DEADLINE_MS + GRACE_MS)
            assert all((name + value).encode() for name, value in result.headers)

    run(main())


def test_s13_a_body_of_many_chunks_is_cut_off() -> None:
    async def behave(connection: hostile.Connection) -> None:
        await connection.read_request()
        await connection.write(hostile.CHUNKED + b"1\r\nx\r\n" * 60_000)
        await connection.hang()

    async def main() -> None:
        result = await send_to(behave)

        assert (result.status, result.error) == (200, None)
        assert result.detail == "the response body has too many chunks"
        assert result.body_incomplete
        assert result.body == b"x" * 50_000

    run(main())


def test_s13_data_after_the_cap_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = list[bytes]()
    on_body = HttpConnection.on_body

    def record(connection: HttpConnection, piece: bytes) -> None:
        pieces.append(piece)
        on_body(connection, piece)

    async def behave(connection: hostile.Connection) -> None:
        await connection.read_request()
        await connection.write(hostile.CHUNKED)
        while True:
            await connection.write(b"4000\r\n" + bytes(0x4000) + b"\r\n")

    async def main() -> None:
        monkeypatch.setattr(HttpConnection, "on_body", record)
        result = await send_to(behave)

        assert result.body_truncated
        # The kernel gives at most 256 KiB at once; what comes later is dropped.
        assert sum(map(len, pieces)) <= CAP_BYTES + 256 * 1024

    run(main())


def test_a_name_that_this_machine_has_no_resources_to_resolve_is_its_own_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lookup(_: str) -> list[str]:
        raise OSError(errno.EMFILE, "too many open files")

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        async with new_client(lookup=lookup) as client:
            errors = [(await client.send(post("http://name.example/"))).error]
            monkeypatch.setattr(threading.Thread, "start", start)
            for _ in range(200):
                errors.append((await client.send(post("http://name.example/"))).error)

            assert {*errors} == {Failure.WORKER}

    run(main())
