"""The first page: what there is, what fails, and which processes run."""

from collections.abc import Sequence
from flask import Response, url_for
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.queries import counts, lateness
from scheduler_api.core.store import keys
from scheduler_api.core.store.processes import Process, read_processes
from scheduler_api.dashboard import sentences
from scheduler_api.dashboard.rendering import page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.services import Services
from typing import cast


class Overview:
    """Shows the state of a tenant, and of the cell."""

    def __init__(self, services: Services, dialects: Sequence[str]) -> None:
        self._cell = services.cell
        self._destinations = HeldDestinations(services.cell)
        self._dialects = dialects

    def show(self, viewer: Viewer) -> Response:
        """Show counts, destinations that are held, and, to operators, processes."""
        now_ms = self._cell.now_ms()
        owners = viewer.owners(self._dialects)
        held = self._destinations.all()
        late = lateness.read(self._cell, viewer.tenant, now_ms=now_ms)
        due = url_for("dashboard.events", status="due")
        return page(
            "overview.html",
            counts=counts.count(self._cell, owners, now_ms=now_ms) if owners else {},
            destinations=[
                each for each in held if viewer.tenant in (None, each.tenant)
            ],
            sentences=[sentences.late(late, now_ms=now_ms, path=due)],
            processes=self._processes(now_ms) if viewer.is_operator else [],
            now_ms=now_ms,
        )

    def _processes(self, now_ms: int) -> list[Process]:
        stored = self._cell.client.hgetall(keys.processes(self._cell.prefix))
        return read_processes(cast(dict[bytes, bytes], stored), now_ms=now_ms)
