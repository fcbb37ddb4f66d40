"""Sends one HTTP request to a receiver that may be slow, broken or hostile."""

import ssl
import time
from aiohttp import (
    BytesIOPayload,
    BytesPayload,
    ClientError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
)
from aiohttp.http_exceptions import HttpProcessingError
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from multidict import CIMultiDict
from scheduler_api.core.destinations import AddressPolicy, parse
from scheduler_api.core.headers import BadHeader, check_outbound, is_framing
from time import perf_counter
from types import TracebackType
from typing import Self
from workers.connector import Connector, Lookup, Resolver, look_up
from workers.deadline import Deadline
from workers.failures import Failure, explain
from workers.wire import (
    HEAD_MAX_BYTES,
    Attempt,
    Blocked,
    ConnectionGone,
    HeadTooLarge,
    LeaseLost,
    current,
)
from yarl import URL

RESPONSE_HEADERS_MAX = 100
# Bytes read for each byte kept of a body. Chunks of a single byte take six.
FRAMING_MAX = 16
# aiohttp warns that larger bodies, written in one go, hold up the event loop.
WHOLE_WRITE_MAX_BYTES = 2**20
# A receiver that closes idle connections may do so while a request is on its way, and
# then nobody knows whether the request was read. Node, Apache and uvicorn close after
# 5 s, so ours are closed before. What still hits a closing connection is reported as
# `connection-closed` and left to the retry policy: a POST must not be repeated in
# silence, and aiohttp's own repetition of PUT and the like is refused as well.
KEEPALIVE_S = 4.0
CONNECT_TIMEOUT_S = 30.0
PUBLIC_BLOCKED = "the destination is not allowed"

# RuntimeError: uvloop raises it where the operating system's error is meant.
_EXPECTED = (
    Blocked,
    ClientError,
    ConnectionGone,
    HeadTooLarge,
    HttpProcessingError,
    LeaseLost,
    OSError,
    RuntimeError,
    ValueError,
)
_NO_CONTENT_TYPE = CIMultiDict({"Content-Type": None})


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over the wire; headers and body are sent as they are, in order."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_ms: int  # for the whole attempt, from the name lookup to the last byte
    body_cap_bytes: int | None = None  # of the response; None: the sender's own


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


class _Answer:
    """The response as far as it was read."""

    __slots__ = ("body", "complete", "headers", "status", "truncated")

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: tuple[tuple[str, str], ...] = ()
        self.body = b""
        self.truncated = False
        self.complete = False


class _OutgoingRequest(ClientRequest):
    """Writes the attempt's own headers, where aiohttp would merge and add some."""

    def update_headers(self, headers: object) -> None:
        host = self.url.host_port_subcomponent or ""
        self.headers = CIMultiDict([("Host", host), *current.get().headers])

    def update_auto_headers(self, skip_auto_headers: object) -> None:
        self._skip_auto_headers = _NO_CONTENT_TYPE


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


class Sender:
    """Sends requests over guarded, reused connections; an async context manager.

    Args:
        limit: requests in flight; more wait, and their deadlines run meanwhile.
        limit_per_host: the same per host and port, 0 for none.
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
        limit_per_host: int = 0,
        keepalive_s: float = KEEPALIVE_S,
        user_agent: str = "scheduler-api",
        tls: ssl.SSLContext | None = None,
        lookup: Lookup = look_up,
    ) -> None:
        self._policy = policy
        self._limit = limit
        self._limit_per_host = limit_per_host
        self._body_cap_bytes = body_cap_bytes
        self._keepalive_s = keepalive_s
        self._tls = tls
        self._lookup = lookup
        self._defaults = (
            ("accept", ("Accept", "*/*")),
            # A compressed response could be a bomb, and nobody needs it small.
            ("accept-encoding", ("Accept-Encoding", "identity")),
            ("user-agent", ("User-Agent", user_agent)),
        )

    async def __aenter__(self) -> Self:
        self._resolver = Resolver(self._policy, self._lookup)
        self._connector = Connector(
            self._policy,
            resolver=self._resolver,
            tls=self._tls or tls_context(),
            limit=self._limit,
            limit_per_host=self._limit_per_host,
            keepalive_s=self._keepalive_s,
        )
        self._session = ClientSession(
            connector=self._connector,
            request_class=_OutgoingRequest,
            cookie_jar=DummyCookieJar(),
            # The deadline is one timer around everything, see `send`.
            timeout=ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            trust_env=False,
            auto_decompress=False,
            max_headers=RESPONSE_HEADERS_MAX,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()
        await self._resolver.close()

    @property
    def open_connections(self) -> int:
        """Return how many connections are open, idle ones included."""
        return self._connector.open_connections

    async def send(
        self, request: Request, *, may_write: Callable[[], bool] = always
    ) -> Result:
        """Send `request` once, and tell how it went; never raises for the receiver.

        Args:
            may_write: asked when the connection is there, right before the request is
                written; False ends the attempt with nothing sent.
        """
        started_ms = int(time.time() * 1000)
        attempt, answer = Attempt(may_write), _Answer()
        error, detail = None, ""
        current.set(attempt)
        try:
            with Deadline(request.timeout_ms / 1000):
                await self._exchange(request, attempt, answer)
        except _EXPECTED as err:
            error, detail = explain(err, attempt)
        finally:
            # Also when cancelled: aiohttp's own closing would wait, unseen, until the
            # receiver has read what is still to be written.
            if not answer.complete and attempt.wire is not None:
                attempt.wire.drop()
        return Result(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            body_truncated=answer.truncated,
            error=error,
            detail=detail,
            started_ms=started_ms,
            connect_ms=attempt.since_start_ms(attempt.connected_s),
            first_byte_ms=attempt.since_start_ms(attempt.first_byte_s),
            total_ms=int((perf_counter() - attempt.started_s) * 1000),
            dispatched=attempt.dispatched,
        )

    async def _exchange(
        self, request: Request, attempt: Attempt, answer: _Answer
    ) -> None:
        url = _target(request.url)
        attempt.headers = self._headers(request)
        attempt.path = url.raw_path
        response = await self._session.request(
            request.method,
            url,
            data=_payload(request.body),
            allow_redirects=False,
        )
        attempt.head_open = False
        cap_bytes = request.body_cap_bytes or self._body_cap_bytes
        attempt.read_max_bytes += HEAD_MAX_BYTES + FRAMING_MAX * cap_bytes
        try:
            await self._read(response, answer, cap_bytes)
        finally:
            if not answer.complete:
                response.close()

    async def _read(
        self, response: ClientResponse, answer: _Answer, cap_bytes: int
    ) -> None:
        answer.status = response.status
        answer.headers = _storable(response.raw_headers)
        if response.status == 101:
            raise HttpProcessingError(message="nobody asked for another protocol")
        answer.truncated = True
        while chunk := await response.content.readany():
            answer.body += chunk
            if len(answer.body) > cap_bytes:
                answer.body = answer.body[:cap_bytes]
                return
        answer.truncated = False
        # Still held: the answer came before the request was written to its end.
        answer.complete = response.connection is None

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        headers, names = [], set()
        for name, value in request.headers:
            names.add(_checked(name))
            # Two looks at the string instead of a search, for all but a few values.
            if not (value.isascii() and value.isprintable()):
                check_outbound(name, value)
                headers.append((name, _as_read(value)))
            else:
                headers.append((name, value))
        headers += [header for name, header in self._defaults if name not in names]
        return headers


def _payload(body: bytes) -> BytesPayload | BytesIOPayload | None:
    if len(body) > WHOLE_WRITE_MAX_BYTES:
        return BytesIOPayload(BytesIO(body))
    return BytesPayload(body) if body else None


@lru_cache(maxsize=1024)
def _target(url: str) -> URL:
    """Return `url` as it goes over the wire: escapes, `//` and dots are kept."""
    return URL(parse(url).wire, encoded=True)


@lru_cache(maxsize=1024)
def _checked(name: str) -> str:
    check_outbound(name, "")
    if is_framing(name):
        raise BadHeader(f"header {name} is written by the sender alone")
    return name.lower()


def _as_read(value: str) -> str:
    """Return what comes out as the bytes that a latin-1 reading server was given.

    aiohttp writes UTF-8. A client's UTF-8 that was read as latin-1 would be encoded
    twice; true latin-1, which cannot be told from it otherwise, becomes UTF-8.
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
