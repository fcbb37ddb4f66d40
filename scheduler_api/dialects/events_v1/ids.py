"""Ids as clients of Scheduler v1 see them: UUIDs that stand for our numbers. Pure."""

from scheduler_api.core.errors import NotFound
from scheduler_api.core.ids import to_id, to_number
from uuid import UUID

# Version 4 and the RFC's variant: what reads UUIDs takes every number for one.
MARKS = 0x4000_8000_0000_0000_0000
LARGEST = (1 << 62) - 1


def public_id(internal: str) -> str:
    """The UUID of an event; that of a callback goes on with `_` and its second.

    No dot is in it: what is signed is put together with dots.
    """
    number, dot, rest = internal.partition(".")
    spelt = str(UUID(int=MARKS | to_number(number)))
    return f"{spelt}_{rest}" if dot else spelt


def internal_id(public: str) -> str:
    """The id of the schedule that a UUID stands for.

    Raises: NotFound.
    """
    try:
        number = UUID(public).int
    except ValueError as err:
        raise NotFound from err
    if number & ~LARGEST != MARKS or str(UUID(int=number)) != public.lower():
        raise NotFound
    return to_id(number & LARGEST)
