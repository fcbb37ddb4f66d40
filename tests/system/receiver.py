"""A fast receiver of webhooks, run as a process of its own; tells what arrived, when.

    python -m tests.system.receiver

Its first line of output is its port. Then comes one line per request, printed before it
is answered: `<arrived, wall clock ns> <scheduled time> <payload> <warned>`, the last
being 1 if it says that an earlier one may have arrived, else 0. What a schedule
sends is known by its id and the fire time in it. One that is kept waiting has another
line when that is over, whether its sender still lives or not: `<ended, wall clock ns>
<how many arrived before it>`.

The URL says how a request is answered: `?delay_ms=200&status=500&hang=1`; with
`&first=2` that is done to the first two of a payload, with `&until_ms=` until that
time; the rest is answered at once.
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
WARNING = b"\r\nScheduler-Possible-Duplicate: true\r\n"


class Behaviour(NamedTuple):
    """What a URL asks for; `first` 0: always; until `until_s`, 0: for ever."""

    delay_s: float
    answer: bytes | None
    first: int
    until_s: float = 0


@lru_cache
def behaviour(target: bytes) -> Behaviour:
    """How to answer a request for that path and query."""
    asked = parse_qs(urlsplit(target.decode()).query)
    answer = _answer(int(asked.get("status", ["200"])[0]))
    delay_s = int(asked.get("delay_ms", ["0"])[0]) / 1000
    first = int(asked.get("first", ["0"])[0])
    until_s = int(asked.get("until_ms", ["0"])[0]) / 1000
    return Behaviour(delay_s, None if "hang" in asked else answer, first, until_s)


def _answer(status: int) -> bytes:
    return b"HTTP/1.1 %d -\r\ncontent-length: 2\r\n\r\nok" % status


AT_ONCE = Behaviour(0, _answer(200), 0)


class Connection(asyncio.Protocol):
    """One connection; requests come one after the other."""

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
        scheduled, label = _known_as(head, rest[:length])
        print(arrived_ns, scheduled, label, int(WARNING in head + b"\r\n"), flush=True)
        number = next(self._numbers)
        self._received = rest[length:]
        asked = behaviour(head.split(b" ", 2)[1])
        if asked.until_s and time.time() >= asked.until_s:
            asked = AT_ONCE
        if asked.first:
            self._counts[label] += 1
            if self._counts[label] > asked.first:
                asked = AT_ONCE
        self._answer(asked, number)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def _answer(self, asked: Behaviour, number: int) -> None:
        if asked.answer is None:
            return
        if not asked.delay_s:
            return self._write(asked.answer)
        loop = asyncio.get_running_loop()
        loop.call_later(asked.delay_s, self._end, asked.answer, number)

    def _end(self, answer: bytes, number: int) -> None:
        print(time.time_ns(), number, flush=True)
        self._write(answer)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


def _known_as(head: bytes, body: bytes) -> tuple[str, str]:
    """The scheduled time of a request, and its label."""
    occurrence = OCCURRENCE.search(head)
    if occurrence is None:
        fields = orjson.loads(body)
        return fields["scheduledTime"], fields["payload"]
    return to_iso(int(occurrence[2]) * 1000), occurrence[1].decode()


def content_length(head: bytes) -> int:
    """How long the body behind a head is."""
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    counts, numbers = Counter[str](), itertools.count()
    server = await loop.create_server(
        lambda: Connection(counts, numbers), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        uvloop.run(_serve())
    except KeyboardInterrupt:
        sys.exit()
