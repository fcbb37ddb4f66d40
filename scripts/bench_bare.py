"""The bare client: one process that only sends POST requests at their due times.

The bare client has no store, no signatures and no log, so it shows the cost of the
requests alone. It reads a JSON list of `[due ms, URL]` from standard input.
"""

import aiohttp
import asyncio
import json
import sys
import time
import uvloop
from collections.abc import Iterator

BODY = b'{"user":12345,"payload":"hello"}'
HEADERS = {"Content-Type": "application/json"}
CONCURRENCY = 50


async def post_all(posts: list[tuple[int, str]]) -> None:
    """Send each request when it is due, at most 50 in parallel."""
    pending = iter(sorted(posts))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        if posts and time.time() * 1_000 >= min(posts)[0]:
            sys.exit("the first due time had passed before the bare client was ready")
        await asyncio.gather(*(_post(session, pending) for _ in range(CONCURRENCY)))


async def _post(
    session: aiohttp.ClientSession, pending: Iterator[tuple[int, str]]
) -> None:
    for due_ms, url in pending:
        # A timer may fire a fraction of a millisecond early.
        while (wait_s := due_ms / 1_000 - time.time()) > 0:
            await asyncio.sleep(wait_s)
        async with session.post(url, data=BODY, headers=HEADERS) as response:
            await response.read()


if __name__ == "__main__":
    uvloop.run(post_all([(due_ms, url) for due_ms, url in json.load(sys.stdin)]))
