"""A TCP proxy to a store, which can drop the replies to executed commands."""

import contextlib
import select
import socket
import threading


class ReplyDroppingProxy:
    """Forwards connections; on request, drops a reply and closes the connection."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.dropped = 0
        self._to_drop = 0
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def drop_replies(self, count: int = 1) -> None:
        """Drop each of the next `count` replies, and close its connection."""
        self._to_drop = count

    def close(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                threading.Thread(
                    target=self._forward, args=(client, server), daemon=True
                ).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), client, server:
            while True:
                readable, _, _ = select.select([client, server], [], [])
                if client in readable:
                    if not (request := client.recv(65_536)):
                        return
                    server.sendall(request)
                if server in readable:
                    if not (reply := server.recv(65_536)):
                        return
                    if self._to_drop:
                        self._to_drop -= 1
                        self.dropped += 1
                        return
                    client.sendall(reply)
