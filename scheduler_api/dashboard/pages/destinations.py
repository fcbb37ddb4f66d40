"""The page of destinations: what holds their events back, pause and resume."""

from contextlib import suppress
from flask import Response, abort, request, url_for
from scheduler_api.core.delivery.destinations import BadDestination, Destination, parse
from scheduler_api.core.errors import NotFound
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.store.audit import Change
from scheduler_api.dashboard.parameters import AFTER
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.services import Services
from scheduler_api.web.access import by

URL, TENANT = "url", "tenant"


class DestinationPages:
    """Shows, pauses and resumes the destinations of the tenants that a viewer sees."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._destinations = HeldDestinations(services.cell)

    def list(self, viewer: Viewer) -> Response:
        """List the origins and routes that hold events back."""
        return self._page(viewer)

    def pause(self, viewer: Viewer) -> Response:
        """Pause an origin; attempts in progress continue."""
        tenant = self._tenant(viewer)
        try:
            destination = parse(request.form.get(URL, "").strip())
        except BadDestination as err:
            return self._page(viewer, 400, problem=str(err))
        self._set_paused(tenant, destination, paused=True)
        return to_page(url_for("dashboard.destinations"))

    def resume(self, viewer: Viewer) -> Response:
        """Resume an origin; its events proceed, oldest first."""
        tenant = self._tenant(viewer)
        # Somebody else may have resumed it.
        with suppress(BadDestination, NotFound):
            destination = parse(request.form.get(URL, ""))
            self._set_paused(tenant, destination, paused=False)
        return to_page(url_for("dashboard.destinations"))

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
        after = request.args.get(AFTER, "")
        found = self._destinations.page(viewer.tenant, after=after)
        following = url_for("dashboard.destinations", after=found.next)
        return page(
            "destinations.html",
            status,
            rows=found.rows,
            following=following if found.next else "",
            problem=problem,
            now_ms=self._services.cell.now_ms(),
        )
