"""The pages of queues: the list, and one queue with its settings."""

from collections.abc import Sequence
from flask import Response, abort, request, url_for
from scheduler_api.core import public_ids
from scheduler_api.core.errors import NotFound
from scheduler_api.core.flow_control import waiting
from scheduler_api.core.flow_control.gates import MAX_LIMIT
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.name_pages import read_names
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import queue_gate
from scheduler_api.dashboard.examples import QUEUE, example
from scheduler_api.dashboard.parameters import (
    CONTAINS,
    NAME,
    following,
    integer,
    last_named,
    named_owner,
)
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.return_address import return_to_form
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.services import Services
from scheduler_api.web.access import change

WRONG_PARALLELISM = f"The parallelism is a number from 1 to {MAX_LIMIT:,}"


class QueuePages:
    """Shows and changes the queues of the tenant that a viewer sees."""

    def __init__(self, services: Services, dialects: Sequence[str]) -> None:
        self._services = services
        self._queues = services.queues
        self._dialects = dialects

    def list(self, viewer: Viewer) -> Response:
        """List queues, oldest first."""
        if viewer.tenant is None:
            return page("choose_tenant.html", tenants=self._services.tenants.accounts())
        owners = viewer.owners(self._dialects)
        contains = request.args.get(CONTAINS, "").strip()
        found = read_names(
            self._services.cell,
            keys.queues,
            owners,
            contains=contains,
            after=last_named(owners),
        )
        return page(
            "queues.html",
            rows=self._queues.rows([(each.owner, each.name) for each in found.found]),
            contains=contains,
            example=example(QUEUE, self._services.settings),
            following=following("dashboard.queues", found.next),
            now_ms=self._services.cell.now_ms(),
        )

    def show(self, viewer: Viewer) -> Response:
        """Show a queue: its settings, and what waits in it."""
        return self._page(*self._named(viewer))

    def pause(self, viewer: Viewer) -> Response:
        """Pause a queue; attempts in progress continue."""
        return self._set_paused(*self._named(viewer), paused=True)

    def resume(self, viewer: Viewer) -> Response:
        """Resume a queue; its events proceed, oldest first."""
        return self._set_paused(*self._named(viewer), paused=False)

    def set_parallelism(self, viewer: Viewer) -> Response:
        """Change how many events of a queue may be sent at the same time."""
        owner, name = self._named(viewer)
        limit = integer(request.form.get("parallelism", ""), highest=MAX_LIMIT)
        if limit is None:
            return self._page(owner, name, 400, problem=WRONG_PARALLELISM)
        changed = change(owner, "queue.put", name)
        try:
            self._queues.set_parallelism(owner, name, limit, change=changed)
        except NotFound:
            abort(404)
        return to_page(_address(owner, name))

    def _set_paused(self, owner: Owner, name: str, *, paused: bool) -> Response:
        changed = change(owner, f"queue.{'pause' if paused else 'resume'}", name)
        try:
            self._queues.set_paused(owner, name, paused=paused, change=changed)
        except NotFound:
            abort(404)
        return return_to_form(_address(owner, name))

    def _named(self, viewer: Viewer) -> tuple[Owner, str]:
        """Return the queue that the request names, which may not exist."""
        return named_owner(viewer, self._dialects), request.values.get(NAME, "")

    def _page(
        self, owner: Owner, name: str, status: int = 200, *, problem: str = ""
    ) -> Response:
        try:
            queue = self._queues.get(owner, name)
        except NotFound:
            abort(404)
        cell, gate = self._services.cell, queue_gate(owner, name)
        [events] = waiting.of_queues(cell, {gate: queue.parallelism})
        oldest = events.oldest_id
        return page(
            "queue.html",
            status,
            owner=owner,
            queue=queue,
            waiting=events,
            oldest=oldest and public_ids.event_id(owner, oldest),
            held_by=self._services.holding.of_event(owner, oldest, besides=gate),
            problem=problem,
            now_ms=cell.now_ms(),
        )


def _address(owner: Owner, name: str) -> str:
    return url_for("dashboard.queue", dialect=owner.dialect, name=name)
