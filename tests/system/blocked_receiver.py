"""A receiver that accepts no connection until a test calls `open`."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

FILLERS = 4
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class BlockedReceiver:
    """A receiver to which clients cannot connect before `open`.

    Until then, the receiver's backlog of connections is full. `requests` counts the
    requests that arrive after `open`.
    """

    def __init__(self) -> None:
        self.requests = 0
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(0)
        self._fillers = [socket.socket() for _ in range(FILLERS)]

    def __enter__(self) -> Self:
        for filler in self._fillers:
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(self._socket.getsockname())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for filler in self._fillers:
            filler.close()
        self._socket.close()

    @property
    def url(self) -> str:
        """The URL of the receiver, to use as a destination."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    def open(self) -> None:
        """Accept pending and new connections from now on."""
        for filler in self._fillers:
            filler.close()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(
                    target=self._answer, args=(connection,), daemon=True
                ).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65_536):
                if data.startswith(b"POST "):
                    self.requests += 1
                    connection.sendall(RESPONSE)
