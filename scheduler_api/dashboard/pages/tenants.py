"""The page of tenants, for operators: create, usage, remove."""

from dataclasses import dataclass
from flask import Response, abort, request, url_for
from scheduler_api.core.errors import NotFound
from scheduler_api.core.queries.positions import read_number
from scheduler_api.core.tenants import usage
from scheduler_api.core.tenants.accounts import Account, NewTenant
from scheduler_api.credentials import client_variables, env_lines
from scheduler_api.dashboard.list_parameters import AFTER
from scheduler_api.dashboard.pages.tokens import MAX_NAME
from scheduler_api.dashboard.parameters import NAME
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.services import Services
from scheduler_api.web.access import by

TENANT = "tenant"
PAGE_SIZE = 50
NO_NAME = f"Give the tenant a name of 1 to {MAX_NAME} printable characters"
OTHER_NAME = "This is not the name of the tenant, so nothing was removed"


@dataclass(frozen=True)
class Usage:
    """A tenant with what it has; `events` counts those that have not ended."""

    account: Account
    events: int
    schedules: int


class TenantPages:
    """Shows, creates and removes tenants."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tenants = services.tenants

    def show(self, viewer: Viewer) -> Response:
        """List tenants, oldest first."""
        _require_operator(viewer)
        return self._page()

    def create(self, viewer: Viewer) -> Response:
        """Create a tenant, and show its token once."""
        _require_operator(viewer)
        name = request.form.get(NAME, "").strip()
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            return self._page(400, problem=NO_NAME)
        return self._page(201, created=self._tenants.create(name, by=by()))

    def confirm(self, viewer: Viewer) -> Response:
        """Say what is erased with a tenant, and ask for its name."""
        _require_operator(viewer)
        return self._confirmation(request.args.get(TENANT, ""))

    def remove(self, viewer: Viewer) -> Response:
        """Begin to remove a tenant; a chore erases what it has."""
        _require_operator(viewer)
        tenant_id = request.form.get(TENANT, "")
        if request.form.get(NAME, "").strip() != self._account(tenant_id).name.strip():
            return self._confirmation(tenant_id, 400, problem=OTHER_NAME)
        self._tenants.begin_removal(tenant_id, by=by())
        return to_page(url_for("dashboard.tenants"))

    def _account(self, tenant_id: str) -> Account:
        try:
            return self._tenants.account(tenant_id)
        except NotFound:
            abort(404)

    def _confirmation(
        self, tenant_id: str, status: int = 200, *, problem: str = ""
    ) -> Response:
        [found] = self._usage([self._account(tenant_id)])
        return page("tenant_remove.html", status, each=found, problem=problem)

    def _page(
        self, status: int = 200, *, created: NewTenant | None = None, problem: str = ""
    ) -> Response:
        after = read_number(request.args.get(AFTER, "")) or 0
        accounts = self._tenants.accounts_after(after, count=PAGE_SIZE)
        is_full = len(accounts) == PAGE_SIZE
        return page(
            "tenants.html",
            status,
            tenants=self._usage(accounts),
            following=url_for("dashboard.tenants", after=accounts[-1].id)
            if is_full
            else "",
            created=created,
            variables="" if created is None else self._variables(created),
            problem=problem,
        )

    def _usage(self, accounts: list[Account]) -> list[Usage]:
        owners = {each.id: self._services.limits.owners(each.id) for each in accounts}
        counts = usage.pending_by_owner(
            self._services.cell, [owner for found in owners.values() for owner in found]
        )
        return [
            Usage(
                each,
                sum(counts[owner][0] for owner in owners[each.id]),
                sum(counts[owner][1] for owner in owners[each.id]),
            )
            for each in accounts
        ]

    def _variables(self, new: NewTenant) -> str:
        base_url = request.host_url.rstrip("/")
        return env_lines(client_variables(new.id, new.token, new.secrets, base_url))


def _require_operator(viewer: Viewer) -> None:
    if not viewer.is_operator:
        abort(404)
