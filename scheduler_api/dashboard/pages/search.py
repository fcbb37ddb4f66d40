"""The search by an id: it leads to the event or schedule that the id names."""

from collections.abc import Sequence
from flask import Response, request, url_for
from scheduler_api.core import public_ids
from scheduler_api.core.queries.ids import Found, find
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.services import Services
from typing import NamedTuple


class Match(NamedTuple):
    """What an id names, and the address of its page."""

    found: Found
    address: str


class Search:
    """Finds what a viewer may see by any id that a client may have."""

    def __init__(self, services: Services, dialects: Sequence[str]) -> None:
        self._cell = services.cell
        self._dialects = dialects

    def find(self, viewer: Viewer) -> Response:
        """Go to the only page of an id; list the pages if there are several."""
        text = request.args.get("id", "").strip()
        owners = viewer.owners(self._dialects)
        found = find(self._cell, text, tenant=viewer.tenant, owners=owners)
        matches = [Match(each, _address(each)) for each in found]
        if len(matches) == 1:
            return to_page(matches[0].address)
        status = 200 if matches else 404
        return page("search.html", status, text=text, matches=matches)


def _address(found: Found) -> str:
    if found.is_schedule:
        return url_for("dashboard.schedule", schedule_id=found.id)
    name = public_ids.event_id(found.owner, found.id)
    return url_for("dashboard.event", event_id=name)
