"""Tests of response heads that the strict parser refuses."""

import pytest
from tests.workers.http_client import hostile
from tests.workers.http_client.hostile import Connection, receiving
from tests.workers.http_client.sending import new_client, post, run, send_to
from workers.http_client.errors import NotHttp
from workers.http_client.failures import Failure
from workers.http_client.response_head import Head, LenientHead

OK = b"HTTP/1.1 200 OK\r\n"
END = b"Content-Length: 2\r\n\r\nok"


def read(raw: bytes, *, size: int) -> Head | None:
    """Read a head in pieces of `size` bytes; return None if it is not complete."""
    reader = LenientHead()
    for at in range(0, len(raw), size):
        head = reader.feed(raw[at : at + size])
        if head is not None:
            return head._replace(rest=head.rest + raw[at + size :])
    return None


def read_headers(lines: bytes) -> list[tuple[bytes, bytes]]:
    head = read(OK + lines + b"\r\n", size=1000)
    assert head is not None
    return head.headers


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (b"X: one\r\n two\r\n", b"one two"),
        (b"X: one\r\n\ttwo\r\n", b"one two"),
        (b"X: one  \r\n     two  \r\n", b"one two"),
        (b"X:\r\n one\r\n", b"one"),
        (b"X: one\r\n \r\n two\r\n", b"one  two"),
        (b"X: one\n two\n", b"one two"),
        (b"X: one\r\n two: three\r\n", b"one two: three"),
        (b"X : one\r\n", b"one"),
        (b"X: a\x01b\x7f\r\n", b"a\x01b\x7f"),
        (b" lost\r\nX: one\r\n", b"one"),
        (b": lost\r\nX: one\r\n", b"one"),
        (b"X: \xff\x80\r\n", b"\xff\x80"),
    ],
)
def test_a_doubtful_header_is_read(lines: bytes, value: bytes) -> None:
    assert read_headers(lines) == [(b"X", value)]


LENGTHS = {
    b"Content-Length: 2\r\nContent-Length: 2\r\n": b"2",
    b"Content-Length: 2\r\nCONTENT-LENGTH: 2\r\n": b"2",
    b"Content-Length: 2, 2\r\n": b"2",
    b"Content-Length: 2,2\r\nContent-Length: 2\r\n": b"2",
    b"Content-Length: 2,\r\n": b"2",
    b"Content-Length: 2\r\nContent-Length: 02\r\n": b"2",
    b"Content-Length:\r\n 2\r\n": b"2",
}
NO_LENGTHS = (
    b"Content-Length: 2\r\nContent-Length: 3\r\n",
    b"Content-Length: 2, 3\r\n",
    b"Content-Length: 2\r\nContent-Length: x\r\n",
    b"Content-Length: +2\r\n",
    b"Content-Length: 0x2\r\n",
    b"Content-Length:\r\n",
    b"Content-Length: \xb2\r\n",
    b"Content-Length: " + b"1" * 5000 + b"\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\nContent-Length: 3\r\n",
)


@pytest.mark.parametrize("lines", LENGTHS)
def test_equal_lengths_are_one(lines: bytes) -> None:
    head = read(OK + lines + b"\r\n", size=1000)

    assert head is not None
    assert head.framing == [(b"Content-Length", LENGTHS[lines])]


@pytest.mark.parametrize("lines", NO_LENGTHS)
def test_contradicting_or_malformed_lengths_are_an_error(lines: bytes) -> None:
    with pytest.raises(NotHttp):
        read(OK + lines + b"\r\n", size=1000)


@pytest.mark.parametrize(
    ("lines", "coding"),
    [
        (b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", b"chunked"),
        (b"Transfer-Encoding : Chunked\r\n", b"chunked"),
        (b"Transfer-Encoding: gzip,\r\n chunked\r\n", b"chunked"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", b"identity"),
        (b"Transfer-Encoding: xchunked\r\n", b"identity"),
    ],
)
def test_a_transfer_coding_has_priority_over_a_length(
    lines: bytes, coding: bytes
) -> None:
    head = read(OK + lines + b"\r\n", size=1000)

    assert head is not None
    assert head.framing == [(b"Transfer-Encoding", coding)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("before", [b"", b"\r\n\r\n", b"HTTP/1.1 100\r\n\r\n" * 3])
def test_a_head_may_arrive_in_pieces(before: bytes, end: bytes, size: int) -> None:
    raw = before + OK + b"X: one\r\n two\r\nY:\r\n\r\n"

    head = read(raw.replace(b"\r\n", end) + b"\nbody", size=size)

    assert head == Head(200, [(b"X", b"one two"), (b"Y", b"")], [], b"\nbody")


@pytest.mark.parametrize(
    "raw", [b"X", b"HTTQ", b"220 mail\r\n", b"HTTP/1.1 20x\r\n", b"HTTP/1.1 0200a\n"]
)
def test_what_is_no_response_is_refused_before_it_is_complete(raw: bytes) -> None:
    with pytest.raises(NotHttp):
        read(raw, size=1)


DOUBTFUL = {
    "equal-lengths": OK + b"Content-Length: 2\r\n" + END,
    "list": OK + b"Content-Length: 2, 2\r\n\r\nok",
    "fold": OK + b"X: a\r\n b\r\n" + END,
    "bare-lf": (OK + END).replace(b"\r\n", b"\n"),
    "blank-before-colon": OK + b"X : a\r\n" + END,
    "control-character": OK + b"X: \x01\r\n" + END,
    "chunked-and-length": OK
    + b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n"
    b"2\r\nok\r\n0\r\n\r\n",
    "after-100": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"X: a\r\n b\r\n" + END,
}


@pytest.mark.parametrize("name", DOUBTFUL)
@pytest.mark.parametrize("pieces", [1, 7])
def test_after_doubtful_framing_the_connection_is_closed(
    name: str, pieces: int
) -> None:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        size = len(DOUBTFUL[name]) // pieces + 1
        for at in range(0, len(DOUBTFUL[name]), size):
            await connection.write(DOUBTFUL[name][at : at + size])
        await connection.hang()

    async def main() -> None:
        async with receiving(behave) as receiver, new_client() as client:
            for _ in range(2):
                result = await client.send(post(receiver.url()))
                assert (result.status, result.body, result.error) == (200, b"ok", None)
                assert not result.body_incomplete
            assert receiver.connections == 2

    run(main())


def test_a_doubtful_response_to_head_has_no_body() -> None:
    async def main() -> None:
        behave = hostile.answering_once(OK + b"X: a\r\n b\r\nContent-Length: 9\r\n\r\n")
        async with receiving(behave) as receiver, new_client() as client:
            request = post(receiver.url(), body=b"")
            result = await client.send(
                type(request)("HEAD", request.url, (), b"", request.timeout_ms)
            )

        assert (result.status, result.error, result.body_incomplete) == (
            200,
            None,
            False,
        )

    run(main())


@pytest.mark.parametrize("upgrade", [b"", b"Upgrade: x\r\nConnection: upgrade\r\n"])
def test_a_switch_of_protocols_is_a_failed_response(upgrade: bytes) -> None:
    async def main() -> None:
        response = b"HTTP/1.1 101 Switching\r\n" + upgrade + b"\r\n\x01\x02"
        result = await send_to(hostile.answering_once(response))

        assert (result.status, result.error, result.body) == (101, None, b"")

    run(main())


@pytest.mark.parametrize("line", [b"no colon", b"X(A): b", b"X-A: b\x00"])
def test_a_malformed_header_is_named(line: bytes) -> None:
    async def main() -> None:
        behave = hostile.answering_once(OK + line + b"\r\n" + END)
        result = await send_to(behave)

        assert result.error is Failure.PROTOCOL
        assert "the response has a malformed header" in result.detail

    run(main())
