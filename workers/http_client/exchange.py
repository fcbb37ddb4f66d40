"""The state of one request and its response, shared by pool, connection and client."""

from collections.abc import Callable
from enum import Enum
from scheduler_api.core.delivery.request import BodyWanted
from time import perf_counter
from workers.http_client.response_head import HEADERS_MAX_BYTES, RawHeaders

# The maximum number of bytes to read before the body: headers, and what is around them
# (status line, line ends, interim responses).
HEAD_MAX_BYTES = HEADERS_MAX_BYTES + 16 * 1024
# The maximum number of bytes to read for each byte of the body cap. More than one,
# because chunk headers need bytes too: a chunk with one byte of content takes six.
FRAMING_MAX = 16


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
        body_wanted: when to read the response body until the deadline.
    """

    __slots__ = (
        "body",
        "body_cap_bytes",
        "body_wanted",
        "complete",
        "connected_s",
        "dispatched",
        "first_byte_s",
        "has_head",
        "headers",
        "may_write",
        "phase",
        "pieces",
        "read_bytes",
        "refusal",
        "started_s",
        "status",
        "truncated",
        "unheard",
        "was_reset",
    )

    def __init__(
        self,
        may_write: Callable[[], bool],
        body_cap_bytes: int,
        body_wanted: BodyWanted,
    ) -> None:
        self.may_write = may_write
        self.body_cap_bytes = body_cap_bytes
        self.body_wanted = body_wanted
        self.started_s = perf_counter()
        self.connected_s = 0.0
        self.first_byte_s = 0.0
        self.read_bytes = 0
        self.dispatched = self.unheard = False
        self.phase = Phase.WAIT
        self.refusal: str | None = None
        self.status: int | None = None
        self.headers: RawHeaders = []
        self.body = bytearray()
        self.pieces = 0  # of the body
        self.has_head = False
        self.truncated = False
        self.complete = False
        # A new connection was reset before any byte of the response.
        self.was_reset = False

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
