"""Tests that requests leave nothing to the garbage collector.

A worker collects garbage rarely, so what only a collection frees would fill its memory.
"""

import asyncio
import gc
import pytest
from collections.abc import Iterator
from contextlib import contextmanager
from tests.workers.http_client import hostile
from tests.workers.http_client.hostile import Behaviour, receiving
from tests.workers.http_client.sending import new_client, post, run
from typing import Any
from workers.http_client.connection import HttpConnection
from workers.http_client.failures import Failure

HANGING_MS = 50


@contextmanager
def garbage() -> Iterator[list[Any]]:
    """Fill a list with what only a collection frees, of what the block creates."""
    found: list[Any] = []
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def kinds(found: list[Any]) -> set[str]:
    kept = (HttpConnection, BaseException)
    return {type(each).__name__ for each in found if isinstance(each, kept)}


@pytest.mark.parametrize(
    ("behave", "timeout_ms"),
    [
        (hostile.answering(), 5_000),
        (hostile.answering(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), 5_000),
        (hostile.answering(b"no HTTP\r\n\r\n"), 5_000),
        (hostile.never_respond, HANGING_MS),
    ],
)
def test_a_connection_that_has_ended_is_freed_at_once(
    behave: Behaviour, timeout_ms: int
) -> None:
    async def main() -> None:
        with garbage() as found:
            async with receiving(behave) as receiver, new_client() as client:
                await client.send(post(receiver.url(), timeout_ms=timeout_ms))
        assert kinds(found) == set()

    run(main())


def test_a_failed_connection_is_freed_at_once() -> None:
    async def main() -> None:
        async with receiving(hostile.answering()) as receiver:
            url = receiver.url()
        async with new_client() as client:
            with garbage() as found:
                sending = asyncio.create_task(client.send(post(url)))
                assert (await sending).error == Failure.REFUSED
                del sending
        assert kinds(found) == set()

    run(main())
