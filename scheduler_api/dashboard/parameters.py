"""Reads the parameters of pages: the names of queues and keys, places in lists."""

from collections.abc import Sequence
from flask import abort, request
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.name_pages import Named
from scheduler_api.core.queries.positions import Position, read_number
from scheduler_api.dashboard.list_parameters import AFTER, page_at
from scheduler_api.dashboard.viewer import Viewer

# The names in queries and forms.
DIALECT, NAME, CONTAINS = "dialect", "name", "contains"


def named_owner(viewer: Viewer, dialects: Sequence[str]) -> Owner:
    """Return the owner that the request names: the tenant on view, and a dialect."""
    dialect = request.values.get(DIALECT, "")
    if viewer.tenant is None or dialect not in dialects:
        abort(404)
    return Owner(viewer.tenant, dialect)


def integer(text: str, *, highest: int) -> int | None:
    """Return a number from 1 to `highest`; None if the text is none."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(highest))):
        return None
    return int(text) if 1 <= int(text) <= highest else None


def last_named(owners: Sequence[Owner]) -> Named | None:
    """Return the last name of the page before; None at the first page."""
    dialect, _, rest = request.args.get(AFTER, "").partition(":")
    time, colon, name = rest.partition(":")
    at_ms = read_number(time)
    for owner in owners:
        if owner.dialect == dialect and colon and at_ms is not None:
            return Named(owner, Position(at_ms, name))
    return None


def following(endpoint: str, last: Named | None) -> str:
    """Return the address of the page after a name; '' at the end of the list."""
    if last is None:
        return ""
    after = f"{last.owner.dialect}:{last.position.at_ms}:{last.position.id}"
    return page_at(endpoint, {AFTER: after})
