"""Writes large content to the store before the call of a Lua function.

Small content is an argument of the Lua function. Large content is written to a key
with a TTL. When the function stores the event or schedule, it removes this TTL.
"""

import redis
from typing import Protocol, TypeVar

INLINE_BYTES = 4096
EXPIRES_S = 600

Reply_co = TypeVar("Reply_co", covariant=True)


class Writer(Protocol[Reply_co]):
    """A synchronous or asynchronous client, or a pipeline."""

    def set(self, key: str, value: bytes, /, *, ex: int) -> Reply_co:
        """Write a string that expires after `ex` seconds."""
        ...


def is_large(stored: bytes) -> bool:
    """Return whether encoded content is too large for an argument of a function."""
    return len(stored) > INLINE_BYTES


def write_if_large(
    client: Writer[Reply_co], key: str, stored: bytes
) -> tuple[bytes, Reply_co | None]:
    """Write encoded content to `key` if it is large.

    `key` must end in a nonce, so that no other content has the same key.

    Returns: two values. The first is the argument for the Lua function: the content, or
        b"" if the content is large. The second is the result of `client.set`, or None
        if the content is small. An asynchronous client returns an awaitable result.
    """
    if not is_large(stored):
        return stored, None
    return b"", client.set(key, stored, ex=EXPIRES_S)


def discard(client: redis.Redis, key: str, inline: bytes) -> None:
    """Delete content that `write_if_large` wrote, because it was refused.

    Otherwise, refused content would fill the store until it expires.
    """
    if not inline:
        client.unlink(key)
