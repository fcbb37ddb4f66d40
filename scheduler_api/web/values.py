"""Parses integers and timestamps in requests."""

import re
from scheduler_api.core.timestamps import LATEST_MS, from_iso

# Longer numbers exceed every limit, and are slow to convert.
_INTEGER = re.compile(r"[0-9]{1,18}")


def read_integer(text: str) -> int | None:
    """Parse 1 to 18 ASCII digits; return None for any other text."""
    return int(text) if _INTEGER.fullmatch(text) else None


def read_timestamp(value: object) -> int:
    """Parse an ISO 8601 text; return epoch ms.

    Raises: ValueError.
    """
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError("not a text")
    return from_iso(value)


def read_date(value: object) -> int:
    """Parse an ISO 8601 text from 1970 to 9999; return epoch ms.

    Raises: ValueError.
    """
    at_ms = read_timestamp(value)
    if not 0 <= at_ms <= LATEST_MS:
        raise ValueError(f"out of range: {value!r}")
    return at_ms
