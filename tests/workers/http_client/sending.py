"""Create HTTP clients for tests, and send requests."""

import asyncio
import gc
import ssl
import uvloop
from collections.abc import Coroutine
from functools import cache
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.settings.variables import read_networks
from tests.workers.http_client.hostile import Behaviour, receiving
from typing import Any
from workers.http_client.client import (
    KEEPALIVE_S,
    HttpClient,
    Request,
    Result,
    tls_context,
)
from workers.http_client.resolver import Lookup, resolve

LOCAL = AddressPolicy(allow=read_networks("127.0.0.0/8"))
DEADLINE_MS = 300
GRACE_MS = 250
CLOCK_MS = 5  # tolerance: the event loop reads its clock only between callbacks
LONG_MS = 5_000
CAP_BYTES = 100_000
HEADERS = (("X-B", "1"), ("x-a", "2"), ("X-b", "3"))


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test; fail if the test leaves resources for the garbage collector."""
    errors = list[dict[str, Any]]()

    async def guarded() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        await main
        gc.collect()

    gc.freeze()  # exclude older objects from the collection
    try:
        uvloop.run(guarded())
    finally:
        gc.unfreeze()

    assert errors == []


def post(url: str, *, body: bytes = b"body", timeout_ms: int = LONG_MS) -> Request:
    return Request("POST", url, HEADERS, body, timeout_ms)


@cache
def system_tls() -> ssl.SSLContext:
    """Return the TLS context that all tests share: creating a context is slow."""
    return tls_context()


def new_client(
    *,
    policy: AddressPolicy = LOCAL,
    limit: int = 50,
    tls: ssl.SSLContext | None = None,
    lookup: Lookup = resolve,
    keepalive_s: float = KEEPALIVE_S,
) -> HttpClient:
    return HttpClient(
        policy,
        limit=limit,
        body_cap_bytes=CAP_BYTES,
        tls=tls or system_tls(),
        lookup=lookup,
        keepalive_s=keepalive_s,
    )


async def send_to(
    behave: Behaviour, *, body: bytes = b"body", timeout_ms: int = LONG_MS
) -> Result:
    async with receiving(behave) as receiver, new_client() as client:
        return await client.send(post(receiver.url(), body=body, timeout_ms=timeout_ms))


def answered(status: int, *, total_ms: int = 3) -> Result:
    """The result of a complete response with an empty body."""
    return Result(
        status=status,
        headers=(),
        body=b"",
        body_truncated=False,
        error=None,
        detail="",
        started_ms=0,
        connect_ms=1,
        first_byte_ms=2,
        total_ms=total_ms,
        dispatched=True,
    )
