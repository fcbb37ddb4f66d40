"""Sends HTTP requests to receivers that may be slow, broken or hostile."""

import ssl
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from scheduler_api.core.delivery.destinations import AddressPolicy, Destination, parse
from scheduler_api.core.delivery.request import Request
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.frozen import frozen
from scheduler_api.core.headers import BadHeader, check_outbound, is_framing
from time import perf_counter
from traceback import clear_frames
from types import TracebackType
from typing import Self
from workers.http_client.deadline import Deadline
from workers.http_client.errors import (
    ConnectionClosed,
    HeadTooLarge,
    IncompleteBody,
    NoAddress,
    NotHttp,
    TlsExpected,
)
from workers.http_client.exchange import HttpExchange
from workers.http_client.failures import Failure, explain
from workers.http_client.inflate import Inflated, decoded_body, is_compressed
from workers.http_client.pool import HttpConnectionPool
from workers.http_client.resolver import Lookup, Resolver, resolve

# How long the client keeps an idle connection, unless the receiver announces a shorter
# time. Node, Apache and uvicorn close idle connections after 5 s; the client closes
# them earlier. If a receiver closes a connection while a request is on its way, the
# client cannot know whether the request was processed. The request then fails
# with `connection-closed`, because the client never repeats a POST.
KEEPALIVE_S = 4.0

# RuntimeError is included because uvloop raises it for some operating system errors.
_EXPECTED = (
    IncompleteBody,
    ConnectionClosed,
    HeadTooLarge,
    NoAddress,
    NotHttp,
    TlsExpected,
    OSError,
    RuntimeError,
    SchedulerError,
    ValueError,
)
_BODYLESS = frozenset(("GET", "HEAD"))


@frozen
class Result:
    """The result of one attempt.

    A complete response head is a response, no matter how its body ends: `status` is set
    and `error` is None. If both are set, the head exceeds a limit.
    """

    status: int | None
    headers: tuple[tuple[str, str], ...]
    body: bytes
    body_truncated: bool  # the body is longer than the cap
    error: Failure | None
    # Why there is no response, or why the body is incomplete. For operators: contains
    # the address if `error` is "blocked".
    detail: str
    started_ms: int  # Unix time
    connect_ms: int | None  # since `started_ms`; None: never connected
    first_byte_ms: int | None  # since `started_ms`; None: no byte was received
    total_ms: int  # since `started_ms`
    dispatched: bool  # False: no byte of the request was sent
    body_incomplete: bool = False  # the body was cut off, late or malformed
    # The machine of the receiver has not acknowledged what was sent to it.
    unheard: bool = False


def always() -> bool:
    """Allow every request: the default of `may_write`."""
    return True


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Return a context that verifies certificates and requires TLS 1.2 or later.

    Args:
        ca_file: a file of trusted authorities; None: the system's authorities.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class HttpClient:
    """Send requests over reused connections to allowed addresses.

    Use it as an async context manager.

    Args:
        limit: the maximum number of requests in flight. Further requests wait, and the
            time that they wait counts towards their deadlines.
        connections_max: beyond this number of connections, no idle ones are kept.
            Default: twice the limit.
        body_cap_bytes: how much of a response body to keep, unless the request has its
            own cap; the rest is not read.
        keepalive_s: how long an idle connection is kept.
        user_agent: the value of User-Agent in requests without this header.
        tls: default: `tls_context()`.
        lookup: resolves a name; runs in a thread.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        limit: int,
        body_cap_bytes: int,
        connections_max: int | None = None,
        keepalive_s: float = KEEPALIVE_S,
        user_agent: str = "scheduler-api",
        tls: ssl.SSLContext | None = None,
        lookup: Lookup = resolve,
    ) -> None:
        self._policy = policy
        self._limit = limit
        self._connections_max = connections_max or 2 * limit
        self._body_cap_bytes = body_cap_bytes
        self._keepalive_s = keepalive_s
        self._tls = tls
        self._lookup = lookup
        self._defaults = (
            ("accept", "Accept: */*"),
            # A compressed response could be a decompression bomb.
            ("accept-encoding", "Accept-Encoding: identity"),
            ("user-agent", f"User-Agent: {user_agent}"),
        )

    async def __aenter__(self) -> Self:
        self._pool = HttpConnectionPool(
            self._policy,
            resolver=Resolver(self._policy, self._lookup),
            tls=self._tls or tls_context(),
            limit=self._limit,
            connections_max=self._connections_max,
            keepalive_s=self._keepalive_s,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pool.close()

    @property
    def open_connections(self) -> int:
        """How many connections are open, including idle ones."""
        return self._pool.open_connections

    async def send(
        self, request: Request, *, may_write: Callable[[], bool] = always
    ) -> Result:
        """Send a request once. Errors of the receiver are in the result, not raised.

        Args:
            may_write: called after connecting, right before the request is sent; if it
                returns False, nothing is sent.
        """
        started_ms = int(time.time() * 1000)
        cap_bytes = request.response_cap_bytes or self._body_cap_bytes
        exchange = HttpExchange(may_write, cap_bytes, request.body_wanted)
        failure, detail = None, ""
        try:
            with Deadline(request.timeout_ms / 1000):
                await self._perform(request, exchange)
        except _EXPECTED as err:
            failure, detail = explain(err, exchange)
            # Frames of the traceback refer to the error. Without this, only a rare full
            # garbage collection would free them.
            clear_frames(err.__traceback__)
        has_head = exchange.has_head
        body, truncated = bytes(exchange.body), exchange.truncated
        if body and is_compressed(exchange.headers):
            exchange.headers, (body, truncated, detail) = decoded_body(
                exchange.headers, Inflated(body, truncated, detail), cap_bytes
            )
        return Result(
            exchange.status,
            _decoded(exchange.headers) if has_head else (),
            body,
            truncated,
            None if has_head else failure,
            detail,
            started_ms,
            exchange.since_start_ms(exchange.connected_s),
            exchange.since_start_ms(exchange.first_byte_s),
            int((perf_counter() - exchange.started_s) * 1000),
            exchange.dispatched,
            has_head and bool(detail),
            exchange.unheard,
        )

    async def _perform(self, request: Request, exchange: HttpExchange) -> None:
        destination = parse(request.url)
        head = self._head(request, destination)
        origin = self._policy.origin_of(destination)
        connection = await self._pool.connect(origin, request.url, exchange)
        try:
            await connection.perform(exchange, head, request.body)
        except BaseException:
            exchange.unheard = connection.is_unheard(exchange.started_s)
            raise
        finally:
            self._pool.release(connection, exchange)

    def _head(self, request: Request, destination: Destination) -> bytes:
        """Return the request line and the headers, with one byte per character."""
        names = _checked_names(tuple([name for name, _ in request.headers]))
        host = destination.origin.host_header
        lines = [f"{request.method} {destination.target} HTTP/1.1\r\nHost: {host}"]
        values = "".join([value for _, value in request.headers])
        # It is faster to check the joined values than to check each value.
        if values.isascii() and values.isprintable():
            lines += [f"{name}: {value}" for name, value in request.headers]
        else:
            lines += [_header_line(name, value) for name, value in request.headers]
        lines += [line for name, line in self._defaults if name not in names]
        if request.body or request.method not in _BODYLESS:
            lines.append(f"Content-Length: {len(request.body)}")
        lines.append("\r\n")
        return "\r\n".join(lines).encode("latin-1")


@lru_cache(maxsize=1024)
def _checked_names(names: tuple[str, ...]) -> frozenset[str]:
    """Check header names and return them in lower case.

    Cached: most requests have the same names.

    Raises: BadHeader.
    """
    for name in names:
        check_outbound(name, "")
        if is_framing(name):
            raise BadHeader(f"header {name} is set by the client itself")
    return frozenset(name.lower() for name in names)


def _header_line(name: str, value: str) -> str:
    check_outbound(name, value)
    return f"{name}: {value}"


def _decoded(raw: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    try:
        return tuple([(name.decode(), value.decode()) for name, value in raw])
    except UnicodeDecodeError:
        return tuple([(_text(name), _text(value)) for name, value in raw])


def _text(raw: bytes) -> str:
    """Decode as UTF-8, or as latin-1 if that fails."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
