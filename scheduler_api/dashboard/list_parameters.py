"""Reads and writes the addresses of lists. What is malformed has no effect."""

from collections.abc import Mapping
from flask import request, url_for
from scheduler_api.core.queries.filters import Span
from scheduler_api.core.queries.positions import Position
from scheduler_api.core.timestamps import from_iso
from urllib.parse import urlencode

AFTER = "after"
MAX_DIGITS = 15


def read_span(start: str, end: str) -> Span:
    """Return the span between two ISO 8601 times, which may be empty.

    A time without a zone is in UTC.
    """
    return Span(_time(start), _time(end))


def read_number(text: str) -> int | None:
    """Return a number of at most `MAX_DIGITS` digits; None if the text is none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    return int(text) if is_number else None


def read_position(text: str) -> Position | None:
    """Read the result of `format_position`."""
    time, dash, event_id = text.partition("-")
    at_ms = read_number(time)
    return Position(at_ms, event_id) if dash and at_ms is not None else None


def format_position(position: Position) -> str:
    """Return a position as text."""
    return f"{position.at_ms}-{position.id}"


def position() -> Position | None:
    """Return the position that the address of the page names."""
    return read_position(request.args.get(AFTER, ""))


def following(endpoint: str, last: Position | None) -> str:
    """Return the address of the page after a position; '' at the end of the list."""
    return "" if last is None else page_at(endpoint, {AFTER: format_position(last)})


def page_at(endpoint: str, place: Mapping[str, str]) -> str:
    """Return the address of a list at another place, with the same filters."""
    # `url_for` would take some names in the query for options of its own.
    query = urlencode({**request.args.to_dict(), **place})
    return f"{url_for(endpoint)}?{query}"


def _time(text: str) -> int | None:
    try:
        return from_iso(text) if text else None
    except ValueError:
        return None
