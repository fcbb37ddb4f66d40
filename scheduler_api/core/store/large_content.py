"""Content that is too large for an argument is written before the function is called.

It stands under a key of its own, which expires unless the function keeps it.
"""

from typing import Protocol, TypeVar

INLINE_BYTES = 4096
EXPIRES_S = 600

Answer_co = TypeVar("Answer_co", covariant=True)


class Writer(Protocol[Answer_co]):
    """A client of either kind, or a pipeline, which writes when it is executed."""

    def set(self, key: str, value: bytes, /, *, ex: int) -> Answer_co:
        """Write a string that expires after `ex` seconds."""
        ...


def is_large(stored: bytes) -> bool:
    """Whether encoded content has to be written before the call."""
    return len(stored) > INLINE_BYTES


def write_if_large(
    client: Writer[Answer_co], key: str, stored: bytes
) -> tuple[bytes, Answer_co | None]:
    """Write encoded content under `key` if it is large.

    `key` must end in a nonce, so that nobody else's content can ever stand there.

    Returns: the argument, which is the content itself or b"" for "it
        stands under its key"; and what the client answered, an awaitable if it is
        asynchronous, None if nothing was written.
    """
    if not is_large(stored):
        return stored, None
    return b"", client.set(key, stored, ex=EXPIRES_S)
