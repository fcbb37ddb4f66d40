"""Tests that each cause of a failure has its own code and message."""

import errno
import pytest
import socket
import ssl
import struct
import sys
import time
from collections.abc import Sequence
from scheduler_api.core.delivery.destinations import parse
from scheduler_api.core.delivery.request import BodyWanted
from tests.system.blocked_receiver import BlockedReceiver
from tests.workers.http_client import hostile
from tests.workers.http_client.hostile import Behaviour, Connection, receiving
from tests.workers.http_client.sending import DEADLINE_MS, new_client, post, run
from time import perf_counter
from workers.http_client.connection import is_unheard
from workers.http_client.exchange import HttpExchange
from workers.http_client.failures import (
    ORIGIN_FAILURES,
    ROUTE_FAILURES,
    Failure,
    explain,
)


def alert(code: int) -> bytes:
    """Return a fatal TLS alert."""
    return bytes.fromhex("150301000202") + bytes([code])


ALERT = alert(70)  # protocol_version


def writing(data: bytes, *, first: bool) -> Behaviour:
    """Write data before or after the first bytes of the client, then hang."""

    async def behave(connection: Connection) -> None:
        if not first:
            await connection.reader.read(1)
        await connection.write(data)
        await connection.hang()

    return behave


async def close(connection: Connection) -> None:
    await connection.reader.read(65536)


async def close_in_head(connection: Connection) -> None:
    await connection.reader.read(1)
    await connection.write(b"HTTP/1.1 500 No\r\n")


async def reset(connection: Connection) -> None:
    await connection.reader.read(65536)
    linger = struct.pack("ii", 1, 0)
    accepted = connection.writer.get_extra_info("socket")
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.writer.transport.abort()


HTTP = {
    "closed": (close, Failure.CLOSED, "closed the connection without a response"),
    "cut": (close_in_head, Failure.CLOSED, "before the response head was complete"),
    "reset": (reset, Failure.RESET, "reset the connection without a response"),
    "banner": (
        writing(b"220 mail ESMTP\r\n", first=True),
        Failure.PROTOCOL,
        "not HTTP",
    ),
    "not-http": (
        writing(b"nonsense\r\n\r\n", first=False),
        Failure.PROTOCOL,
        "'nonsense",
    ),
    "status": (
        writing(b"HTTP/1.1 20 OK\r\nX: y\r\n\r\n", first=False),
        Failure.PROTOCOL,
        "the response has a malformed status line: 'HTTP/1.1 20 OK'",
    ),
    "status-below-100": (
        writing(b"HTTP/1.1 099 X\r\n\r\n", first=False),
        Failure.PROTOCOL,
        "the response has a malformed status line: 'HTTP/1.1 099 X'",
    ),
    "tls-port": (writing(ALERT, first=False), Failure.TLS_EXPECTED, "https://"),
    "silent": (hostile.never_respond, Failure.TIMEOUT, "did not answer within 0."),
    "drip": (
        hostile.dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        Failure.TIMEOUT,
        "response head was not complete within 0.",
    ),
    "unread": (
        hostile.not_reading(b"", []),
        Failure.WRITE_TIMEOUT,
        "did not read the entire request",
    ),
}
HTTPS = {
    "plain-port": (
        writing(b"HTTP/1.1 400 Bad Request\r\n\r\n", first=False),
        Failure.TLS_PLAIN_PORT,
        "http://",
    ),
    "banner": (
        writing(b"SSH-2.0-x\r\n", first=True),
        Failure.TLS_PLAIN_PORT,
        "http://",
    ),
    "old": (writing(ALERT, first=False), Failure.TLS_VERSION, "(1.2 and later)"),
    "cipher": (
        writing(alert(40), first=False),
        Failure.TLS,
        "ended the TLS handshake (handshake failure): there is no common cipher",
    ),
    "name": (
        writing(alert(112), first=False),
        Failure.TLS,
        "(unrecognized name): it has no certificate for this host name",
    ),
    "alert": (writing(alert(80), first=False), Failure.TLS, "(internal error)"),
    "closed": (close, Failure.TLS, "closed the connection in the TLS handshake"),
    "reset": (reset, Failure.CONNECT_RESET, "in the TLS handshake"),
    "silent": (hostile.never_respond, Failure.TLS_TIMEOUT, "TLS handshake"),
}
BEHAVIOURS = [
    pytest.param(scheme, *case, id=f"{scheme}-{name}")
    for scheme, cases in (("http", HTTP), ("https", HTTPS))
    for name, case in cases.items()
]


@pytest.mark.parametrize(("scheme", "behave", "code", "text"), BEHAVIOURS)
def test_each_failure_of_a_receiver_has_its_own_code(
    scheme: str, behave: Behaviour, code: Failure, text: str
) -> None:
    async def main() -> None:
        async with receiving(behave) as receiver, new_client() as client:
            url = receiver.url(scheme=scheme)
            body = bytes(2**24 if code is Failure.WRITE_TIMEOUT else 2)
            result = await client.send(post(url, body=body, timeout_ms=DEADLINE_MS))

        assert (result.error, result.status) == (code, None), result
        assert text in result.detail
        assert "127.0.0.1" not in result.detail
        assert result.dispatched == (scheme == "http")
        assert not result.unheard

    run(main())


def test_a_packet_that_no_machine_answers_is_not_acknowledged() -> None:
    with BlockedReceiver() as receiver, socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.connect(("127.0.0.1", parse(receiver.url).origin.port))

        assert is_unheard(sock, perf_counter()) == (sys.platform == "linux")


def test_a_response_before_the_request_is_the_response() -> None:
    async def main() -> None:
        busy = b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"
        behave = writing(busy, first=True)
        async with receiving(behave) as receiver, new_client() as client:
            result = await client.send(post(receiver.url()))

        assert (result.status, result.error) == (503, None)
        assert ("Retry-After", "3") in result.headers

    run(main())


@pytest.mark.parametrize(
    ("err", "text"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "name.example does not exist"),
        (socket.gaierror(socket.EAI_NODATA, "x"), "name.example has no address"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "the name server failed, or did not"),
        (socket.gaierror(socket.EAI_FAIL, "a failure"), "not looked up: a failure"),
        (socket.gaierror(socket.EAI_MEMORY, "memory"), "not looked up: memory"),
        (UnicodeError("label too long"), "name.example does not exist"),
        (OSError(errno.EIO, "input or output error"), "input or output error"),
    ],
)
def test_a_failed_lookup_says_why(err: Exception, text: str) -> None:
    def lookup(host: str) -> Sequence[str]:
        raise err

    async def main() -> None:
        async with new_client(lookup=lookup) as client:
            result = await client.send(post("http://name.example/"))

        assert result.error is Failure.DNS
        assert text in result.detail

    run(main())


def test_a_slow_lookup_and_a_slow_receiver_have_different_codes() -> None:
    def lookup(host: str) -> Sequence[str]:
        time.sleep(3 * DEADLINE_MS / 1000)
        return ["127.0.0.1"]

    async def main() -> None:
        async with new_client(lookup=lookup) as client:
            request = post("http://name.example/", timeout_ms=DEADLINE_MS)
            result = await client.send(request)

        assert result.error is Failure.DNS_TIMEOUT
        assert result.detail.startswith("the name server did not answer within 0.")

    run(main())


MANY = "Multiple exceptions: [Errno {}] ('::1', 80), [Errno {}] ('192.0.2.1', 80)"


@pytest.mark.parametrize(
    ("err", "code"),
    [
        (OSError(errno.ECONNREFUSED, "x"), Failure.REFUSED),
        (OSError(errno.ECONNRESET, "x"), Failure.CONNECT_RESET),
        (OSError(errno.EHOSTUNREACH, "x"), Failure.UNREACHABLE),
        (OSError(errno.ENETUNREACH, "x"), Failure.UNREACHABLE),
        (
            OSError(MANY.format(errno.ENETUNREACH, errno.ETIMEDOUT)),
            Failure.CONNECT_TIMEOUT,
        ),
        (OSError(errno.EMFILE, "x"), Failure.WORKER),
        (OSError(errno.ENFILE, "x"), Failure.WORKER),
        (OSError(errno.EADDRNOTAVAIL, "x"), Failure.UNREACHABLE),
        (OSError(errno.EPERM, "x"), Failure.CONNECT),
        (
            OSError(MANY.format(errno.ENETUNREACH, errno.ECONNREFUSED)),
            Failure.REFUSED,
        ),
        (RuntimeError("unable to perform operation"), Failure.CONNECT),
    ],
)
def test_errors_of_the_system_are_told_apart(err: Exception, code: Failure) -> None:
    found, text = explain(err, HttpExchange(lambda: True, 0, BodyWanted.NEVER))

    assert found is code
    assert text
    assert "192.0.2.1" not in text


@pytest.mark.parametrize("verify_code", [20, 21])
def test_an_unknown_issuer_may_be_missing_from_the_chain(verify_code: int) -> None:
    err = ssl.SSLCertVerificationError()
    err.verify_code, err.verify_message = verify_code, "no issuer."

    code, text = explain(err, HttpExchange(lambda: True, 0, None))

    assert code is Failure.TLS_UNTRUSTED
    assert text.endswith(": no issuer; does the receiver send the entire chain?")


def test_an_error_of_tls_after_the_handshake_does_not_deny_it() -> None:
    exchange = HttpExchange(lambda: True, 0, BodyWanted.NEVER)
    exchange.dispatched = True
    garbage = ssl.SSLError()
    garbage.reason = "WRONG_VERSION_NUMBER"
    certificate = ssl.SSLError()
    certificate.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"

    assert explain(garbage, exchange) == (
        Failure.TLS,
        "the TLS connection failed: wrong version number",
    )
    code, text = explain(certificate, exchange)
    assert code is Failure.TLS
    assert "client certificate" in text


def test_no_failure_is_evidence_against_origin_and_route() -> None:
    assert not ORIGIN_FAILURES & ROUTE_FAILURES
    assert Failure.WORKER not in ORIGIN_FAILURES
    assert Failure.BLOCKED not in ORIGIN_FAILURES | ROUTE_FAILURES
