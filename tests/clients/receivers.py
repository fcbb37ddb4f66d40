"""Destinations on loopback that note what arrives, and answer as they are told."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

WITHIN_S = 20.0


@dataclass(frozen=True)
class Answer:
    """What a destination answers, and after how long."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    after_s: float = 0.0


@dataclass(frozen=True)
class Arrival:
    """A request as it came over the wire; header names are in lower case."""

    at_s: float
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def signature(self) -> str:
        return self.headers["upstash-signature"]


@dataclass(frozen=True)
class Spot:
    """A destination of its own; each answer is given once, the last for ever."""

    url: str
    answers: Sequence[Answer]
    arrivals: list[Arrival] = field(default_factory=list)

    def wait_for(self, count: int = 1, *, within_s: float = WITHIN_S) -> list[Arrival]:
        """All arrivals, once there are so many."""
        wait_until(lambda: len(self.arrivals) >= count, within_s=within_s)
        return list(self.arrivals)


class Receivers:
    """A server with a path for every spot, and whatever a test puts behind it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._spots: dict[str, Spot] = {}

    def spot(self, *answers: Answer, under: str = "") -> Spot:
        """A new destination.

        Args:
            under: what its URL goes on with.
        """
        name = uuid4().hex
        url = f"{self._address}/{name}{under}"
        self._spots[name] = Spot(url, answers or [Answer()])
        return self._spots[name]

    def take(self, arrival: Arrival) -> Answer:
        name = arrival.target.split("?")[0].split("/")[1]
        spot = self._spots[name]
        spot.arrivals.append(arrival)
        return spot.answers[min(len(spot.arrivals), len(spot.answers)) - 1]


@contextmanager
def receiving() -> Iterator[Receivers]:
    """Runs a server for as long as it is needed."""

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
            answer = receivers.take(arrival)
            time.sleep(answer.after_s)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_words: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receivers = Receivers(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receivers
        finally:
            server.shutdown()
            thread.join()


def wait_until(condition: Callable[[], object], *, within_s: float = WITHIN_S) -> None:
    """Waits until a condition holds."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {within_s} s"
        time.sleep(0.02)
