"""The guarded way to a receiver: every socket a delivery opens is vetted here.

aiohttp asks a resolver for names only and connects to literal addresses at once, so
the guard stands in two places: names are vetted when they are resolved, all answers
together, and every socket is vetted again before it connects. What is connected to is
the vetted address itself; Host and TLS name stay those of the URL.
"""

import asyncio
import socket
import ssl
import threading
from aiohttp import ClientRequest, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import AddrInfoType, Connection
from aiohttp.tracing import Trace
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from scheduler_api.core.destinations import AddressPolicy
from time import perf_counter
from typing import cast
from workers.wire import Blocked, ConnectionGone, LeaseLost, Wire, current

# Tried one after the other, each a quarter of a second after the one before.
ADDRESSES_MAX = 8
# Names that do not answer hold a thread for as long as the system's resolver waits,
# so they get threads of their own, enough that a few dead names do not block the rest.
RESOLVER_THREADS = 128

Lookup = Callable[[str], Sequence[str]]


class Resolver(AbstractResolver):
    """Looks a name up in threads, and answers only if every address may be used."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup
        self._free = asyncio.Semaphore(RESOLVER_THREADS)

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,
    ) -> list[ResolveResult]:
        """Return the vetted addresses of `host`.

        Raises:
            Blocked: one of its addresses is shut; using the others would let the
                owner of a name probe which of ours are open.
            OSError: the name has no address.
        """
        try:
            addresses = await self._look_up(host)
        except UnicodeError as err:
            raise OSError(None, f"{host} cannot be looked up") from err
        if not addresses:
            raise OSError(None, f"{host} has no address")
        for address in addresses:
            # Without the port: this answer is shared by all requests to the host.
            reason = self._policy.refusal(address, 0)
            if reason is not None:
                raise Blocked(f"{host} is {address}: {reason}")
        return [_answer(host, it, port) for it in addresses[:ADDRESSES_MAX]]

    async def _look_up(self, host: str) -> Sequence[str]:
        """In a daemon thread: a name server that is silent must not hold up an exit."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Sequence[str]] = loop.create_future()
        await self._free.acquire()

        def tell(outcome: Callable[[], None]) -> None:
            self._free.release()
            if not found.done():
                outcome()

        def work() -> None:
            try:
                addresses = self._lookup(host)
            except Exception as err:
                outcome = partial(found.set_exception, err)
            else:
                outcome = partial(found.set_result, addresses)
            # The loop may be gone by now, and with it whoever asked.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, outcome)

        threading.Thread(target=work, name="resolver", daemon=True).start()
        return await found

    async def close(self) -> None:
        """Nothing to do: a thread that waits for a name server ends by itself."""


class Connector(TCPConnector):
    """Connects to vetted addresses, and asks once more before a request is written."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        resolver: Resolver,
        tls: ssl.SSLContext,
        limit: int,
        limit_per_host: int,
        keepalive_s: float,
    ) -> None:
        super().__init__(
            resolver=resolver,
            ssl=tls,
            limit=limit,
            limit_per_host=limit_per_host,
            keepalive_timeout=keepalive_s,
            socket_factory=self._open_socket,
        )
        self._policy = policy
        self._wires: set[Wire] = set()
        self._wires_max = 2 * limit
        # The one private name of aiohttp that is used; `connect` notices if it goes.
        self._factory = cast(
            "partial[ResponseHandler]",
            partial(Wire, self._loop, open_wires=self._wires),
        )

    @property
    def open_connections(self) -> int:
        """Return how many connections are open, idle ones included."""
        return len(self._wires)

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> Connection:
        """Return a connection that the request may be written to now.

        Raises:
            LeaseLost: the event has been taken away while connecting.
            ConnectionGone: aiohttp wants to send the request a second time, which
                only the retry policy decides.
        """
        attempt = current.get()
        if attempt.dispatched:
            raise ConnectionGone
        while True:
            connection = await super().connect(req, traces, timeout)
            wire = connection.protocol
            assert isinstance(wire, Wire)
            if wire.attempt is None or not wire.is_stale():
                break
            connection.close()
        wire.attempt = attempt
        attempt.refusal = None
        attempt.connected_s = perf_counter()
        if not attempt.may_write():
            connection.release()
            raise LeaseLost
        attempt.wire = wire
        attempt.dispatched = True
        if len(self._wires) > self._wires_max or self._policy.is_open_path(
            req.port or 0, attempt.path
        ):
            # Too many idle ones; or the next request to this port may be for a path
            # that is shut, and must ask for a connection of its own.
            wire.force_close()
        return connection

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Drop every connection: a receiver that does not read must not hold us."""
        for wire in tuple(self._wires):
            wire.drop()
        await super().close(abort_ssl=abort_ssl)

    def _open_socket(self, info: AddrInfoType) -> socket.socket:
        """Open a socket to a vetted address; this sees literal addresses as well."""
        family, kind, protocol, _, peer = info
        attempt = current.get()
        address, port = str(peer[0]), int(peer[1])
        reason = self._policy.refusal(address, port, path=attempt.path)
        if reason is not None:
            # An OSError is what the race of addresses knows how to handle.
            attempt.refusal = f"{address} port {port}: {reason}"
            raise PermissionError(attempt.refusal)
        return socket.socket(family, kind, protocol)


def look_up(host: str) -> Sequence[str]:
    """Ask the system's resolver for all addresses of `host`, its order kept.

    Raises:
        OSError: there is no such name.
        UnicodeError: the name cannot be written in a query.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(peer[0]) for *_, peer in found))


def _answer(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
