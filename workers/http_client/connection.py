"""A connection to a receiver: sends a request and reads a bounded response.

Responses are parsed by llhttp (`httptools`), the parser of Node. This module limits how
many bytes of a response are read and kept.
"""

import asyncio
import select
from collections.abc import Callable
from enum import Enum
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from time import perf_counter
from typing import cast
from workers.http_client.errors import (
    ConnectionClosed,
    HeadTooLarge,
    IncompleteBody,
    NotHttp,
    TlsExpected,
)

RESPONSE_HEADERS_MAX = 100
HEADER_MAX_BYTES = 8190
# The maximum number of bytes to read before the body: headers and interim responses
# (1xx). Legitimate servers send less.
HEAD_MAX_BYTES = 256 * 1024
# The maximum number of bytes to read for each byte of the body cap. More than one,
# because chunk headers need bytes too: a chunk with one byte of content takes six.
FRAMING_MAX = 16
# A body that is longer than this is written in pieces of this size, as fast as the
# receiver reads.
PIECE_BYTES = 256 * 1024
# A connection reads at most this much before its first request.
EARLY_MAX_BYTES = 64 * 1024
# How many bytes of a malformed response are quoted.
QUOTED_BYTES = 40
TLS_ALERT = b"\x15\x03"


class Phase(Enum):
    """What an exchange waits for."""

    WAIT = "wait"  # its turn in the client
    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    WRITE = "write"
    READ = "read"


class HttpExchange:
    """The state of one request and its response.

    Args:
        may_write: called right before the request is sent; if it returns False, the
            request is not sent.
        body_cap_bytes: how much of the response body to keep.
        body_timeout_s: how long to read the response body; None: no limit.
    """

    __slots__ = (
        "body",
        "body_cap_bytes",
        "body_timeout_s",
        "complete",
        "connected_s",
        "dispatched",
        "first_byte_s",
        "has_head",
        "headers",
        "may_write",
        "phase",
        "read_bytes",
        "refusal",
        "started_s",
        "status",
        "truncated",
    )

    def __init__(
        self,
        may_write: Callable[[], bool],
        body_cap_bytes: int,
        body_timeout_s: float | None,
    ) -> None:
        self.may_write = may_write
        self.body_cap_bytes = body_cap_bytes
        self.body_timeout_s = body_timeout_s
        self.started_s = perf_counter()
        self.connected_s = 0.0
        self.first_byte_s = 0.0
        self.read_bytes = 0
        self.dispatched = False
        self.phase = Phase.WAIT
        self.refusal: str | None = None
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.has_head = False
        self.truncated = False
        self.complete = False

    @property
    def read_max_bytes(self) -> int:
        """The maximum number of bytes to read of the response."""
        if not self.has_head:
            return HEAD_MAX_BYTES
        return HEAD_MAX_BYTES + FRAMING_MAX * self.body_cap_bytes

    @property
    def elapsed_s(self) -> float:
        """The time since the start."""
        return perf_counter() - self.started_s

    def since_start_ms(self, moment_s: float) -> int | None:
        """Convert a moment to milliseconds since the start; None if it is not set."""
        return int((moment_s - self.started_s) * 1000) if moment_s else None


class HttpConnection(asyncio.Protocol):
    """A connection to one origin, for one exchange at a time.

    The parser calls the methods named `on_…`.
    """

    def __init__(self, on_lost: Callable[["HttpConnection"], None]) -> None:
        self.idle_since_s = 0.0
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        # Be as lenient as browsers: a receiver that sends malformed responses can harm
        # only deliveries to itself.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._exchange: HttpExchange | None = None
        self._bodyless = False
        self._done: asyncio.Future[None] | None = None
        self._resumed: asyncio.Future[None] | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._sent = True
        self._early: bytes | None = b""
        self._reusable = True
        self._poll: select.poll | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return self._transport is not None

    async def perform(self, exchange: HttpExchange, head: bytes, body: bytes) -> None:
        """Send a request and read its response into `exchange`.

        Returns when the response is complete or its body exceeds the cap.

        Raises:
            ConnectionClosed, IncompleteBody: the connection ended too early.
            HeadTooLarge, NotHttp: the response is too large or malformed.
        """
        transport, early = self._transport, self._early
        self._early = None
        self._exchange = exchange
        self._bodyless = head.startswith(b"HEAD ")
        self._done = done = asyncio.get_running_loop().create_future()
        if early:
            self.data_received(early)
        if transport is None:
            self.connection_lost(None)
        elif len(body) <= PIECE_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            await self._write_pieces(transport, body, done)
        await done

    async def _write_pieces(
        self, transport: asyncio.Transport, body: bytes, done: "asyncio.Future[None]"
    ) -> None:
        """Write a body in pieces; stop early if the exchange ends."""
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

    def finish(self) -> bool:
        """End the exchange; abort the connection unless it is reusable.

        Returns whether the connection is reusable.
        """
        exchange, self._exchange, done = self._exchange, None, self._done
        self._done = None
        if done is not None:
            done.cancel()
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
        if exchange is not None and not exchange.complete:
            self._reusable = False
            if not self._is_written():
                exchange.phase = Phase.WRITE
        if self._reusable and self._sent:
            return True
        self.abort()
        return False

    def _is_written(self) -> bool:
        """Whether the operating system has taken the entire request."""
        transport = self._transport
        return self._sent and not (transport and transport.get_write_buffer_size())

    def abort(self) -> None:
        """Close at once; discard unsent and unread data."""
        self._reusable = False
        if self._transport is not None:
            self._transport.abort()

    def is_stale(self) -> bool:
        """Whether the receiver has closed an idle connection, or has written to it.

        Polls the socket, because the event loop may not have noticed this yet.
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
            self._end(exc if isinstance(exc, OSError) else ConnectionClosed())
        elif exc is None and _ends_with_connection(exchange.headers):
            self._complete(exchange)
        else:
            self._end(IncompleteBody())

    def pause_writing(self) -> None:
        self._resumed = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.done():
            resumed.set_result(None)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None or self._done is None:
            self._received_unrequested(data)
            return
        if not exchange.first_byte_s:
            exchange.first_byte_s = perf_counter()
        if exchange.read_bytes >= exchange.read_max_bytes:
            self._end(HeadTooLarge())
            return
        exchange.read_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as err:
            self._reusable = False
            self._end(_parser_error(err, data))
        if exchange.has_head and not self._done.done() and self._body_timer is None:
            self._limit_body_time(exchange)

    def _received_unrequested(self, data: bytes) -> None:
        """Keep data from before the first request; close the connection otherwise.

        A receiver may respond before it reads the request, for example because it is
        busy. Between requests, the next request would get this data as its response.
        """
        if self._early is None or len(self._early) > EARLY_MAX_BYTES:
            self.abort()
        else:
            self._early += data

    def _limit_body_time(self, exchange: HttpExchange) -> None:
        if exchange.body_timeout_s is not None:
            self._body_timer = asyncio.get_running_loop().call_later(
                exchange.body_timeout_s, self._end, TimeoutError()
            )

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
            self._end(NotHttp("status 101 without a request to switch protocols"))
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


def _parser_error(err: Exception, data: bytes) -> Exception:
    """Return the error for a response that the parser refuses.

    Args:
        data: the last bytes that were received.
    """
    if data.startswith(TLS_ALERT):
        return TlsExpected()
    quoted = data[:QUOTED_BYTES].decode("latin-1")
    return NotHttp(f"the response is not valid HTTP: {err}, in {quoted!a}")


def _ends_with_connection(headers: list[tuple[bytes, bytes]]) -> bool:
    """Return whether the body of a response ends when the connection is closed."""
    framing = [
        value.lower()
        for name, value in headers
        if name.lower() in (b"content-length", b"transfer-encoding")
    ]
    return not framing or not (
        framing[-1].endswith(b"chunked") or framing[-1].isdigit()
    )
