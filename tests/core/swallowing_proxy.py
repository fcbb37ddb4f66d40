"""A proxy before a store that can lose an answer: done there, unknown here."""

import contextlib
import select
import socket
import threading


class SwallowingProxy:
    """Forwards connections; told to, it cuts one off when the next answer comes."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.swallowed = 0
        self._to_swallow = 0
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self, answers: int = 1) -> None:
        """Loses the next answers, and their connections with them."""
        self._to_swallow = answers

    def close(self) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._open += [near, far]
                threading.Thread(
                    target=self._forward, args=(near, far), daemon=True
                ).start()

    def _forward(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), near, far:
            while True:
                readable, _, _ = select.select([near, far], [], [])
                if near in readable:
                    if not (request := near.recv(65_536)):
                        return
                    far.sendall(request)
                if far in readable:
                    if not (answer := far.recv(65_536)):
                        return
                    if self._to_swallow:
                        self._to_swallow -= 1
                        self.swallowed += 1
                        return
                    near.sendall(answer)
