"""Tests of the bounds on what clients hold in a web process."""

import pytest
from collections.abc import Iterator
from ipaddress import ip_network
from scheduler_api.web.connections import (
    MIN_BYTES_PER_S,
    PATIENCE_S,
    UNCOUNTED_BYTES,
    Bodies,
    BodyDropped,
    Connection,
    Connections,
)

MIB = 1_048_576


class Socket:
    """A socket whose client sends `data`, each after a wait in seconds."""

    def __init__(self, *data: tuple[float, bytes]) -> None:
        self.clock_s = 0.0
        self.timeout_s: float | None = None
        self.is_closed = False
        self._data: Iterator[tuple[float, bytes]] = iter(data)

    def settimeout(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s

    def recv(self, _size: int) -> bytes:
        wait_s, data = next(self._data)
        self._wait(wait_s)
        return b"" if self.is_closed else data

    def sendall(self, data: bytes) -> None:
        # The client reads nothing.
        self._wait(1e9)

    def shutdown(self, _how: int) -> None:
        self.is_closed = True

    def _wait(self, wait_s: float) -> None:
        if self.timeout_s is not None and wait_s > self.timeout_s:
            self.clock_s += self.timeout_s
            raise TimeoutError
        self.clock_s += wait_s


def _receive(sock: Socket, *, bodies: Bodies | None = None) -> Connection:
    connection = Connection(
        sock, bodies or Bodies(max_bytes=MIB), clock=lambda: sock.clock_s
    )
    connection.begin_request()
    return connection


def test_a_body_that_never_comes_ends_after_the_patience() -> None:
    sock = Socket((1e9, b""))

    with pytest.raises(TimeoutError):
        _receive(sock).recv(1)

    assert sock.clock_s == PATIENCE_S


def test_a_body_that_drips_ends_after_the_patience() -> None:
    sock = Socket(*[(1.0, b"x")] * 100)
    connection = _receive(sock)

    with pytest.raises(TimeoutError):
        while True:
            connection.recv(1)

    assert sock.clock_s == pytest.approx(PATIENCE_S, abs=1.0)


def test_a_quick_start_of_a_body_buys_no_time_to_drip() -> None:
    sock = Socket((0.0, b"x" * MIB), *[(1.0, b"x")] * 100)
    connection = _receive(sock)

    with pytest.raises(TimeoutError):
        while True:
            connection.recv(MIB)

    assert sock.clock_s == pytest.approx(PATIENCE_S, abs=1.0)


def test_a_body_at_the_slowest_rate_is_received() -> None:
    sock = Socket(*[(1.0, b"x" * MIN_BYTES_PER_S)] * 600)
    connection = _receive(sock)

    assert sum(len(connection.recv(MIB)) for _ in range(600)) == 600 * MIN_BYTES_PER_S


def test_a_client_that_reads_nothing_is_disconnected() -> None:
    sock = Socket()

    with pytest.raises(ConnectionResetError):
        _receive(sock).sendall(b"x" * MIB)

    assert sock.clock_s == PATIENCE_S + MIB / MIN_BYTES_PER_S


def test_no_time_limit_of_a_body_applies_to_the_next_request() -> None:
    sock = Socket((9.0, b"body"), (60.0, b"GET"))
    connection = _receive(sock)

    connection.recv(4)
    connection.end_request()

    assert connection.recv(3) == b"GET"


def _holding(count: int, *, bodies: Bodies) -> list[Connection]:
    """Return connections whose bodies have each begun with a MiB."""
    connections = [
        _receive(Socket(*[(0.0, b"x" * MIB)] * 9), bodies=bodies) for _ in range(count)
    ]
    for connection in connections:
        connection.recv(MIB)
        # It waits for the rest of its body.
        connection.is_receiving = True
    return connections


def test_the_oldest_unfinished_bodies_make_room_for_new_ones() -> None:
    oldest, second, third = _holding(3, bodies=Bodies(max_bytes=2 * MIB))

    with pytest.raises(BodyDropped):
        oldest.recv(MIB)

    assert not second.is_dropped and not third.is_dropped


def test_a_complete_body_is_never_dropped() -> None:
    bodies = Bodies(max_bytes=2 * MIB)
    first, second = _holding(2, bodies=bodies)
    first.is_receiving = second.is_receiving = False

    with pytest.raises(BodyDropped):
        _holding(1, bodies=bodies)
    first.end_request()

    assert len(_holding(1, bodies=bodies)) == 1


def test_small_bodies_have_room_beside_large_ones() -> None:
    bodies = Bodies(max_bytes=2 * MIB)
    for connection in _holding(2, bodies=bodies):
        connection.is_receiving = False
    small = _receive(Socket((0.0, b"x" * UNCOUNTED_BYTES)), bodies=bodies)

    assert len(small.recv(MIB)) == UNCOUNTED_BYTES


def test_a_single_body_may_exceed_the_maximum() -> None:
    [connection] = _holding(1, bodies=Bodies(max_bytes=MIB // 2))

    assert len(connection.recv(MIB)) == MIB


def _connections(*, max_count: int = 100, max_per_address: int = 3) -> Connections:
    return Connections(
        max_count=max_count,
        max_per_address=max_per_address,
        trusted=[ip_network("10.0.0.0/8")],
        bodies=Bodies(max_bytes=MIB),
    )


def _open(connections: Connections, *addresses: str) -> list[Socket]:
    sockets = []
    for address in addresses:
        sockets.append(Socket())
        connections.open(sockets[-1], address)
    return sockets


def test_the_longest_idle_connection_of_an_address_makes_room() -> None:
    connections = _connections()
    first = connections.open(Socket(), "192.0.2.1")
    second, _, other = _open(connections, "192.0.2.1", "192.0.2.1", "192.0.2.2")
    first.begin_request()

    _open(connections, "192.0.2.1")

    assert second.is_closed
    assert not first.is_closed and not other.is_closed


def test_a_network_of_ipv6_counts_as_one_address() -> None:
    sockets = _open(_connections(), *(f"2001:db8::{number}" for number in range(1, 6)))

    assert [sock.is_closed for sock in sockets] == [True, True, False, False, False]


def test_connections_of_trusted_proxies_are_not_limited() -> None:
    connections = _connections(max_count=4)

    assert not any(sock.is_closed for sock in _open(connections, *["10.1.1.1"] * 20))


def test_if_all_connections_are_taken_the_most_common_address_loses_one() -> None:
    connections = _connections(max_count=4)

    first, second, third, fourth, _ = _open(
        connections, "192.0.2.1", "192.0.2.2", "192.0.2.2", "10.1.1.1", "192.0.2.3"
    )

    assert second.is_closed
    assert not first.is_closed and not third.is_closed and not fourth.is_closed


def test_a_closed_connection_makes_room() -> None:
    connections = _connections(max_per_address=1)
    first = Socket()
    connections.closed(connections.open(first, "192.0.2.1"), "192.0.2.1")

    _open(connections, "192.0.2.1")

    assert not first.is_closed


def test_without_a_limit_an_address_may_have_all_connections() -> None:
    connections = _connections(max_count=5, max_per_address=0)

    assert not any(sock.is_closed for sock in _open(connections, *["192.0.2.1"] * 5))
