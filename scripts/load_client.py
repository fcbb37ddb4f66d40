"""An HTTP load generator that needs little processor time itself."""

import asyncio
import time
import uvloop
from collections.abc import Iterator
from dataclasses import dataclass
from tests.system.receiver import content_length
from typing import cast


@dataclass(frozen=True)
class Response:
    """A response."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Round:
    """All responses to a series of requests, and how long the series took."""

    responses: list[Response]
    took_s: float


class Connection(asyncio.Protocol):
    """A connection that sends each request after the response to the previous one."""

    def __init__(self, requests: Iterator[bytes], responses: list[Response]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._responses = responses
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send_next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= content_length(head):
            self._responses.append(Response(int(head.split(b" ", 2)[1]), body))
            self._received = b""
            self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionResetError())

    def _send_next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self.ended.set_result(None)
            self._transport.close()
        else:
            self._transport.write(request)


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Encode a POST request."""
    fields = {"Host": "127.0.0.1", **headers, "Content-Length": str(len(body))}
    lines = [f"POST {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def send(requests: Iterator[bytes], *, port: int, connections: int) -> Round:
    """Send all requests, distributed over a number of connections.

    Raises: OSError.
    """
    return uvloop.run(_send(requests, port=port, connections=connections))


async def _send(requests: Iterator[bytes], *, port: int, connections: int) -> Round:
    loop, responses = asyncio.get_running_loop(), list[Response]()
    started_s = time.monotonic()
    opened = [
        await loop.create_connection(
            lambda: Connection(requests, responses), "127.0.0.1", port
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.ended for _, connection in opened))
    return Round(responses, time.monotonic() - started_s)
