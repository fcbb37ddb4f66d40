"""From a host's name to addresses, all of which may be connected to."""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from scheduler_api.core.delivery.destinations import AddressPolicy
from workers.http_client.errors import Blocked, NoAddress

ADDRESSES_MAX = 8
# Names that do not answer hold a thread for as long as the system's resolver waits,
# so they get threads of their own, enough that a few dead names do not block the rest.
RESOLVER_THREADS = 128

Lookup = Callable[[str], Sequence[str]]


class Resolver:
    """Looks a name up in threads, and answers only if every address may be used."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup
        self._free = asyncio.Semaphore(RESOLVER_THREADS)

    async def addresses(self, host: str) -> Sequence[str]:
        """The vetted addresses of `host`; an address stands for itself.

        Raises:
            Blocked: one of its addresses is shut; using the others would let the
                owner of a name probe which of ours are open.
            NoAddress: the name has none.
        """
        if _is_address(host):
            return [host]
        try:
            addresses = await self._look_up(host)
        except (OSError, UnicodeError) as err:
            raise NoAddress from err
        if not addresses:
            raise NoAddress
        for address in addresses:
            # Without the port: that is asked when a socket is opened.
            reason = self._policy.refusal(address, 0)
            if reason is not None:
                raise Blocked(f"{host} is {address}: {reason}")
        return addresses[:ADDRESSES_MAX]

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


def look_up(host: str) -> Sequence[str]:
    """Ask the system's resolver for all addresses of `host`, its order kept.

    Raises:
        OSError: there is no such name.
        UnicodeError: the name cannot be written in a query.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(peer[0]) for *_, peer in found))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
