"""Reads and writes the addresses of lists. What is malformed has no effect."""

from collections.abc import Mapping
from flask import request, url_for
from scheduler_api.core.queries.filters import Span
from scheduler_api.core.queries.positions import (
    Position,
    format_position,
    read_position,
)
from scheduler_api.core.timestamps import from_iso
from urllib.parse import urlencode

AFTER = "after"


def read_span(start: str, end: str) -> Span:
    """Return the span between two ISO 8601 times, which may be empty.

    A time without a zone is in UTC.
    """
    return Span(_time(start), _time(end))


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
