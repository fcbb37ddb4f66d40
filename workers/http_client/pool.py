"""Connections to receivers, at addresses that the policy allows.

All addresses of a host name are checked when the name is resolved. Each address is
checked again, with its port, before a socket connects to this address. The socket does
not resolve the name again; the Host header and the TLS server name are those of the
URL.
"""

import asyncio
import socket
import ssl
from aiohappyeyeballs import AddrInfoType, start_connection
from collections import defaultdict
from itertools import islice
from scheduler_api.core.delivery.destinations import AddressPolicy, Origin
from scheduler_api.core.delivery.routes import route
from time import perf_counter
from workers.http_client.connection import HttpConnection
from workers.http_client.errors import Blocked, LeaseLost
from workers.http_client.exchange import HttpExchange, Phase
from workers.http_client.ramp import Crowded, Ramp
from workers.http_client.resolver import Resolver

# The time limit from the first socket to the end of the TLS handshake.
CONNECT_TIMEOUT_S = 30.0
# If connecting to an address takes longer than this, the next address is tried in
# parallel.
NEXT_ADDRESS_S = 0.25
# A connection that may be idle for less time than this is closed at once.
IDLE_MIN_S = 0.02
# With more origins than this, the oldest ones that are not in use are forgotten.
RAMPS_MAX = 1000


class HttpConnectionPool:
    """Connect to allowed addresses; keep idle connections for later requests."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        resolver: Resolver,
        tls: ssl.SSLContext,
        limit: int,
        connections_max: int,
        keepalive_s: float,
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._limit = limit
        self._slots = asyncio.Semaphore(limit)
        self._ramps: dict[Origin, Ramp] = {}
        self._connections_max = connections_max
        self._connections: set[HttpConnection] = set()
        # A ramp stands for its origin: its hash is faster.
        self._idle: defaultdict[Ramp, list[HttpConnection]] = defaultdict(list)
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def open_connections(self) -> int:
        """How many connections are open, including idle ones."""
        return len(self._connections)

    async def connect(
        self, origin: Origin, url: str, exchange: HttpExchange
    ) -> HttpConnection:
        """Return a connection to an origin; the caller has to `release` it.

        Raises:
            Blocked, NoAddress, OSError, ssl.SSLError, TimeoutError: cannot connect.
            LeaseLost: the lease ended while connecting.
        """
        await self._slots.acquire()
        try:
            connection = None
            while connection is None:
                try:
                    connection = await self._connect(origin, url, exchange)
                except Crowded:
                    continue
        except BaseException:
            self._slots.release()
            raise
        exchange.refusal = None
        exchange.connected_s = perf_counter()
        if not exchange.may_write():
            self.release(connection, exchange)
            raise LeaseLost
        exchange.dispatched = True
        exchange.phase = Phase.READ
        return connection

    def release(self, connection: HttpConnection, exchange: HttpExchange) -> None:
        """Keep a connection for the next request to its origin, if it is reusable."""
        self._slots.release()
        ramp = connection.ramp
        if exchange.was_reset:
            ramp.halve(exchange.connected_s)
        ramp.leave(answered=exchange.has_head)
        if not connection.finish():
            return
        idle_s = self._keepalive_s
        for limit_s in (connection.idle_limit_s, ramp.idle_limit_s):
            if limit_s is not None and limit_s < idle_s:
                idle_s = limit_s
        if idle_s < IDLE_MIN_S or len(self._connections) > self._connections_max:
            connection.abort()
            return
        connection.idle_since_s = ramp.used_s
        connection.idle_until_s = connection.idle_since_s + idle_s
        self._idle[ramp].append(connection)
        if self._sweep is None:
            self._sweep_later()

    async def close(self) -> None:
        """Abort every connection, without waiting for receivers."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in tuple(self._connections):
            connection.abort()
        # Wait until the event loop has called `connection_lost` of every connection.
        while self._connections:
            await asyncio.sleep(0)

    async def _connect(
        self, origin: Origin, url: str, exchange: HttpExchange
    ) -> HttpConnection:
        """Connect when it is this exchange's turn.

        Raises: Crowded, and what `connect` raises.
        """
        ramp = self._ramp(origin)
        if not ramp.enter():
            await self._wait(ramp, url, exchange)
        try:
            return self._take_idle(ramp) or await self._open(origin, exchange, ramp)
        except BaseException:
            ramp.leave(answered=False)
            raise

    async def _wait(self, ramp: Ramp, url: str, exchange: HttpExchange) -> None:
        """Wait for a turn."""
        exchange.phase = Phase.WAIT
        begun_s, accepted = perf_counter(), ramp.accepted
        try:
            await ramp.wait(route(url))
        except OSError:
            exchange.phase = Phase.CONNECT
            raise
        except asyncio.CancelledError:
            if not accepted and ramp.accepted_s < begun_s:
                # The receiver accepts no connection: it is not busy, but away.
                exchange.phase = Phase.CONNECT
            raise

    def _ramp(self, origin: Origin) -> Ramp:
        ramp = self._ramps.get(origin)
        if ramp is None or (not ramp.in_use and ramp.is_forgotten):
            if len(self._ramps) >= RAMPS_MAX:
                self._forget_oldest_ramps()
            ramp = self._ramps[origin] = Ramp(self._limit)
        return ramp

    def _forget_oldest_ramps(self) -> None:
        """Forget the two oldest ramps that are not in use."""
        for origin in tuple(islice(self._ramps, 2)):
            ramp = self._ramps.pop(origin)
            if ramp.in_use:
                self._ramps[origin] = ramp

    def _take_idle(self, ramp: Ramp) -> HttpConnection | None:
        idle = self._idle.get(ramp)
        now_s = perf_counter()
        while idle:
            connection = idle.pop()
            if connection.idle_until_s > now_s:
                if not connection.is_stale():
                    return connection
                connection.closed_idle()
            connection.abort()
        return None

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(self._keepalive_s, self._sweep_idle)

    def _sweep_idle(self) -> None:
        """Close connections that have been idle for too long."""
        self._sweep = None
        now_s = perf_counter()
        for ramp, idle in list(self._idle.items()):
            for connection in idle:
                if connection.idle_until_s <= now_s:
                    connection.abort()
            kept = [
                connection for connection in idle if connection.idle_until_s > now_s
            ]
            if kept:
                self._idle[ramp] = kept
            else:
                del self._idle[ramp]
        if self._idle:
            self._sweep_later()

    async def _open(
        self, origin: Origin, exchange: HttpExchange, ramp: Ramp
    ) -> HttpConnection:
        """Open a connection.

        Raises: Crowded, and what `connect` raises.
        """
        if self._policy.https_only and origin.scheme != "https":
            raise Blocked(f"{origin.host}: only https is allowed")
        exchange.phase = Phase.RESOLVE
        addresses = await self._resolver.addresses(origin.host)

        def open_socket(info: AddrInfoType) -> socket.socket:
            """Open a socket if the policy allows the address and port."""
            address, port = str(info[4][0]), int(info[4][1])
            reason = self._policy.refusal(address, port, receiver=origin.receiver)
            if reason is not None:
                # `start_connection` tries the next address after an OSError.
                exchange.refusal = f"{address} port {port}: {reason}"
                raise PermissionError(exchange.refusal)
            return socket.socket(*info[:3])

        exchange.phase = Phase.CONNECT
        end_s = asyncio.get_running_loop().time() + CONNECT_TIMEOUT_S
        with ramp.connecting():
            async with asyncio.timeout_at(end_s):
                connected = await start_connection(
                    [_info(address, origin.port) for address in addresses],
                    happy_eyeballs_delay=NEXT_ADDRESS_S,
                    interleave=1,
                    socket_factory=open_socket,
                )
        async with asyncio.timeout_at(end_s):
            return await self._secure(connected, origin, exchange, ramp)

    async def _secure(
        self,
        connected: socket.socket,
        origin: Origin,
        exchange: HttpExchange,
        ramp: Ramp,
    ) -> HttpConnection:
        """Return a connection over a socket, with TLS if the origin has it."""
        secure = origin.scheme == "https"
        exchange.phase = Phase.TLS if secure else Phase.CONNECT
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: HttpConnection(ramp, self._connections.discard),
            sock=connected,
            ssl=self._tls if secure else None,
            server_hostname=origin.host if secure else None,
        )
        # Add the connection only after connecting. If connecting is cancelled,
        # `connection_lost` is never called and could not remove the connection again.
        if connection.is_open:
            self._connections.add(connection)
        return connection


def _info(address: str, port: int) -> AddrInfoType:
    tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    if ":" in address:
        return socket.AF_INET6, *tcp, (address, port, 0, 0)
    return socket.AF_INET, *tcp, (address, port)
