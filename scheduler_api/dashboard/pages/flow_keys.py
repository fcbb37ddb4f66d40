"""The pages of flow-control keys: the list, and one key with its limits."""

from collections.abc import Sequence
from flask import Response, abort, request, url_for
from scheduler_api.core import public_ids
from scheduler_api.core.errors import NotFound
from scheduler_api.core.flow_control import waiting
from scheduler_api.core.flow_control.flow_keys import Flow
from scheduler_api.core.flow_control.gates import MAX_LIMIT, MAX_PERIOD_MS
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.name_pages import read_names
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import flow_gate
from scheduler_api.dashboard.examples import FLOW_KEY, example
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

# The limits in the form, and their highest values.
LIMITS = {
    "parallelism": MAX_LIMIT,
    "rate": MAX_LIMIT,
    "period": MAX_PERIOD_MS // 1_000,
}
WRONG_LIMIT = "A limit is empty, or a number from 1 to {:,}: see “{}”"


class FlowKeyPages:
    """Shows and changes the flow-control keys of the tenant that a viewer sees."""

    def __init__(self, services: Services, dialects: Sequence[str]) -> None:
        self._services = services
        self._flow_keys = services.flow_keys
        self._dialects = dialects

    def list(self, viewer: Viewer) -> Response:
        """List keys, those whose limits changed last at the end."""
        if viewer.tenant is None:
            return page("choose_tenant.html", tenants=self._services.tenants.accounts())
        owners = viewer.owners(self._dialects)
        contains = request.args.get(CONTAINS, "").strip()
        found = read_names(
            self._services.cell,
            keys.flow_keys,
            owners,
            contains=contains,
            after=last_named(owners),
        )
        names = [(each.owner, each.name) for each in found.found]
        return page(
            "flow_keys.html",
            rows=self._flow_keys.rows(names),
            contains=contains,
            example=example(FLOW_KEY, self._services.settings),
            following=following("dashboard.flow_keys", found.next),
            now_ms=self._services.cell.now_ms(),
        )

    def show(self, viewer: Viewer) -> Response:
        """Show a key: its limits, and what waits for them."""
        return self._page(*self._named(viewer))

    def pause(self, viewer: Viewer) -> Response:
        """Pause a key; attempts in progress continue."""
        return self._set_paused(*self._named(viewer), paused=True)

    def resume(self, viewer: Viewer) -> Response:
        """Resume a key; its events proceed, oldest first."""
        return self._set_paused(*self._named(viewer), paused=False)

    def set_limits(self, viewer: Viewer) -> Response:
        """Set limits that events cannot change; let events set those that are empty."""
        owner, key = self._named(viewer)
        flow = self._get(owner, key)
        limits: dict[str, int | None] = {}
        for name, highest in LIMITS.items():
            text = request.form.get(name, "").strip()
            limits[name] = integer(text, highest=highest)
            if text and limits[name] is None:
                problem = WRONG_LIMIT.format(highest, name)
                return self._page(owner, key, 400, problem=problem)
        self._pin(owner, flow, **limits)
        return to_page(_address(owner, key))

    def reset_rate(self, viewer: Viewer) -> Response:
        """Reset the count of the current period, so that waiting events can begin."""
        owner, key = self._named(viewer)
        self._get(owner, key)
        changed = change(owner, "flow.reset", key)
        self._flow_keys.reset_rate(owner, key, change=changed)
        return to_page(_address(owner, key))

    def _pin(
        self,
        owner: Owner,
        flow: Flow,
        *,
        parallelism: int | None,
        rate: int | None,
        period: int | None,
    ) -> None:
        unpinned = {
            "parallelism": parallelism is None and flow.pinned_parallelism,
            "rate": rate is None and flow.pinned_rate,
        }
        if any(unpinned.values()):
            changed = change(owner, "flow.unpin", flow.key)
            self._flow_keys.unpin(owner, flow.key, **unpinned, change=changed)
        if parallelism is None and rate is None:
            return
        self._flow_keys.pin(
            owner,
            flow.key,
            parallelism=parallelism,
            rate=rate,
            period_ms=None if period is None else period * 1_000,
            change=change(owner, "flow.pin", flow.key),
        )

    def _set_paused(self, owner: Owner, key: str, *, paused: bool) -> Response:
        self._get(owner, key)
        changed = change(owner, f"flow.{'pause' if paused else 'resume'}", key)
        try:
            self._flow_keys.set_paused(owner, key, paused=paused, change=changed)
        except NotFound:
            abort(404)
        return return_to_form(_address(owner, key))

    def _named(self, viewer: Viewer) -> tuple[Owner, str]:
        """Return the key that the request names, which may not exist."""
        return named_owner(viewer, self._dialects), request.values.get(NAME, "")

    def _get(self, owner: Owner, key: str) -> Flow:
        try:
            return self._flow_keys.get(owner, key)
        except NotFound:
            abort(404)

    def _page(
        self, owner: Owner, key: str, status: int = 200, *, problem: str = ""
    ) -> Response:
        flow = self._get(owner, key)
        cell, gate = self._services.cell, flow_gate(owner, key)
        [events] = waiting.of_gates(cell, [gate])
        oldest = events.oldest_id
        return page(
            "flow_key.html",
            status,
            owner=owner,
            flow=flow,
            waiting=events,
            oldest=oldest and public_ids.event_id(owner, oldest),
            held_by=self._services.holding.of_event(owner, oldest, besides=gate),
            problem=problem,
            now_ms=cell.now_ms(),
        )


def _address(owner: Owner, key: str) -> str:
    return url_for("dashboard.flow_key", dialect=owner.dialect, name=key)
