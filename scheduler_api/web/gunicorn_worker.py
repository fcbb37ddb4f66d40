"""gunicorn's gevent worker, where an answer's head goes out together with its body.

One write costs the processor as much as a third of what Flask does for a request, and
each one is a packet of its own.
"""

from gunicorn.workers.ggevent import GeventWorker
from typing import Any


class WebWorker(GeventWorker):
    """Answers requests by greenlets."""

    def handle_request(self, listener: Any, req: Any, sock: Any, addr: Any) -> bool:
        """Lets the server answer a request."""
        joined = HeadWithBody(sock)
        try:
            return super().handle_request(listener, req, joined, addr)
        finally:
            joined.send_held()


class HeadWithBody:
    """A socket that keeps what is sent first until it knows what comes next."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._held: bytes | None = None

    def sendall(self, data: bytes) -> None:
        """Sends the first data with the second, and all others at once."""
        if self._held is None:
            self._held = data
        elif self._held:
            held, self._held = self._held, b""
            self._sock.sendall(held + data)
        else:
            self._sock.sendall(data)

    def send_held(self) -> None:
        """Sends what is kept."""
        if self._held:
            held, self._held = self._held, b""
            self._sock.sendall(held)

    def __getattr__(self, name: str) -> Any:
        """What the socket has; nothing may overtake what is kept."""
        self.send_held()
        return getattr(self._sock, name)
