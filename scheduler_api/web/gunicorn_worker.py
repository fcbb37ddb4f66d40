"""Changes to gunicorn's gevent worker.

It accepts request targets that are not percent-encoded, keeps headers whose names have
underscores, refuses a chunk that is larger than any body, answers malformed requests in
JSON, bounds what clients hold (`connections.py`), and sends head and body of a response
in one write. gunicorn sends them in two writes: the second one costs a packet, and a
third of the CPU time that Flask needs for a request.
"""

import os
import re
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.workers.ggevent import GeventWorker
from scheduler_api.settings import from_env
from scheduler_api.web import underscores
from scheduler_api.web.connections import Bodies, Connections
from scheduler_api.web.http_errors import EXTENSION, JsonErrors, target_of
from scheduler_api.web.request_body import OversizedChunk
from typing import Any

# The largest head of a request. gunicorn's own limit is the product of its two other
# limits, 8 MB, and finding the end of such a head takes many seconds of CPU time.
HEAD_MAX_BYTES = 262_144
# No setting allows a larger body.
CHUNK_MAX_BYTES = 1_073_741_824
# So many of the connections that gunicorn accepts stay free. A new connection needs one
# until the connection that it replaces has ended.
SPARE_CONNECTIONS = 50
# The attribute of a parser's error that has the target of the request.
TARGET = "scheduler_target"

_NON_ASCII = re.compile(rb"[\x80-\xff]")


class BoundedChunks(ChunkedReader):
    """Reads a chunked body; a chunk larger than any body is refused by its size."""

    def parse_chunk_size(self, *args: Any, **options: Any) -> tuple[int, bytes | None]:
        """Parse the line before a chunk; gunicorn calls this.

        Raises: OversizedChunk.
        """
        size, rest = super().parse_chunk_size(*args, **options)
        if size > CHUNK_MAX_BYTES:
            raise OversizedChunk
        return size, rest


class RawRequest(Request):
    """A request whose target may contain non-ASCII bytes, which are percent-encoded.

    curl and many HTTP libraries send the query of a URL as they were given it.
    """

    _received: bytes | bytearray = b""

    def __init__(self, *args: Any, **options: Any) -> None:
        try:
            super().__init__(*args, **options)
        except ParseException as err:
            setattr(err, TARGET, target_of(bytes(self._received)))
            raise

    def parse(self, unreader: Any) -> bytes:
        """Parse the head; gunicorn calls this."""
        self.max_buffer_headers = HEAD_MAX_BYTES
        unused: bytes = super().parse(unreader)
        return unused

    def read_line(
        self, unreader: Any, buf: bytearray, limit: int = 0
    ) -> tuple[bytes, bytearray]:
        """Read the request line; gunicorn calls this."""
        self._received = buf
        return super().read_line(unreader, buf, limit)

    def parse_request_line(self, line_bytes: bytes) -> None:
        """Parse the request line; gunicorn calls this."""
        words = line_bytes.split(b" ", 2)
        if len(words) == 3 and not words[1].isascii():
            words[1] = _NON_ASCII.sub(_escape, words[1])
            line_bytes = b" ".join(words)
        super().parse_request_line(line_bytes)

    def set_body_reader(self) -> None:
        """Decide how the body is read; gunicorn calls this."""
        super().set_body_reader()
        if self.body and isinstance(self.body.reader, ChunkedReader):
            self.body = Body(BoundedChunks(self, self.unreader))

    def _apply_header_policy(
        self, name: str, value: str, *args: Any, **options: Any
    ) -> tuple[str, str] | None:
        """Return the header to keep; gunicorn calls this, and drops underscores."""
        policy: Any = super()
        kept = policy._apply_header_policy(name, value, *args, **options)
        return kept or (underscores.hide(name), value)


def _escape(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]


class WebWorker(GeventWorker):
    """A gevent worker for the application of `scheduler_api.app`."""

    def init_process(self) -> None:
        """Start the worker; gunicorn calls this in the new process."""
        RequestParser.mesg_class = RawRequest
        settings = from_env(os.environ)
        self._connections = Connections(
            max_count=self.cfg.worker_connections - SPARE_CONNECTIONS,
            max_per_address=settings.address_connections,
            trusted=settings.trusted_proxies,
            bodies=Bodies(max_bytes=settings.bodies_bytes),
        )
        super().init_process()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Handle a connection; gunicorn calls this."""
        connection = self._connections.open(client, addr[0])
        try:
            super().handle(listener, connection, addr)
        finally:
            self._connections.closed(connection, addr[0])

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Any) -> None:
        """Answer a request that cannot be handled; gunicorn calls this."""
        target = req.uri if req else getattr(exc, TARGET, "")
        app: Any = self.wsgi
        error_at = app.extensions[EXTENSION]
        answer: Any = JsonErrors(client, error_at, target=target, error=exc)
        super().handle_error(req, answer, addr, exc)

    def handle_request(self, listener: Any, req: Any, sock: Any, addr: Any) -> bool:
        """Handle a request; gunicorn calls this."""
        buffered = HeadWithBody(sock)
        sock.begin_request()
        try:
            return super().handle_request(listener, req, buffered, addr)
        finally:
            sock.end_request()
            buffered.flush()


class HeadWithBody:
    """A socket that delays the first write, and sends it together with the second."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        # The delayed data. None before the first write; empty after the data was sent.
        self._head: bytes | None = None

    def sendall(self, data: bytes) -> None:
        """Send data; the first call only stores its data until the second call."""
        if self._head is None:
            self._head = data
        elif self._head:
            head, self._head = self._head, b""
            self._sock.sendall(head + data)
        else:
            self._sock.sendall(data)

    def flush(self) -> None:
        """Send the delayed data, if any."""
        if self._head:
            head, self._head = self._head, b""
            self._sock.sendall(head)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the socket, after sending the delayed data.

        The attribute may be a method that sends data. The delayed data must be sent
        before this data.
        """
        self.flush()
        return getattr(self._sock, name)
