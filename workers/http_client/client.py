"""Sends one HTTP request to a receiver that may be slow, broken or hostile."""

import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from scheduler_api.core.delivery.destinations import AddressPolicy, Destination, parse
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.headers import BadHeader, check_outbound, is_framing
from time import perf_counter
from types import TracebackType
from typing import Self
from workers.http_client.connection import HttpExchange
from workers.http_client.deadline import Deadline
from workers.http_client.errors import (
    BrokenOff,
    ConnectionGone,
    HeadTooLarge,
    NoAddress,
    NotHttp,
)
from workers.http_client.failures import Failure, explain
from workers.http_client.pool import HttpConnectionPool
from workers.http_client.resolver import Lookup, Resolver, look_up

# A receiver that closes idle connections may do so while a request is on its way, and
# then nobody knows whether the request was read. Node, Apache and uvicorn close after
# 5 s, so ours are closed before. What still hits a closing connection is reported as
# `connection-closed` and left to the retry policy: a POST must not be repeated in
# silence.
KEEPALIVE_S = 4.0
PUBLIC_BLOCKED = "the destination is not allowed"

# RuntimeError: uvloop raises it where the operating system's error is meant.
_EXPECTED = (
    BrokenOff,
    ConnectionGone,
    HeadTooLarge,
    NoAddress,
    NotHttp,
    OSError,
    RuntimeError,
    SchedulerError,
    ValueError,
)
_BODYLESS = frozenset(("GET", "HEAD"))


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over the wire; headers and body are sent as they are, in order."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_ms: int  # for the whole attempt, from the name lookup to the last byte
    body_cap_bytes: int | None = None  # of the response; None: the client's own


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one attempt.

    A `status` beside an `error` means that the head of the response was read and the
    rest was not; an attempt has a complete response only if `error` is None.
    """

    status: int | None
    headers: tuple[tuple[str, str], ...]
    body: bytes
    body_truncated: bool
    error: Failure | None
    detail: str  # for operators: names the address if `error` is "blocked"
    started_ms: int  # wall clock
    connect_ms: int | None  # these three since `started_ms`; None: not got that far
    first_byte_ms: int | None
    total_ms: int
    dispatched: bool  # False: certainly no byte of the request has left

    @property
    def public_detail(self) -> str:
        """Return the text that the tenant may read: nothing about blocked addresses."""
        return PUBLIC_BLOCKED if self.error is Failure.BLOCKED else self.detail


def always() -> bool:
    """Let every request be written."""
    return True


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Return a verifying context that speaks TLS 1.2 and up.

    Args:
        ca_file: trusted instead of the system's authorities.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class HttpClient:
    """Sends requests over guarded, reused connections; an async context manager.

    Args:
        limit: requests in flight; more wait, and their deadlines run meanwhile.
        body_cap_bytes: kept of a response body, unless the request says otherwise; the
            rest is never read.
        keepalive_s: how long an idle connection is kept for the same origin.
        user_agent: sent where the request names none.
        tls: another context than `tls_context()`.
        lookup: addresses of a name; runs in a thread.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        limit: int,
        body_cap_bytes: int,
        keepalive_s: float = KEEPALIVE_S,
        user_agent: str = "scheduler-api",
        tls: ssl.SSLContext | None = None,
        lookup: Lookup = look_up,
    ) -> None:
        self._policy = policy
        self._limit = limit
        self._body_cap_bytes = body_cap_bytes
        self._keepalive_s = keepalive_s
        self._tls = tls
        self._lookup = lookup
        self._defaults = (
            ("accept", "Accept: */*"),
            # A compressed response could be a bomb, and nobody needs it small.
            ("accept-encoding", "Accept-Encoding: identity"),
            ("user-agent", f"User-Agent: {user_agent}"),
        )

    async def __aenter__(self) -> Self:
        self._pool = HttpConnectionPool(
            self._policy,
            resolver=Resolver(self._policy, self._lookup),
            tls=self._tls or tls_context(),
            limit=self._limit,
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
        """Return how many connections are open, idle ones included."""
        return self._pool.open_connections

    async def send(
        self, request: Request, *, may_write: Callable[[], bool] = always
    ) -> Result:
        """Send `request` once, and tell how it went; never raises for the receiver.

        Args:
            may_write: asked when the connection is there, right before the request is
                written; False ends the attempt with nothing sent.
        """
        started_ms = int(time.time() * 1000)
        cap_bytes = request.body_cap_bytes or self._body_cap_bytes
        exchange = HttpExchange(may_write, cap_bytes)
        error, detail = None, ""
        try:
            with Deadline(request.timeout_ms / 1000):
                await self._perform(request, exchange)
        except _EXPECTED as err:
            error, detail = explain(err, exchange)
        return Result(
            status=exchange.status,
            headers=_storable(exchange.headers) if exchange.has_head else (),
            body=exchange.body,
            body_truncated=exchange.has_head and not exchange.complete,
            error=error,
            detail=detail,
            started_ms=started_ms,
            connect_ms=exchange.since_start_ms(exchange.connected_s),
            first_byte_ms=exchange.since_start_ms(exchange.first_byte_s),
            total_ms=int((perf_counter() - exchange.started_s) * 1000),
            dispatched=exchange.dispatched,
        )

    async def _perform(self, request: Request, exchange: HttpExchange) -> None:
        destination = parse(request.url)
        head = self._head(request, destination)
        origin = destination.origin
        connection = await self._pool.connect(origin, exchange)
        try:
            await connection.perform(exchange, head, request.body)
        finally:
            self._pool.release(connection, origin)

    def _head(self, request: Request, destination: Destination) -> bytes:
        """The request up to its body; UTF-8, as servers read it."""
        names = _checked(tuple([name for name, _ in request.headers]))
        host = destination.origin.host_header
        lines = [f"{request.method} {destination.target} HTTP/1.1\r\nHost: {host}"]
        values = "".join([value for _, value in request.headers])
        # Two looks at all of them instead of a search in each, for all but a few.
        if values.isascii() and values.isprintable():
            lines += [f"{name}: {value}" for name, value in request.headers]
        else:
            lines += [_written(name, value) for name, value in request.headers]
        lines += [line for name, line in self._defaults if name not in names]
        if request.body or request.method not in _BODYLESS:
            lines.append(f"Content-Length: {len(request.body)}")
        lines.append("\r\n")
        return "\r\n".join(lines).encode()


@lru_cache(maxsize=1024)
def _checked(names: tuple[str, ...]) -> frozenset[str]:
    """The names in lower case; most requests have the same ones.

    Raises: BadHeader.
    """
    for name in names:
        check_outbound(name, "")
        if is_framing(name):
            raise BadHeader(f"header {name} is written by the sender alone")
    return frozenset(name.lower() for name in names)


def _written(name: str, value: str) -> str:
    check_outbound(name, value)
    return f"{name}: {_as_read(value)}"


def _as_read(value: str) -> str:
    """Return what comes out as the bytes that a latin-1 reading server was given.

    Heads are written as UTF-8. A client's UTF-8 that was read as latin-1 would be
    encoded twice; true latin-1, which cannot be told from it otherwise, becomes UTF-8.
    """
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return value


def _storable(raw: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    try:
        return tuple([(name.decode(), value.decode()) for name, value in raw])
    except UnicodeDecodeError:
        return tuple([(_text(name), _text(value)) for name, value in raw])


def _text(raw: bytes) -> str:
    """Decode any bytes: as UTF-8 if they are, else byte by byte."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
