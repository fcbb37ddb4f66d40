"""Converts between internal ids and the UUIDs that clients use. Pure."""

from scheduler_api.core.errors import NotFound
from scheduler_api.core.ids import to_id, to_number
from uuid import UUID

# The bits of version 4 and of the RFC's variant, which validators check.
UUID_BITS = 0x4000_8000_0000_0000_0000
MAX_NUMBER = (1 << 62) - 1


def public_id(internal: str) -> str:
    """The UUID of an event, or of a callback, which has its second appended after `_`.

    A dot would be ambiguous: Standard Webhooks joins the signed parts with dots.
    """
    number, dot, rest = internal.partition(".")
    uuid = str(UUID(int=UUID_BITS | to_number(number)))
    return f"{uuid}_{rest}" if dot else uuid


def internal_id(public: str) -> str:
    """The id of the schedule with a UUID.

    Raises: NotFound.
    """
    try:
        number = UUID(public).int
    except ValueError as err:
        raise NotFound from err
    if number & ~MAX_NUMBER != UUID_BITS or str(UUID(int=number)) != public.lower():
        raise NotFound
    return to_id(number & MAX_NUMBER)
