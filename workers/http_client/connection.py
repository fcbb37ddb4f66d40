"""A connection to a receiver: sends a request and reads a bounded response.

Responses are parsed by llhttp (`httptools`), the parser of Node. This module limits how
many bytes of a response are read and kept.
"""

import asyncio
import select
import socket
import struct
import sys
from collections.abc import Callable
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
from workers.http_client.exchange import HttpExchange, Phase
from workers.http_client.keep_alive import idle_limit_s
from workers.http_client.ramp import Ramp
from workers.http_client.response_head import (
    UNCHECKED_BYTES,
    LenientHead,
    RawHeaders,
    limit_headers,
    quote,
)

# How long a response body that nobody waits for is read. An endless stream must not
# keep a slot of the worker, or the queue of its event, until the deadline.
BODY_TIMEOUT_S = 10.0
# A body that is longer than this is written in pieces of this size, as fast as the
# receiver reads.
PIECE_BYTES = 256 * 1024
# How many pieces of a response body are read, such as chunks. A body of a million
# chunks of one byte would keep the worker from everything else for a while.
PIECES_MAX = 50_000
# A connection reads at most this much before its first request.
EARLY_MAX_BYTES = 64 * 1024
# In Linux's TCP_INFO: packets that are not acknowledged, time since the last
# acknowledgement in ms, bytes that were not sent.
TCP_INFO = struct.Struct("24xI28xI84xI")
TCP_TICK_MS = 50
# Replaces the parser of a connection that has ended. A connection and its own parser
# refer to each other, so only a rare full garbage collection would free them.
NO_PARSER = HttpResponseParser(object())


def is_unheard(sock: socket.socket, since_s: float) -> bool:
    """Whether the other machine has acknowledged nothing since then, but should have.

    A receiver that does not read has sent acknowledgements. False where the operating
    system does not say it.
    """
    if sys.platform != "linux":
        return False
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO.size)
    packets, acknowledged_ms, unsent_bytes = TCP_INFO.unpack(info)
    elapsed_ms = (perf_counter() - since_s) * 1000
    is_waiting = bool(packets or unsent_bytes)
    return is_waiting and acknowledged_ms > elapsed_ms - TCP_TICK_MS


class HttpConnection(asyncio.Protocol):
    """A connection to one origin, for one exchange at a time.

    The parser calls the methods named `on_…`.

    Args:
        ramp: of the origin.
        on_lost: called when the connection has ended.
    """

    def __init__(self, ramp: Ramp, on_lost: Callable[["HttpConnection"], None]) -> None:
        self.ramp = ramp
        self.idle_since_s = 0.0
        self.idle_until_s = 0.0
        # How long the connection may be idle; None: the receiver has not said.
        self.idle_limit_s: float | None = None
        self._exchanges = 0
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._parser = self._new_parser()
        self._head_pieces: list[bytes] = []
        self._lenient: LenientHead | None = None
        self._framing: RawHeaders | None = None
        self._exchange: HttpExchange | None = None
        self._bodyless = False
        self._done: asyncio.Future[None] | None = None
        self._resumed: asyncio.Future[None] | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._sent = True
        self._early: bytes | None = b""
        self._reusable = True
        self._poll: select.poll | None = None

    def _new_parser(self) -> HttpResponseParser:
        parser = HttpResponseParser(self)
        parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
        return parser

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
        self._head_pieces.clear()
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
            if exchange is not None:
                self._exchanges += 1
                limit_s = idle_limit_s(exchange.headers, self._exchanges)
                if limit_s is not None:
                    # Some receivers announce the time in their first response only.
                    self.idle_limit_s = limit_s
            return True
        self.abort()
        return False

    def _is_written(self) -> bool:
        """Whether the operating system has taken the entire request."""
        transport = self._transport
        return self._sent and not (transport and transport.get_write_buffer_size())

    def is_unheard(self, since_s: float) -> bool:
        """Whether the machine of the receiver has acknowledged nothing since then."""
        if self._transport is None:
            return False
        # The TLS layer drops its socket shortly before it calls `connection_lost`.
        sock = self._transport.get_extra_info("socket")
        return sock is not None and is_unheard(sock, since_s)

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

    def closed_idle(self) -> None:
        """Record that the receiver has closed this connection after an exchange."""
        if self._exchanges:
            self.ramp.closed_idle(perf_counter() - self.idle_since_s)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._on_lost(self)
        exchange = self._exchange
        if self._reusable and (exchange is None or not exchange.first_byte_s):
            self.closed_idle()
        self._transport = None
        self._reusable = False
        if not self._early:
            self._parser = NO_PARSER
        if exchange is None:
            return
        if isinstance(exc, ConnectionResetError) and not self._exchanges:
            exchange.was_reset = not exchange.first_byte_s
        if not exchange.has_head:
            self._end(exc if isinstance(exc, OSError) else ConnectionClosed())
        elif exc is None and _ends_with_connection(self._framing or exchange.headers):
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
        if exchange is None or self._done is None or self._done.done():
            self._received_unrequested(data)
            return
        if not exchange.first_byte_s:
            exchange.first_byte_s = perf_counter()
        if exchange.read_bytes >= exchange.read_max_bytes:
            self._end_too_large(exchange)
            return
        exchange.read_bytes += len(data)
        if exchange.has_head:
            self._parse(exchange, data)
        elif self._lenient is not None:
            self._read_head_leniently(exchange, self._lenient, data)
        else:
            self._head_pieces.append(data)
            self._parse(exchange, data)
        if exchange.has_head and not self._done.done() and self._body_timer is None:
            self._limit_body_time(exchange)

    def _parse(self, exchange: HttpExchange, data: bytes) -> None:
        """Feed the parser. If it refuses a head, read the head leniently."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as err:
            self._reusable = False
            if exchange.has_head:
                text = f"the response body is malformed: {err}, in {quote(data)}"
                self._end(NotHttp(text))
            else:
                self._lenient = LenientHead()
                head = b"".join(self._head_pieces)
                self._read_head_leniently(exchange, self._lenient, head)

    def _read_head_leniently(
        self, exchange: HttpExchange, lenient: LenientHead, data: bytes
    ) -> None:
        self._reusable = False
        try:
            head = lenient.feed(data)
        except (NotHttp, TlsExpected) as err:
            self._end(err)
            return
        if head is None:
            return
        exchange.headers = head.headers
        self._framing = head.framing
        self._take_head(exchange, head.status)
        if self._done is not None and not self._done.done():
            self._parser = self._new_parser()
            self._parse(exchange, head.strict() + head.rest)

    def _end_too_large(self, exchange: HttpExchange) -> None:
        if exchange.has_head:
            self._end(NotHttp("the response body has too much data around it"))
            return
        status = self._parser.get_status_code()
        if self._lenient is not None:
            status = self._lenient.status or 0
        if status >= 200:
            exchange.status = status
        self._end(HeadTooLarge())

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
        if not exchange.body_wanted.for_status(exchange.status):
            self._body_timer = asyncio.get_running_loop().call_later(
                BODY_TIMEOUT_S, self._end, TimeoutError()
            )

    def on_message_begin(self) -> None:
        if self._exchange is None or self._exchange.complete:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.has_head:
            return
        exchange.headers.append((name, value))

    def on_headers_complete(self) -> None:
        exchange, done = self._exchange, self._done
        if exchange is None or exchange.has_head or done is None or done.done():
            return
        status = self._parser.get_status_code()
        if status < 100:
            # An interim response has at least 100. The lenient reader explains this.
            raise NotHttp
        if status < 200 and status != 101:
            exchange.headers.clear()
        else:
            self._take_head(exchange, status)

    def _take_head(self, exchange: HttpExchange, status: int) -> None:
        """Take a head as that of the response. After status 101 there is no body."""
        exchange.status = status
        if exchange.read_bytes > UNCHECKED_BYTES:
            try:
                exchange.headers = limit_headers(exchange.headers)
            except HeadTooLarge as err:
                self._end(err)
                return
        exchange.has_head = True
        if self._bodyless or status == 101:
            self._reusable = False
            self._complete(exchange)

    def on_body(self, piece: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.complete or exchange.truncated:
            return
        if exchange.pieces >= PIECES_MAX:
            self._end(NotHttp("the response body has too many chunks"))
            return
        exchange.body += piece
        exchange.pieces += 1
        if len(exchange.body) > exchange.body_cap_bytes:
            del exchange.body[exchange.body_cap_bytes :]
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


def _ends_with_connection(headers: RawHeaders) -> bool:
    """Return whether the body of a response ends when the connection is closed."""
    framing = [(name.lower(), value.lower()) for name, value in headers]
    codings = [value for name, value in framing if name == b"transfer-encoding"]
    if codings:
        return codings[-1].rpartition(b",")[2].strip(b" \t") != b"chunked"
    return all(name != b"content-length" for name, _ in framing)
