"""A proxy that adds TLS to a store."""

import asyncio
import ssl
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from threading import Thread


@contextmanager
def tls_proxy(target: tuple[str, int], context: ssl.SSLContext) -> Iterator[int]:
    """Forward connections with TLS to a server without it; yield the port."""
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def forward(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        from_server, to_server = await asyncio.open_connection(*target)
        # Otherwise asyncio logs the cancellation at the end.
        with suppress(asyncio.CancelledError):
            await asyncio.gather(_copy(reader, to_server), _copy(from_server, writer))

    async def serve() -> None:
        stopping = asyncio.Event()
        server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        started.set_result((port, asyncio.get_running_loop(), stopping))
        await stopping.wait()

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    port, loop, stopping = started.result()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
