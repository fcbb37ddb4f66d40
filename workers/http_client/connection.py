"""One connection to a receiver: a request goes out, a bounded response comes in.

What a receiver writes is read by llhttp (`httptools`), the parser of Node; how much of
it is read and kept is decided here.
"""

import asyncio
import select
from collections.abc import Callable
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from time import perf_counter
from typing import cast
from workers.http_client.errors import (
    BrokenOff,
    ConnectionGone,
    HeadTooLarge,
    NotHttp,
)

RESPONSE_HEADERS_MAX = 100
HEADER_MAX_BYTES = 8190
# For interim responses (1xx) and headers together; above what sane servers send.
HEAD_MAX_BYTES = 256 * 1024
# Bytes read for each byte kept of a body. Chunks of a single byte take six.
FRAMING_MAX = 16
# Written in one go; of a longer body a piece at a time, as the receiver reads it.
PIECE_BYTES = 256 * 1024


class HttpExchange:
    """One request and its response: what it may do, and how far it has come."""

    __slots__ = (
        "body",
        "body_cap_bytes",
        "complete",
        "connected_s",
        "dispatched",
        "first_byte_s",
        "has_head",
        "headers",
        "may_write",
        "read_bytes",
        "refusal",
        "started_s",
        "status",
        "truncated",
    )

    def __init__(self, may_write: Callable[[], bool], body_cap_bytes: int) -> None:
        self.may_write = may_write
        self.body_cap_bytes = body_cap_bytes
        self.started_s = perf_counter()
        self.connected_s = 0.0
        self.first_byte_s = 0.0
        self.read_bytes = 0
        self.dispatched = False
        self.refusal: str | None = None
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.has_head = False
        self.truncated = False
        self.complete = False

    @property
    def read_max_bytes(self) -> int:
        """How many bytes of the response are read at most."""
        if not self.has_head:
            return HEAD_MAX_BYTES
        return HEAD_MAX_BYTES + FRAMING_MAX * self.body_cap_bytes

    def since_start_ms(self, mark_s: float) -> int | None:
        """Return the milliseconds to a mark, None where it was not reached."""
        return int((mark_s - self.started_s) * 1000) if mark_s else None


class HttpConnection(asyncio.Protocol):
    """A connection to one origin; carries one exchange at a time.

    The methods named `on_…` are called by the parser.
    """

    def __init__(self, on_lost: Callable[["HttpConnection"], None]) -> None:
        self.idle_since_s = 0.0
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        # As lenient as browsers are; a response can harm nobody but its own receiver.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._exchange: HttpExchange | None = None
        self._bodyless = False
        self._done: asyncio.Future[None] | None = None
        self._resumed: asyncio.Future[None] | None = None
        self._sent = True
        self._reusable = True
        self._poll: select.poll | None = None

    @property
    def is_open(self) -> bool:
        """Return whether it is connected."""
        return self._transport is not None

    async def perform(self, exchange: HttpExchange, head: bytes, body: bytes) -> None:
        """Sends a request, and reads its response into `exchange`.

        Returns when the response is complete or its body is longer than wanted.

        Raises:
            ConnectionGone, BrokenOff: the connection ended too early.
            HeadTooLarge, NotHttp: what came is no response.
        """
        transport = self._transport
        if transport is None:
            raise ConnectionGone
        self._exchange = exchange
        self._bodyless = head.startswith(b"HEAD ")
        self._done = done = asyncio.get_running_loop().create_future()
        if len(body) <= PIECE_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            await self._write_pieces(transport, body, done)
        await done

    async def _write_pieces(
        self, transport: asyncio.Transport, body: bytes, done: "asyncio.Future[None]"
    ) -> None:
        """Writes until the end, or until the response is there already."""
        self._sent = False
        pieces = memoryview(body)
        for at in range(0, len(body), PIECE_BYTES):
            transport.write(pieces[at : at + PIECE_BYTES])
            if self._resumed is not None:
                await asyncio.wait(
                    (self._resumed, done), return_when=asyncio.FIRST_COMPLETED
                )
            if done.done():
                return
        self._sent = True

    def let_go(self) -> bool:
        """Ends the exchange; returns whether the connection is reusable."""
        exchange, self._exchange, done = self._exchange, None, self._done
        self._done = None
        if done is not None:
            done.cancel()
        if exchange is not None and not exchange.complete:
            self._reusable = False
        if self._reusable and self._sent:
            return True
        self.drop()
        return False

    def drop(self) -> None:
        """Close at once, whatever is still unsent or unread."""
        self._reusable = False
        if self._transport is not None:
            self._transport.abort()

    def is_stale(self) -> bool:
        """Tell whether an idle connection has been closed or written to meanwhile.

        The event loop may not have looked at the socket yet, so the kernel is asked.
        """
        if self._transport is None or not self._reusable:
            return True
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket"), select.POLLIN)
        return bool(self._poll.poll(0))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._on_lost(self)
        self._transport = None
        self._reusable = False
        exchange = self._exchange
        if exchange is None:
            return
        if not exchange.has_head:
            self._end(ConnectionGone())
        elif exc is None and _ends_with_connection(exchange.headers):
            self._complete(exchange)
        else:
            self._end(BrokenOff())

    def pause_writing(self) -> None:
        self._resumed = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.done():
            resumed.set_result(None)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None or self._done is None:
            # Nobody asked; the next request must not take it for its answer.
            self.drop()
            return
        if not exchange.first_byte_s:
            exchange.first_byte_s = perf_counter()
        if exchange.read_bytes >= exchange.read_max_bytes:
            self._end(HeadTooLarge())
            return
        exchange.read_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._reusable = False
            self._end(NotHttp())

    def on_message_begin(self) -> None:
        if self._exchange is None or self._exchange.complete:
            self._reusable = False

    def on_status(self, reason: bytes) -> None:
        if len(reason) > HEADER_MAX_BYTES:
            self._end(HeadTooLarge())

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.has_head:
            return
        exchange.headers.append((name, value))
        too_long = len(name) > HEADER_MAX_BYTES or len(value) > HEADER_MAX_BYTES
        if too_long or len(exchange.headers) > RESPONSE_HEADERS_MAX:
            self._end(HeadTooLarge())

    def on_headers_complete(self) -> None:
        exchange, done = self._exchange, self._done
        if exchange is None or exchange.has_head or done is None or done.done():
            return
        status = self._parser.get_status_code()
        if status == 101:
            # Nobody asked for another protocol.
            self._end(NotHttp())
        elif status < 200:
            exchange.headers.clear()
        else:
            exchange.status, exchange.has_head = status, True
            if self._bodyless:
                self._reusable = False
                self._complete(exchange)

    def on_body(self, piece: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.complete or exchange.truncated:
            return
        exchange.body += piece
        if len(exchange.body) > exchange.body_cap_bytes:
            exchange.body = exchange.body[: exchange.body_cap_bytes]
            exchange.truncated = True
            self._end()

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if exchange is None or not exchange.has_head or exchange.truncated:
            return
        if not self._parser.should_keep_alive():
            self._reusable = False
        self._complete(exchange)

    def _complete(self, exchange: HttpExchange) -> None:
        exchange.complete = True
        self._end()

    def _end(self, error: Exception | None = None) -> None:
        done = self._done
        if done is None or done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            self._reusable = False
            done.set_exception(error)


def _ends_with_connection(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether nothing but the connection's end tells where the body ends."""
    framing = [
        value.lower()
        for name, value in headers
        if name.lower() in (b"content-length", b"transfer-encoding")
    ]
    return not framing or not (
        framing[-1].endswith(b"chunked") or framing[-1].isdigit()
    )
