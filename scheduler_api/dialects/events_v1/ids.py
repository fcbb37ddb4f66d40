"""Converts between internal ids and the UUIDs that clients use. Pure."""

from scheduler_api.core.errors import NotFound
from scheduler_api.core.ids import to_id, to_number
from uuid import UUID

# The version (4) and the variant of every UUID. Validators of UUIDs check these bits.
UUID_BITS = 0x4000_8000_0000_0000_0000
MAX_NUMBER = (1 << 62) - 1


def public_id(internal: str) -> str:
    """Return the public id of an event (a UUID) or of a callback.

    The public id of a callback is the UUID of its event, `_`, and its fire time in
    seconds. The internal id has a dot in place of `_`. The public id must not contain a
    dot, because Standard Webhooks joins signed parts with dots.
    """
    number, dot, rest = internal.partition(".")
    uuid = str(UUID(int=UUID_BITS | to_number(number)))
    return f"{uuid}_{rest}" if dot else uuid


def internal_id(public: str) -> str:
    """Return the internal id of the event with this UUID.

    Raises: NotFound.
    """
    try:
        number = UUID(public).int
    except ValueError as err:
        raise NotFound from err
    if number & ~MAX_NUMBER != UUID_BITS or str(UUID(int=number)) != public.lower():
        raise NotFound
    return to_id(number & MAX_NUMBER)


def stored_id(public: str) -> str | None:
    """Return the stored id of an event or a callback, None for any other text."""
    uuid, line, rest = public.partition("_")
    try:
        return f"{internal_id(uuid)}.{rest}" if line else internal_id(uuid)
    except NotFound:
        return None
