"""Destinations on loopback that record requests and send prepared responses."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tests.system.processes import wait_until
from uuid import uuid4

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Answer:
    """A response to send after `delay_s` seconds.

    The announced length of the body is `missing_bytes` too long.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0
    missing_bytes: int = 0


NOT_FOUND = Answer(status=404)


@dataclass(frozen=True)
class Arrival:
    """A received request; header names are in lower case."""

    at_s: float
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def signature(self) -> str:
        return self.headers["upstash-signature"]


@dataclass(frozen=True)
class Destination:
    """A URL that sends its answers in order, and then repeats the last answer."""

    url: str
    answers: Sequence[Answer]
    arrivals: list[Arrival] = field(default_factory=list)

    def wait_for(self, count: int = 1, *, within_s: float = TIMEOUT_S) -> list[Arrival]:
        """Wait for this many arrivals; return all arrivals."""
        wait_until(lambda: len(self.arrivals) >= count, within_s=within_s)
        return list(self.arrivals)


class Receivers:
    """A server with a path for each destination."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._destinations: dict[str, Destination] = {}

    def new_destination(self, *answers: Answer, suffix: str = "") -> Destination:
        """Create a destination, which answers 200 by default.

        Args:
            suffix: path and query to append to the URL of the destination.
        """
        name = uuid4().hex
        url = f"{self._address}/{name}{suffix}"
        self._destinations[name] = Destination(url, answers or [Answer()])
        return self._destinations[name]

    def record(self, arrival: Arrival) -> Answer:
        """Record a request at its destination; return the answer to send.

        Other paths are answered with 404.
        """
        name = arrival.target.split("?")[0].split("/")[1]
        destination = self._destinations.get(name) or Destination("", [NOT_FOUND])
        destination.arrivals.append(arrival)
        count, answers = len(destination.arrivals), destination.answers
        return answers[min(count, len(answers)) - 1]


@contextmanager
def serve_receivers(host: str = "127.0.0.1") -> Iterator[Receivers]:
    """Context manager that runs a server for destinations on an address of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self._handle
            raise AttributeError(name)

        def _handle(self) -> None:
            size = int(self.headers.get("content-length", 0))
            arrival = Arrival(
                at_s=time.time(),
                method=self.command,
                target=self.path,
                headers={name.lower(): v for name, v in self.headers.items()},
                body=self.rfile.read(size),
            )
            answer = receivers.record(arrival)
            time.sleep(answer.delay_s)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            length = len(answer.body) + answer.missing_bytes
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = answer.missing_bytes > 0

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer((host, 0), Handler) as server:
        receivers = Receivers(f"http://{host}:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receivers
        finally:
            server.shutdown()
            thread.join()
