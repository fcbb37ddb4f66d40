"""The first page: is anything late, failing or held, and which processes run."""

from flask import Response
from scheduler_api.dashboard.rendering import page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.services import Services


class Overview:
    """Shows the state of a tenant, or of the cell."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def show(self, viewer: Viewer) -> Response:
        """Show what needs attention first."""
        return page("overview.html", tenants=self._tenants(viewer))

    def _tenants(self, viewer: Viewer) -> list[str]:
        return self._services.tenants.all_ids() if viewer.is_operator else []
