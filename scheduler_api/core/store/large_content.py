"""Large content is written before the call of the Lua function that uses it.

It is stored under its own key, which expires unless the function keeps it.
"""

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
    """Whether encoded content must be written before the call."""
    return len(stored) > INLINE_BYTES


def write_if_large(
    client: Writer[Reply_co], key: str, stored: bytes
) -> tuple[bytes, Reply_co | None]:
    """Write encoded content to `key` if it is large.

    `key` must end in a nonce, so that it cannot belong to other content.

    Returns: the argument for the function, which is the content, or b"" if it was
        written; and the client's reply (an awaitable from an asynchronous client), or
        None if nothing was written.
    """
    if not is_large(stored):
        return stored, None
    return b"", client.set(key, stored, ex=EXPIRES_S)
