"""Bounds what clients hold in a web process: connections, bodies, and waiting time.

None of the bounds refuses a client that reads and sends at a normal pace. If too many
connections are open, the one without a request for the longest time is closed. If
unfinished bodies fill the memory that they may have, the oldest of them is dropped.
"""

import errno
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from scheduler_api.core import open_files
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.core.settings.variables import Network
from scheduler_api.web.client_address import is_in, network_of
from typing import Any

# A client must read a response and send a body at this rate, on average.
MIN_BYTES_PER_S = 16_384
# How far a client may fall behind this rate, for example while it sends nothing.
PATIENCE_S = 10.0
MIN_TIMEOUT_S = 0.001
# The first bytes of each body are not counted. So large bodies cannot keep out small
# ones, and all small ones together need little memory.
UNCOUNTED_BYTES = 65_536
# Descriptors of a web process beside those of its clients.
OTHER_DESCRIPTORS = 256
# With fewer connections, clients would cut off one another.
LEAST_CONNECTIONS = 100


def connections_max(wanted: int) -> int:
    """Return how many connections this process can have, at most as many as wanted.

    Raises: SettingsError: the limit of open files is too low.
    """
    limit = open_files.raise_limit()
    needed = OTHER_DESCRIPTORS + LEAST_CONNECTIONS
    if limit < needed:
        raise SettingsError(
            f"A web process needs {needed} open files, and the limit is {limit}:"
            " raise it with ulimit -n"
        )
    return min(wanted, limit - OTHER_DESCRIPTORS)


class BodyDropped(OSError):
    """Unfinished bodies fill the memory that they may have; this is the oldest."""


class Bodies:
    """The bytes of the large bodies of all current requests of a process."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[Connection, int] = OrderedDict()
        self._total = 0

    def add(self, connection: "Connection", size: int) -> None:
        """Count bytes of a body; drop the oldest unfinished bodies if there is no room.

        A single body may exceed the maximum. If all other bodies are complete, this
        body itself is dropped.
        """
        self._held[connection] = self._held.get(connection, 0) + size
        self._total += size
        while self._total > self._max_bytes and len(self._held) > 1:
            oldest = next((held for held in self._held if held.is_receiving), None)
            if oldest is None:
                break
            self.remove(oldest)
            oldest.drop_body()

    def remove(self, connection: "Connection") -> None:
        """Forget the body of a connection, if it is counted."""
        self._total -= self._held.pop(connection, 0)


class Connection:
    """The socket of a client, as gunicorn uses it, with limits of time and memory.

    Args:
        peers: the open connections from the same address, the longest idle one first;
            None if they are not limited.
    """

    def __init__(
        self,
        sock: Any,
        bodies: Bodies,
        *,
        peers: "OrderedDict[Connection, None] | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sock = sock
        self._bodies = bodies
        self._peers = peers
        self._clock = clock
        self._in_request = self.is_dropped = False
        self._body_bytes = 0
        self._credit_s = PATIENCE_S
        self.is_receiving = False

    def begin_request(self) -> None:
        """Begin a request, whose head has been received."""
        self._in_request = True
        if self._peers is not None and self in self._peers:
            self._peers.move_to_end(self)

    def end_request(self) -> None:
        """End a request, and forget its body."""
        self._in_request = False
        if self._body_bytes:
            self._bodies.remove(self)
            self._body_bytes = 0
            self._credit_s = PATIENCE_S
            self._sock.settimeout(None)

    def recv(self, size: int) -> bytes:
        """Receive data; in a request, the data belong to its body.

        Between requests, gunicorn limits the time.

        Raises: BodyDropped, OSError.
            TimeoutError: the body arrives too slowly.
        """
        if self._in_request:
            return self._recv_body(size)
        try:
            received: bytes = self._sock.recv(size)
        except OSError as err:
            raise _lost() from err
        return received

    def _recv_body(self, size: int) -> bytes:
        self.is_receiving = True
        began_s = self._clock()
        self._sock.settimeout(max(self._credit_s, MIN_TIMEOUT_S))
        try:
            data: bytes = self._sock.recv(size)
            self._body_bytes += len(data)
            if self._body_bytes > UNCOUNTED_BYTES:
                self._bodies.add(self, len(data))
        except OSError:
            if not self.is_dropped:
                raise
        finally:
            self.is_receiving = False
        if self.is_dropped:
            raise BodyDropped
        credit_s = self._credit_s - (self._clock() - began_s)
        self._credit_s = min(PATIENCE_S, credit_s + len(data) / MIN_BYTES_PER_S)
        if self._credit_s <= 0:
            raise TimeoutError
        return data

    def sendall(self, data: bytes) -> None:
        """Send data.

        Raises:
            ConnectionResetError: the connection is lost or closed, or the client reads
                too slowly. gunicorn does not log this error.
        """
        self._sock.settimeout(PATIENCE_S + len(data) / MIN_BYTES_PER_S)
        try:
            self._sock.sendall(data)
        except OSError as err:
            raise _lost() from err

    send = sendall

    def drop_body(self) -> None:
        """Make the connection refuse the rest of the body that it receives."""
        self.is_dropped = True
        self._end(socket.SHUT_RD)

    def disconnect(self) -> None:
        """Close the connection for both sides; who waits for it sees its end."""
        self._end(socket.SHUT_RDWR)

    def _end(self, how: int) -> None:
        try:
            self._sock.shutdown(how)
        except OSError:
            # The client has closed the connection.
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Connections:
    """The open connections of a process.

    Args:
        max_count: the maximum number of connections.
        max_per_address: the maximum from one address, or from one /64 network of IPv6;
            0 means no maximum.
        trusted: networks of proxies. Each of their connections may belong to another
            client, so they are never closed.
    """

    def __init__(
        self,
        *,
        max_count: int,
        max_per_address: int,
        trusted: Sequence[Network],
        bodies: Bodies,
    ) -> None:
        self._max_count = max_count
        self._max_per_address = max_per_address
        self._trusted = trusted
        self._bodies = bodies
        self._count = 0
        self._by_address: dict[str, OrderedDict[Connection, None]] = {}

    def open(self, sock: Any, address: str) -> Connection:
        """Count a new connection; close another one if there are too many."""
        self._count += 1
        if is_in(address, self._trusted):
            self._make_room()
            return Connection(sock, self._bodies)
        peers = self._by_address.setdefault(network_of(address), OrderedDict())
        if self._max_per_address and len(peers) >= self._max_per_address:
            self._close_first(peers)
        else:
            self._make_room()
        connection = Connection(sock, self._bodies, peers=peers)
        peers[connection] = None
        return connection

    def closed(self, connection: Connection, address: str) -> None:
        """Forget a connection."""
        self._count -= 1
        connection.end_request()
        network = network_of(address)
        peers = self._by_address.get(network)
        if peers is not None:
            peers.pop(connection, None)
            if not peers:
                del self._by_address[network]

    def _make_room(self) -> None:
        """If there are too many connections, close one from the most common address."""
        if self._count > self._max_count and self._by_address:
            self._close_first(max(self._by_address.values(), key=len))

    def _close_first(self, peers: OrderedDict[Connection, None]) -> None:
        if peers:
            connection, _ = peers.popitem(last=False)
            connection.disconnect()


def _lost() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "the connection is closed")
