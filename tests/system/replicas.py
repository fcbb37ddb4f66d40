"""A cell whose store has a replica; tests can switch all processes to the replica."""

import os
import select
import socket
import threading
from contextlib import suppress
from pathlib import Path
from redis import Redis
from scheduler_api.up.data_folder import DataFolder, wait_for_store
from scheduler_api.up.embedded_store import find_program
from tests.system.processes import Process
from tests.system.versions import LibraryCell, libraries
from types import TracebackType
from urllib.parse import urlsplit

REPLICATION_TIMEOUT_MS = 10_000


class Forwarder:
    """A TCP proxy; tests can change its target."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def switch_to(self, port: int) -> None:
        """Close all connections, and forward new ones to another port."""
        self._target = port
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening, and close all connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.switch_to(0)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                self._open += [client, server]
                threading.Thread(
                    target=_forward, args=(client, server), daemon=True
                ).start()


def _forward(client: socket.socket, server: socket.socket) -> None:
    peer = {client: server, server: client}
    with suppress(OSError, ValueError), client, server:
        while True:
            readable, _, _ = select.select([client, server], [], [])
            for connection in readable:
                if not (data := connection.recv(65_536)):
                    return
                peer[connection].sendall(data)


class ReplicatedCell(LibraryCell):
    """A cell with a replica; the processes reach the store through a `Forwarder`."""

    def __init__(self, folder: Path, **settings: str) -> None:
        data = DataFolder(folder / "data")
        url = urlsplit(data.store_url())
        # Release the lock, because the base class locks the same folder.
        os.close(data.lock_fd)
        assert url.port and url.password
        self._port, self._password = url.port, url.password
        self._forwarder = Forwarder(self._port)
        redis_url = f"redis://:{self._password}@127.0.0.1:{self._forwarder.port}/0"
        super().__init__(folder, REDIS_URL=redis_url, **settings)
        replica = DataFolder(folder / "replica")
        self._replica_port = urlsplit(replica.store_url()).port or 0
        os.close(replica.lock_fd)
        options = ["--replicaof", "127.0.0.1", str(self._port)]
        options += ["--masterauth", self._password, "--requirepass", self._password]
        self._replica_process = Process(
            [str(find_program()), str(replica.store_conf), *options],
            environ=self.environ,
            log=folder / "replica.log",
        )
        self.replica = Redis(port=self._replica_port, password=self._password)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, err, trace)
        self._replica_process.kill_tree()
        self.replica.close()
        self._forwarder.close()

    def start_store(self) -> None:
        """Start the store and its replica; return when the replica has caught up."""
        super().start_store()
        self.client.config_set("repl-diskless-sync-delay", 0)
        self._replica_process.start()
        wait_for_store(
            self.replica, should_stop=lambda: not self._replica_process.is_running()
        )
        self.wait_replicated()

    def wait_replicated(self) -> None:
        """Wait until the replica has received all writes so far."""
        with self.client.pipeline(transaction=False) as pipe:
            # WAIT would return at once if its own connection had written nothing.
            pipe.set("replicated", 1)
            pipe.execute_command("WAIT", 1, REPLICATION_TIMEOUT_MS)
            _, replicas = pipe.execute()
        assert replicas == 1, "the replica does not follow"

    def delete_libraries_on_replica(self) -> None:
        """Delete the function libraries from the replica only."""
        self.replica.config_set("replica-read-only", "no")
        self.replica.function_flush()
        self.replica.config_set("replica-read-only", "yes")

    def loaded_on_replica(self) -> set[str]:
        """The names of all libraries on the replica."""
        return libraries(self.replica)

    def switch_to_replica(self) -> None:
        """Close all connections to the store, and connect new ones to the replica."""
        self._forwarder.switch_to(self._replica_port)

    def promote(self) -> None:
        """Make the replica a primary."""
        self.replica.replicaof("NO", "ONE")
