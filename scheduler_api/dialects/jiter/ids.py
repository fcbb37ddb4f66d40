"""Converts between stored ids and the decimal numbers that clients use. Pure."""

import re
from scheduler_api.core.ids import to_id, to_number

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def public_id(stored: str) -> str:
    """Return the id that clients use for an event, a cron job or one of its runs."""
    number, dot, second = stored.partition(".")
    return f"{to_number(number)}{dot}{second}"


def read_id(public: str) -> str | None:
    """Return the stored id of an event or a cron job, None for any other text."""
    return to_id(int(public)) if _NUMBER.fullmatch(public) else None


def stored_id(public: str) -> str | None:
    """Return the stored id for any id that clients use, None for any other text."""
    number, dot, second = public.partition(".")
    first = read_id(number)
    return None if first is None else f"{first}{dot}{second}"
