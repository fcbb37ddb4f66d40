"""Reads what the addresses of lists contain. What is malformed has no effect."""

from scheduler_api.core.queries.filters import Span
from scheduler_api.core.queries.positions import Position
from scheduler_api.core.timestamps import from_iso


def read_span(start: str, end: str) -> Span:
    """Return the span between two ISO 8601 times, which may be empty.

    A time without a zone is in UTC.
    """
    return Span(_time(start), _time(end))


def read_position(text: str) -> Position | None:
    """Read the result of `format_position`."""
    at_ms, dash, event_id = text.partition("-")
    if dash and at_ms.isascii() and at_ms.isdigit():
        return Position(int(at_ms), event_id)
    return None


def format_position(position: Position) -> str:
    """Return a position as text."""
    return f"{position.at_ms}-{position.id}"


def _time(text: str) -> int | None:
    try:
        return from_iso(text) if text else None
    except ValueError:
        return None
