"""An HTTP client that costs little beside the server that it keeps busy."""

import asyncio
import time
import uvloop
from collections.abc import Iterator
from dataclasses import dataclass
from tests.system.receiver import content_length
from typing import cast


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Round:
    """What was answered, and how long all of it took."""

    answers: list[Answer]
    took_s: float


class Connection(asyncio.Protocol):
    """Takes one request after the other, each when the last is answered."""

    def __init__(self, requests: Iterator[bytes], answers: list[Answer]) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= content_length(head):
            self._answers.append(Answer(int(head.split(b" ", 2)[1]), body))
            self._received = b""
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionResetError())

    def _go_on(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self.ended.set_result(None)
            self._transport.close()
        else:
            self._transport.write(request)


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A request as it goes over the wire."""
    fields = {"Host": "127.0.0.1", **headers, "Content-Length": str(len(body))}
    lines = [f"POST {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def send(requests: Iterator[bytes], *, port: int, connections: int) -> Round:
    """Sends all requests over that many connections.

    Raises: OSError.
    """
    return uvloop.run(_send(requests, port=port, connections=connections))


async def _send(requests: Iterator[bytes], *, port: int, connections: int) -> Round:
    loop, answers = asyncio.get_running_loop(), list[Answer]()
    started_s = time.monotonic()
    opened = [
        await loop.create_connection(
            lambda: Connection(requests, answers), "127.0.0.1", port
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.ended for _, connection in opened))
    return Round(answers, time.monotonic() - started_s)
