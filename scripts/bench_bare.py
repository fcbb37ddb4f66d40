"""The bare client: one process that posts from the due times on, and nothing else.

No store, no signature, no log: what is left is the cost of a post. Reads a JSON list of
[due ms, URL] from its standard input.
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
AT_ONCE = 50


async def post_all(posts: list[tuple[int, str]]) -> None:
    """Post each as soon as it is due, at most fifty at once."""
    pending = iter(sorted(posts))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        if posts and time.time() * 1_000 >= min(posts)[0]:
            sys.exit("the first due time had passed before the bare client was ready")
        await asyncio.gather(*(_post(session, pending) for _ in range(AT_ONCE)))


async def _post(
    session: aiohttp.ClientSession, pending: Iterator[tuple[int, str]]
) -> None:
    for due_ms, url in pending:
        # A timer may be a fraction of a millisecond short.
        while (wait_s := due_ms / 1_000 - time.time()) > 0:
            await asyncio.sleep(wait_s)
        async with session.post(url, data=BODY, headers=HEADERS) as response:
            await response.read()


if __name__ == "__main__":
    uvloop.run(post_all([(due_ms, url) for due_ms, url in json.load(sys.stdin)]))
