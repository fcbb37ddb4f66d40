"""Tests of sent requests and read responses (S-06, S-08, S-10, S-16)."""

import pytest
import random
import socket
from pathlib import Path
from scheduler_api.core.delivery.request import Request
from tests.workers.http_client import hostile
from tests.workers.http_client.hostile import receiving
from tests.workers.http_client.sending import (
    HEADERS,
    LONG_MS,
    new_client,
    post,
    run,
    send_to,
)
from workers.http_client.failures import Failure


async def sent_bytes(request: Request) -> bytes:
    """Send a request to a receiver; return the bytes that arrive.

    `request.url` is only a path.
    """
    async with receiving(hostile.answering()) as receiver, new_client() as client:
        url = receiver.url(request.url)
        absolute = Request(request.method, url, request.headers, request.body, LONG_MS)
        result = await client.send(absolute)
        assert result.error is None, result
        port = f":{receiver.port}".encode()
        return receiver.requests[0].replace(port, b"")


def test_the_result_has_status_headers_and_body_of_the_response() -> None:
    async def main() -> None:
        result = await send_to(
            hostile.answering(
                b"HTTP/1.1 418 Tea\r\nX-One: 1\r\nx-one: 2\r\nContent-Length: 3\r\n\r\n"
                b"a\x00b"
            )
        )

        assert (result.status, result.body) == (418, b"a\x00b")
        assert result.headers == (
            ("X-One", "1"),
            ("x-one", "2"),
            ("Content-Length", "3"),
        )
        assert (result.error, result.detail, result.body_truncated) == (None, "", False)
        assert result.dispatched

    run(main())


def test_header_lines_may_end_without_a_carriage_return() -> None:
    async def main() -> None:
        response = b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"
        result = await send_to(hostile.answering(response))

        assert (result.status, result.body, result.error) == (200, b"ok", None)

    run(main())


def test_times_are_relative_to_the_start_and_in_order() -> None:
    async def main() -> None:
        result = await send_to(hostile.answering())

        assert result.connect_ms is not None
        assert result.first_byte_ms is not None
        assert 0 <= result.connect_ms <= result.first_byte_ms <= result.total_ms
        assert result.started_ms > 1_700_000_000_000

    run(main())


def test_headers_and_body_are_sent_unchanged_and_in_order() -> None:
    async def main() -> None:
        body = bytes(range(256))
        sent = await sent_bytes(Request("POST", "/hook", HEADERS, body, 0))

        assert sent == (
            b"POST /hook HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"X-B: 1\r\nx-a: 2\r\nX-b: 3\r\n"
            b"Accept: */*\r\nAccept-Encoding: identity\r\nUser-Agent: scheduler-api\r\n"
            b"Content-Length: 256\r\n\r\n" + body
        )

    run(main())


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/a//b/../c/./d",
        "/%2f%2F%41%zz%",
        "/?q=%41&q=a+b&&=",
        "/a?b?c",
        "//evil.example/x",
        "/https://other/x",
        "/;x='\"<>{}|^`",
    ],
)
def test_path_and_query_are_sent_unchanged(target: str) -> None:
    async def main() -> None:
        sent = await sent_bytes(Request("POST", target, (), b"", 0))

        assert sent.partition(b" HTTP/1.1\r\n")[0] == f"POST {target}".encode()

    run(main())


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD"])
def test_an_empty_body_has_no_content_type(method: str) -> None:
    async def main() -> None:
        async with receiving(hostile.answering(b"HTTP/1.1 204 No\r\n\r\n")) as receiver:
            async with new_client() as client:
                result = await client.send(
                    Request(method, receiver.url(), (), b"", LONG_MS)
                )
            sent = receiver.requests[0].lower()

        assert result.error is None
        assert b"content-type" not in sent
        assert (b"content-length: 0" in sent) == (method not in {"GET", "HEAD"})

    run(main())


def test_headers_of_the_event_replace_the_defaults() -> None:
    async def main() -> None:
        own = (("user-agent", "mine"), ("ACCEPT", "a/b"), ("accept-Encoding", "gzip"))
        sent = await sent_bytes(Request("POST", "/", own, b"", 0))

        head = sent.decode().split("\r\n")
        assert head[2:5] == ["user-agent: mine", "ACCEPT: a/b", "accept-Encoding: gzip"]
        assert head[5:] == ["Content-Length: 0", "", ""]

    run(main())


@pytest.mark.parametrize("value", [b"caf\xe9", "é日本".encode(), b"\x80\xff", b"a\tb"])
def test_each_character_of_a_header_is_sent_as_one_byte(value: bytes) -> None:
    async def main() -> None:
        headers = (("X-Name", value.decode("latin-1")),)
        sent = await sent_bytes(Request("POST", "/", headers, b"", 0))

        assert b"\r\nX-Name: " + value + b"\r\n" in sent

    run(main())


@pytest.mark.parametrize("size", [1, 2**20, 2**20 + 1, 3 * 2**20])
@pytest.mark.filterwarnings("error")
def test_bodies_of_any_size_arrive_unchanged(size: int) -> None:
    async def main() -> None:
        body = random.Random(size).randbytes(size)
        sent = await sent_bytes(Request("POST", "/", (), body, 0))

        assert sent.partition(b"\r\n\r\n")[2] == body
        assert f"Content-Length: {size}\r\n".encode() in sent
        assert b"Content-Type" not in sent

    run(main())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_s08_s23_a_redirect_is_the_result_and_is_not_followed(status: int) -> None:
    async def main() -> None:
        async with receiving(hostile.answering()) as target:
            location = f"Location: {target.url()}\r\nContent-Length: 0\r\n\r\n"
            response = f"HTTP/1.1 {status} Moved\r\n{location}".encode()
            async with receiving(hostile.answering(response)) as receiver:
                async with new_client() as client:
                    result = await client.send(post(receiver.url()))
                assert len(receiver.requests) == 1
            assert target.connections == 0

        assert (result.status, result.error) == (status, None)

    run(main())


def test_s10_proxies_and_netrc_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    async def main() -> None:
        async with (
            receiving(hostile.answering()) as proxy,
            receiving(hostile.answering()) as receiver,
        ):
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
                monkeypatch.setenv(name, proxy.url(""))
            async with new_client() as client:
                result = await client.send(post(receiver.url()))
            assert result.status == 200
            assert proxy.connections == 0
            assert b"authorization" not in receiver.requests[0].lower()

    run(main())


def test_s10_cookies_are_not_kept() -> None:
    async def main() -> None:
        response = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
        async with receiving(hostile.answering(response)) as receiver:
            async with new_client() as client:
                for _ in range(2):
                    await client.send(post(receiver.url()))
            assert b"cookie" not in receiver.requests[1].lower()

    run(main())


@pytest.mark.parametrize(
    "header",
    [
        ("X-Name", "a\r\nX-Injected: 1"),
        ("X-Name", "a\nb"),
        ("X-Name", "a\x00"),
        ("X-Name", "日本"),
        ("X-Name\r\nX-Injected", "1"),
        ("", "a"),
        ("Host", "other.example"),
        ("content-length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Expect", "100-continue"),
    ],
)
def test_s16_a_bad_or_reserved_header_stops_the_request(
    header: tuple[str, str],
) -> None:
    async def main() -> None:
        async with receiving(hostile.answering()) as receiver, new_client() as client:
            result = await client.send(
                Request("POST", receiver.url(), (header,), b"", LONG_MS)
            )
            assert receiver.connections == 0

        assert (result.error, result.dispatched) == (Failure.BAD_HEADER, False)

    run(main())


@pytest.mark.parametrize(
    "url",
    ["", "ftp://h/", "http://a@h/", "http://h\\@g/", "http://a..b/", "http://h /"],
)
def test_s06_an_invalid_or_ambiguous_url_stops_the_request(url: str) -> None:
    async def main() -> None:
        async with new_client() as client:
            result = await client.send(post(url))

        assert (result.error, result.dispatched) == (Failure.BAD_URL, False)

    run(main())


def test_a_refused_connection_and_an_unknown_name_have_different_codes() -> None:
    def lookup(host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, host)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        async with new_client(lookup=lookup) as client:
            refused = await client.send(post(f"http://127.0.0.1:{port}/"))
            unknown = await client.send(post("http://unknown.example/"))

        assert (refused.error, refused.detail) == (
            "refused",
            "the receiver refused the connection: no program listens on this port",
        )
        assert (unknown.error, unknown.detail) == (
            "dns",
            "the host name unknown.example does not exist",
        )
        assert not refused.dispatched
        assert not unknown.dispatched

    run(main())
