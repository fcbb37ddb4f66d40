"""Resolves host names to addresses that the policy allows."""

import asyncio
import encodings.idna  # noqa: F401  # at first use, no file may be left to open
import errno
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from scheduler_api.core.delivery.destinations import AddressPolicy
from workers.http_client.errors import OWN_ERRNOS, Blocked, NoAddress

ADDRESSES_MAX = 8
# If a name server does not reply, the thread that resolves the name is blocked until
# the system's resolver gives up. With this many threads, a few such names do not block
# the resolution of other names.
RESOLVER_THREADS = 128

Lookup = Callable[[str], Sequence[str]]


class Resolver:
    """Resolve names in threads; refuse a name if any of its addresses is refused."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup
        self._threads = asyncio.Semaphore(RESOLVER_THREADS)

    async def addresses(self, host: str) -> Sequence[str]:
        """Return the addresses of a host name, or a literal address unchanged.

        Raises:
            Blocked: the policy refuses an address of the name. If the client then tried
                the other addresses, the owner of the name could find out which internal
                ports are open.
            NoAddress: the name has no address.
            OSError: this machine has no resources to resolve the name.
        """
        if _is_address(host):
            return [host]
        try:
            addresses = await self._resolve(host)
        except (OSError, UnicodeError) as err:
            if isinstance(err, OSError) and err.errno in OWN_ERRNOS:
                raise
            raise NoAddress(_explain(host, err)) from err
        if not addresses:
            raise NoAddress(f"the host name {host} has no address")
        for address in addresses:
            # The port is checked when the socket is opened.
            reason = self._policy.refusal(address, 0)
            if reason is not None:
                raise Blocked(f"{host} is {address}: {reason}")
        return addresses[:ADDRESSES_MAX]

    async def _resolve(self, host: str) -> Sequence[str]:
        """Resolve in a daemon thread, which does not delay the end of the process."""
        loop = asyncio.get_running_loop()
        addresses: asyncio.Future[Sequence[str]] = loop.create_future()
        await self._threads.acquire()

        def finish(set_outcome: Callable[[], None]) -> None:
            self._threads.release()
            if not addresses.done():
                set_outcome()

        def work() -> None:
            try:
                found = self._lookup(host)
            except Exception as err:
                set_outcome = partial(addresses.set_exception, err)
            else:
                set_outcome = partial(addresses.set_result, found)
            # The loop raises RuntimeError if it has been closed in the meantime.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(finish, set_outcome)

        try:
            threading.Thread(target=work, name="resolver", daemon=True).start()
        except RuntimeError as err:
            self._threads.release()
            raise OSError(errno.ENOMEM, str(err)) from err
        return await addresses


def resolve(host: str) -> Sequence[str]:
    """Return all addresses of a host name, in the order of the system's resolver.

    Raises:
        OSError: the name does not exist.
        UnicodeError: the name cannot be encoded in a query.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _explain(host: str, err: OSError | UnicodeError) -> str:
    match err:
        case socket.gaierror(errno=socket.EAI_AGAIN):
            return f"the name server failed, or did not answer, for {host}"
        case socket.gaierror(errno=socket.EAI_NODATA):
            return f"the host name {host} has no address"
        case socket.gaierror(errno=socket.EAI_NONAME) | UnicodeError():
            return f"the host name {host} does not exist"
    return f"the host name {host} was not looked up: {err.strerror}"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
