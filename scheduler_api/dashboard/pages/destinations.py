"""The page of destinations: success rates, what holds events back, pause, resume."""

from contextlib import suppress
from flask import Response, abort, request, url_for
from scheduler_api.core.delivery.causes import sentence_of
from scheduler_api.core.delivery.destinations import BadDestination, Destination, parse
from scheduler_api.core.errors import NotFound
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.queries.origins import Origins
from scheduler_api.core.store.audit import Change
from scheduler_api.dashboard.list_parameters import AFTER, page_at
from scheduler_api.dashboard.parameters import CONTAINS
from scheduler_api.dashboard.rendering import page
from scheduler_api.dashboard.return_address import return_to_form
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.services import Services
from scheduler_api.web.access import by

URL, TENANT, GATES_AFTER = "url", "tenant", "gates_after"


class DestinationPages:
    """Shows, pauses and resumes the destinations of the tenants that a viewer sees."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._destinations = HeldDestinations(services.cell)
        self._origins = Origins(services.cell)

    def list(self, viewer: Viewer) -> Response:
        """List what holds events back, and how many attempts succeed where."""
        return self._page(viewer)

    def pause(self, viewer: Viewer) -> Response:
        """Pause an origin; attempts in progress continue."""
        tenant = self._tenant(viewer)
        try:
            destination = parse(request.form.get(URL, "").strip())
        except BadDestination as err:
            return self._page(viewer, 400, problem=str(err))
        self._set_paused(tenant, destination, paused=True)
        return return_to_form(url_for("dashboard.destinations"))

    def resume(self, viewer: Viewer) -> Response:
        """Resume an origin; its events proceed, oldest first."""
        tenant = self._tenant(viewer)
        # Somebody else may have resumed it.
        with suppress(BadDestination, NotFound):
            destination = parse(request.form.get(URL, ""))
            self._set_paused(tenant, destination, paused=False)
        return return_to_form(url_for("dashboard.destinations"))

    def _set_paused(
        self, tenant: str, destination: Destination, *, paused: bool
    ) -> None:
        action = f"destination.{'pause' if paused else 'resume'}"
        change = Change(tenant, by(), action, str(destination.origin))
        self._destinations.set_paused(tenant, destination, paused=paused, change=change)

    def _tenant(self, viewer: Viewer) -> str:
        """Return the tenant whose destination the request names."""
        named = request.form.get(TENANT, viewer.tenant)
        if named is None or viewer.tenant not in (None, named):
            abort(404)
        if viewer.is_operator and not self._services.tenants.exists(named):
            abort(404)
        return named

    def _page(
        self, viewer: Viewer, status: int = 200, *, problem: str = ""
    ) -> Response:
        cell, tenant = self._services.cell, viewer.tenant
        now_ms, contains = cell.now_ms(), request.args.get(CONTAINS, "").strip()
        held = self._destinations.page(tenant, after=request.args.get(GATES_AFTER, ""))
        found = self._origins.page(
            tenant,
            now_ms=now_ms,
            contains=contains,
            after=request.args.get(AFTER, ""),
        )
        return page(
            "destinations.html",
            status,
            held=held.rows,
            more_gates=_following(**{GATES_AFTER: held.next}),
            origins=[
                (name, counts, sentence_of(counts.cause))
                for name, counts in found.origins
            ],
            contains=contains,
            following=_following(**{AFTER: found.next}),
            problem=problem,
            now_ms=now_ms,
        )


def _following(**place: str) -> str:
    """Return the address of the next page of one of the lists; '' at its end."""
    if not any(place.values()):
        return ""
    return page_at("dashboard.destinations", place)
