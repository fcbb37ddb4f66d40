"""A receiver that records the bytes of requests, and sends any bytes as responses."""

import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_LENGTH = re.compile(rb"^content-length: (\d+)\r$", re.IGNORECASE | re.MULTILINE)


@dataclass
class RawReceiver:
    """What a running receiver has recorded: the heads of requests, by path."""

    url: str = ""
    heads: list[bytes] = field(default_factory=list)


@contextmanager
def raw_receiver(
    respond: Callable[[bytes], bytes] = lambda target: OK,
) -> Iterator[RawReceiver]:
    """Run a receiver on loopback, which closes each connection after one response.

    Args:
        respond: returns the bytes of the response to a request for this target.
    """
    receiver = RawReceiver()

    class Handler(socketserver.StreamRequestHandler):
        timeout = 10

        def handle(self) -> None:
            head = b""
            while line := self.rfile.readline():
                head += line
                if line == b"\r\n":
                    break
            length = _LENGTH.search(head)
            self.rfile.read(int(length[1]) if length else 0)
            receiver.heads.append(head)
            with suppress(ConnectionError):
                self.wfile.write(respond(head.split(b" ")[1]))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
