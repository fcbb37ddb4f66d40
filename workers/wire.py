"""One attempt on its connection: what it may do there, and what it leaves behind."""

import asyncio
import select
from aiohttp.client_proto import ResponseHandler
from collections.abc import Callable
from contextvars import ContextVar
from scheduler_api.core.errors import SchedulerError
from time import perf_counter

# For interim responses (1xx) and headers together. Above what sane servers send, and
# above what may arrive of a body (aiohttp stops at twice 64 KiB) before the sender has
# seen the end of the head.
HEAD_MAX_BYTES = 256 * 1024


class Blocked(SchedulerError):
    """The address policy refuses this destination; the text is for operators only."""


class LeaseLost(SchedulerError):
    """The event is no longer this worker's: nothing was sent."""


class ConnectionGone(Exception):
    """The receiver closed a connection that had carried the request."""


class HeadTooLarge(Exception):
    """The receiver sent more than any response head needs."""


class Attempt:
    """What one attempt leaves behind on its way through the connection."""

    __slots__ = (
        "connected_s",
        "dispatched",
        "first_byte_s",
        "head_open",
        "headers",
        "may_write",
        "path",
        "read_bytes",
        "read_max_bytes",
        "refusal",
        "started_s",
        "wire",
    )

    def __init__(self, may_write: Callable[[], bool]) -> None:
        self.may_write = may_write
        self.headers: list[tuple[str, str]] = []
        self.path = ""
        self.started_s = perf_counter()
        self.connected_s = 0.0
        self.first_byte_s = 0.0
        self.head_open = True
        self.read_bytes = 0
        self.read_max_bytes = HEAD_MAX_BYTES
        self.dispatched = False
        self.refusal: str | None = None
        self.wire: Wire | None = None

    def since_start_ms(self, mark_s: float) -> int | None:
        """Return the milliseconds to a mark, None where it was not reached."""
        return int((mark_s - self.started_s) * 1000) if mark_s else None


# aiohttp hands nothing of ours down to the connector. Tasks it starts on the way
# (racing addresses) inherit the context, and so find the same attempt.
current: ContextVar[Attempt] = ContextVar("attempt")


class Wire(ResponseHandler):
    """One connection: notes the first byte, and cuts off what never comes to an end."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, open_wires: set["Wire"]
    ) -> None:
        super().__init__(loop=loop)
        self.attempt: Attempt | None = None
        self._open_wires = open_wires
        self._stream: asyncio.Transport | None = None
        self._poll: select.poll | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Kept apart because aiohttp forgets its transport when it closes it, and a
        # closed transport with unsent bytes lives until the receiver has read them.
        self._stream = self.transport
        self._open_wires.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._open_wires.discard(self)
        self._stream = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        attempt = self.attempt
        if attempt is not None:
            if not attempt.first_byte_s:
                attempt.first_byte_s = perf_counter()
            if attempt.read_bytes >= attempt.read_max_bytes:
                self.set_exception(HeadTooLarge())
                self.drop()
                return
            attempt.read_bytes += len(data)
        super().data_received(data)

    def drop(self) -> None:
        """Close at once, whatever is still unsent or unread."""
        if self._stream is not None:
            self._stream.abort()

    def is_stale(self) -> bool:
        """Tell whether an idle connection has been closed or written to meanwhile.

        The event loop may not have looked at the socket yet, so the kernel is asked.
        """
        if self.should_close or self._stream is None:
            return True
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._stream.get_extra_info("socket"), select.POLLIN)
        return bool(self._poll.poll(0))
