"""Sends every shape of response to four HTTP clients, and compares what they take.

python -m tests.workers.http_client.differential    # writes docs/responses.md
"""

import aiohttp
import asyncio
import contextlib
import json
import platform
import requests
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from scheduler_api.core.delivery.request import Request
from tests.workers.http_client.reasons import REASONS
from tests.workers.http_client.sending import LOCAL, system_tls
from tests.workers.http_client.shapes import Shape, all_shapes
from workers.http_client.client import HttpClient

# The receiver closes a connection after this time without a request.
IDLE_S = 0.15
TIMEOUT_S = 20.0
# How many requests a client sends at the same time.
PARALLEL = 24
# A body that is longer is shown by its length.
LONGEST_TEXT = 16
SCRIPT = Path(__file__).with_name("fetch.mjs")


@dataclass(frozen=True)
class Reading:
    """What a client read of a response.

    Attributes:
        status: None: the client took it for no response.
        body: None: the client did not read it to its end.
    """

    status: int | None = None
    body: bytes | None = None


NOTHING = Reading()
Readings = Sequence[Reading]
PAGE = Path(__file__).parents[3] / "docs" / "responses.md"
INTRODUCTION = """# Responses that clients read differently

The test `tests/clients/test_differential.py` sends {count} shapes of response to the
client of deliveries, to aiohttp, to requests, and to the `fetch` of Node. The shapes
differ in framing, sizes, characters, folding, interim responses, versions, line ends,
compression and closing.

The table has the shapes that not all four read alike. It shows the status and the body.
*Cut* stands for a body that is incomplete or cannot be decoded, *none* for bytes that
the client takes for no response. What two of the other three read is read here too,
unless there is another reason. A delivery only needs the status. After a malformed head
the connection is closed.

Versions: {versions}.

| shape | here | aiohttp | requests | fetch | reason |
| --- | --- | --- | --- | --- | --- |
"""


@contextlib.asynccontextmanager
async def serving(shapes: Sequence[Shape]) -> AsyncIterator[Sequence[int]]:
    """Serve each shape on a port of its own; return the ports."""
    servers = []
    tasks = set[asyncio.Task[None]]()

    async def listen(shape: Shape) -> int:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(_serve(shape, reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    try:
        yield [await listen(shape) for shape in shapes]
    finally:
        for server in servers:
            server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(
    shape: Shape, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer each request of a connection; all requests have the body `x`."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        limit_s = TIMEOUT_S
        while True:
            async with asyncio.timeout(limit_s):
                await reader.readuntil(b"\r\n\r\nx")
            writer.write(shape.data)
            await writer.drain()
            if shape.ends:
                break
            limit_s = IDLE_S
    writer.close()


async def _each(
    send: Callable[[int], Awaitable[Reading]], ports: Sequence[int]
) -> Readings:
    """Send to all ports, to at most `PARALLEL` at the same time."""
    turns = asyncio.Semaphore(PARALLEL)

    async def send_in_turn(port: int) -> Reading:
        async with turns:
            return await send(port)

    return await asyncio.gather(*map(send_in_turn, ports))


async def by_this_client(ports: Sequence[int]) -> Readings:
    async with HttpClient(
        LOCAL, limit=PARALLEL, body_cap_bytes=4096, tls=system_tls()
    ) as client:

        async def send(port: int) -> Reading:
            url = f"http://127.0.0.1:{port}/"
            request = Request("POST", url, (), b"x", int(TIMEOUT_S * 1000))
            result = await client.send(request)
            if result.error is not None:
                return NOTHING
            return Reading(
                result.status, None if result.body_incomplete else result.body
            )

        return await _each(send, ports)


async def by_aiohttp(ports: Sequence[int]) -> Readings:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
    ) as session:

        async def send(port: int) -> Reading:
            url = f"http://127.0.0.1:{port}/"
            status = None
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
                async with session.post(url, data=b"x", allow_redirects=False) as reply:
                    status = reply.status
                    return Reading(status, await reply.read())
            return Reading(status)

        return await _each(send, ports)


def _post(port: int) -> Reading:
    status = None
    with (
        contextlib.suppress(requests.RequestException, ValueError),
        requests.Session() as session,
    ):
        session.trust_env = False
        response = session.post(
            f"http://127.0.0.1:{port}/",
            data=b"x",
            stream=True,
            allow_redirects=False,
            timeout=TIMEOUT_S,
        )
        status = response.status_code
        return Reading(status, response.content)
    return Reading(status)


async def by_requests(ports: Sequence[int]) -> Readings:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(PARALLEL) as threads:
        return await asyncio.gather(
            *(loop.run_in_executor(threads, _post, port) for port in ports)
        )


async def by_fetch(ports: Sequence[int]) -> Readings:
    node = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        str(int(TIMEOUT_S * 1000)),
        str(PARALLEL),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await node.communicate(json.dumps(list(ports)).encode())
    return [
        Reading(status, None if body is None else bytes.fromhex(body))
        for status, body in json.loads(out)
    ]


async def read_all(shapes: Sequence[Shape]) -> list[Readings]:
    async with serving(shapes) as ports:
        return await asyncio.gather(
            by_this_client(ports),
            by_aiohttp(ports),
            by_requests(ports),
            by_fetch(ports),
        )


@dataclass(frozen=True)
class Difference:
    """A shape that not all clients read alike.

    Attributes:
        readings: of this client, aiohttp, requests and fetch.
    """

    shape: Shape
    readings: Readings

    @property
    def needs_reason(self) -> bool:
        """Whether this client reads something that no two others read."""
        return self.readings[1:].count(self.readings[0]) < 2

    @property
    def reason(self) -> str | None:
        if self.needs_reason:
            return REASONS.get(self.shape.group, {}).get(self.shape.name)
        return "as two others"

    def row(self) -> str:
        """Return the row of the table, with an empty reason if there is none."""
        title = f"{self.shape.group}: {self.shape.name}"
        cells = [title, *map(_shown, self.readings), self.reason or ""]
        return f"| {' | '.join(cells)} |"


def _shown(reading: Reading) -> str:
    if reading.status is None:
        return "none"
    if reading.body is None:
        return f"{reading.status}, cut"
    text = reading.body.decode("latin-1")
    if not text:
        return f"{reading.status}"
    if len(text) > LONGEST_TEXT or not text.isascii() or not text.isprintable():
        return f"{reading.status}, {len(text)} bytes"
    return f"{reading.status} {text}"


def differences(shapes: Sequence[Shape]) -> list[Difference]:
    """Send all shapes to all clients, and return those that are read differently."""
    columns = asyncio.run(read_all(shapes))
    return [
        Difference(shape, readings)
        for shape, readings in zip(shapes, zip(*columns, strict=True), strict=True)
        if len(set(readings)) > 1
    ]


def versions() -> str:
    """Return the versions of the clients, and of what reads responses for them."""
    node = subprocess.run(
        ["node", "--version"], capture_output=True, text=True, check=True
    )
    return (
        f"aiohttp {version('aiohttp')}; requests {version('requests')} with urllib3 "
        f"{version('urllib3')} on Python {platform.python_version()}; "
        f"Node {node.stdout.strip().removeprefix('v')}"
    )


def page(found: Sequence[Difference], *, count: int) -> str:
    """Return the text of the page.

    Args:
        count: the number of all shapes.
    """
    start = INTRODUCTION.format(count=count, versions=versions())
    return start + "".join(f"{difference.row()}\n" for difference in found)


def main() -> None:
    shapes = all_shapes()
    PAGE.write_text(page(differences(shapes), count=len(shapes)))


if __name__ == "__main__":
    main()
