"""A fast receiver of webhooks that runs as its own process and prints each request.

    python -m tests.system.receiver <address>

The first line of output is the port of the receiver. For each request, the receiver
prints a line before it responds:

    <arrival time, wall clock ns> <scheduled time> <label> <duplicate>

Scheduled time and label are the fields `scheduledTime` and `payload` of the body. For
an occurrence of a schedule, the label is the occurrence's id, which contains the
scheduled time. The label of a callback is `callback-<id of its message>`. `duplicate`
is 1 if the request has the header `Scheduler-Possible-Duplicate`, else 0. When the
delay of a request ends, the receiver prints a second line, even if the sender has
closed the connection:

    <end time, wall clock ns> <number of the request in order of arrival, from 0>

The query of the URL selects the response: `?delay_ms=200&status=500`, or `?hang=1` for
no response. With `&first=2`, only the first two requests with the same label get this
response. With `&retry_after=<seconds>`, the response has this header. With
`&close=1`, the receiver closes the connection after the response, without notice. With
`&until_ms=<wall clock>`, only requests before that time get this
response. All other requests get 200 at once.
"""

import asyncio
import itertools
import orjson
import re
import sys
import time
import uvloop
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from scheduler_api.core.timestamps import to_iso
from typing import NamedTuple, cast
from urllib.parse import parse_qs, urlsplit

OCCURRENCE = re.compile(
    rb"\r\n(?:Upstash-Message|Scheduler-Event)-Id: ([0-9a-z_-]+[._]([0-9]+))\r\n"
)
CLOSED_AFTER_S = 0.02
WARNING = b"\r\nScheduler-Possible-Duplicate: true\r\n"


class Behaviour(NamedTuple):
    """How to respond to a request.

    Attributes:
        answer: the response; None to send none.
        first: how many requests with the same label get this response; 0 for all.
        closes: whether to close the connection soon after the response.
        until_s: after this wall clock time, requests get 200; 0 if there is no limit.
    """

    delay_s: float
    answer: bytes | None
    first: int
    until_s: float = 0
    closes: bool = False


@lru_cache
def parse_behaviour(target: bytes) -> Behaviour:
    """The behaviour that the query of a request target selects."""
    query = parse_qs(urlsplit(target.decode()).query)
    header = b"".join(
        b"retry-after: %s\r\n" % value.encode()
        for value in query.get("retry_after", [])
    )
    answer = _answer(int(query.get("status", ["200"])[0]), header)
    delay_s = int(query.get("delay_ms", ["0"])[0]) / 1000
    first = int(query.get("first", ["0"])[0])
    until_s = int(query.get("until_ms", ["0"])[0]) / 1000
    answered = None if "hang" in query else answer
    return Behaviour(delay_s, answered, first, until_s, "close" in query)


def _answer(status: int, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d -\r\n%scontent-length: 2\r\n\r\nok" % (status, headers)


DEFAULT = Behaviour(0, _answer(200), 0)


class Connection(asyncio.Protocol):
    """A connection. The client must wait for each response before the next request."""

    def __init__(self, counts: Counter[str], numbers: Iterator[int]) -> None:
        self._counts = counts
        self._numbers = numbers
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        length = content_length(head)
        if not found or len(rest) < length:
            return
        arrived_ns = time.time_ns()
        scheduled, label = _identify(head, rest[:length])
        print(arrived_ns, scheduled, label, int(WARNING in head + b"\r\n"), flush=True)
        number = next(self._numbers)
        self._received = rest[length:]
        behaviour = parse_behaviour(head.split(b" ", 2)[1])
        if behaviour.until_s and time.time() >= behaviour.until_s:
            behaviour = DEFAULT
        if behaviour.first:
            self._counts[label] += 1
            if self._counts[label] > behaviour.first:
                behaviour = DEFAULT
        self._answer(behaviour, number)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def _answer(self, behaviour: Behaviour, number: int) -> None:
        if behaviour.answer is None:
            return
        loop = asyncio.get_running_loop()
        if behaviour.closes and self._transport is not None:
            loop.call_later(CLOSED_AFTER_S, self._transport.close)
        if not behaviour.delay_s:
            return self._write(behaviour.answer)
        loop.call_later(behaviour.delay_s, self._end, behaviour.answer, number)

    def _end(self, answer: bytes, number: int) -> None:
        print(time.time_ns(), number, flush=True)
        self._write(answer)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


def _identify(head: bytes, body: bytes) -> tuple[str, str]:
    """The scheduled time and the label of a request."""
    occurrence = OCCURRENCE.search(head)
    if occurrence is None:
        fields = orjson.loads(body)
        if "sourceMessageId" in fields:
            return to_iso(0), f"callback-{fields['sourceMessageId']}"
        return fields["scheduledTime"], fields["payload"]
    return to_iso(int(occurrence[2]) * 1000), occurrence[1].decode()


def content_length(head: bytes) -> int:
    """The `Content-Length` in a request head; 0 if there is none."""
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


async def _serve(host: str) -> None:
    loop = asyncio.get_running_loop()
    counts, numbers = Counter[str](), itertools.count()
    server = await loop.create_server(
        lambda: Connection(counts, numbers), host, 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        uvloop.run(_serve(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit()
