"""The guarded way to a receiver: every socket a delivery opens is vetted here.

Names are vetted when they are resolved, all answers together, and every socket is
vetted again before it connects. What is connected to is the vetted address itself;
Host and TLS name stay those of the URL.
"""

import asyncio
import socket
import ssl
from aiohappyeyeballs import AddrInfoType, start_connection
from collections import defaultdict
from scheduler_api.core.delivery.destinations import AddressPolicy, Origin
from time import perf_counter
from workers.http_client.connection import HttpConnection, HttpExchange
from workers.http_client.errors import Blocked, LeaseLost
from workers.http_client.resolver import Resolver

# From the first socket to the end of the TLS handshake.
CONNECT_TIMEOUT_S = 30.0
# How long one address may be silent before the next is tried beside it.
NEXT_ADDRESS_S = 0.25


class HttpConnectionPool:
    """Connects to vetted addresses, and keeps idle connections for the same origin."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        resolver: Resolver,
        tls: ssl.SSLContext,
        limit: int,
        keepalive_s: float,
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._free = asyncio.Semaphore(limit)
        self._connections_max = 2 * limit
        self._connections: set[HttpConnection] = set()
        self._idle: defaultdict[Origin, list[HttpConnection]] = defaultdict(list)
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def open_connections(self) -> int:
        """Return how many connections are open, idle ones included."""
        return len(self._connections)

    async def connect(self, origin: Origin, exchange: HttpExchange) -> HttpConnection:
        """Return a connection that the request may be written to now.

        It must be given back by `release`.

        Raises:
            Blocked, NoAddress, OSError, ssl.SSLError, TimeoutError: there is none.
            LeaseLost: the event has been taken away while connecting.
        """
        await self._free.acquire()
        try:
            connection = self._take_idle(origin) or await self._open(origin, exchange)
        except BaseException:
            self._free.release()
            raise
        exchange.refusal = None
        exchange.connected_s = perf_counter()
        if not exchange.may_write():
            self.release(connection, origin)
            raise LeaseLost
        exchange.dispatched = True
        return connection

    def release(self, connection: HttpConnection, origin: Origin) -> None:
        """Takes a connection back, for the next request to the same origin."""
        self._free.release()
        if not connection.let_go():
            return
        if len(self._connections) > self._connections_max:
            connection.drop()
            return
        connection.idle_since_s = perf_counter()
        self._idle[origin].append(connection)
        if self._sweep is None:
            self._sweep_later()

    async def close(self) -> None:
        """Drop every connection: a receiver that does not read must not hold us."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in tuple(self._connections):
            connection.drop()
        # The loop tells each of them that it is over, in its next rounds.
        while self._connections:
            await asyncio.sleep(0)

    def _take_idle(self, origin: Origin) -> HttpConnection | None:
        idle = self._idle.get(origin)
        oldest_s = perf_counter() - self._keepalive_s
        while idle:
            connection = idle.pop()
            if connection.idle_since_s >= oldest_s and not connection.is_stale():
                return connection
            connection.drop()
        return None

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(self._keepalive_s, self._sweep_idle)

    def _sweep_idle(self) -> None:
        """Closes what has been idle for too long."""
        self._sweep = None
        oldest_s = perf_counter() - self._keepalive_s
        for origin, idle in list(self._idle.items()):
            kept = [each for each in idle if each.idle_since_s > oldest_s]
            for connection in idle[: len(idle) - len(kept)]:
                connection.drop()
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        if self._idle:
            self._sweep_later()

    async def _open(self, origin: Origin, exchange: HttpExchange) -> HttpConnection:
        if self._policy.https_only and origin.scheme != "https":
            raise Blocked(f"{origin.host} is not asked for by https")
        addresses = await self._resolver.addresses(origin.host)
        loop = asyncio.get_running_loop()

        def open_socket(info: AddrInfoType) -> socket.socket:
            """Open a socket to a vetted address; this sees literal ones as well."""
            address, port = str(info[4][0]), int(info[4][1])
            reason = self._policy.refusal(address, port)
            if reason is not None:
                # An OSError is what the race of addresses knows how to handle.
                exchange.refusal = f"{address} port {port}: {reason}"
                raise PermissionError(exchange.refusal)
            return socket.socket(*info[:3])

        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connected = await start_connection(
                [_info(address, origin.port) for address in addresses],
                happy_eyeballs_delay=NEXT_ADDRESS_S,
                interleave=1,
                socket_factory=open_socket,
            )
            secure = origin.scheme == "https"
            _, connection = await loop.create_connection(
                lambda: HttpConnection(self._connections.discard),
                sock=connected,
                ssl=self._tls if secure else None,
                server_hostname=origin.host if secure else None,
            )
        # Not earlier: where connecting was cancelled, no loss is ever told.
        if connection.is_open:
            self._connections.add(connection)
        return connection


def _info(address: str, port: int) -> AddrInfoType:
    if ":" in address:
        peer: tuple[str, int] | tuple[str, int, int, int] = (address, port, 0, 0)
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", peer
    peer = (address, port)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", peer
