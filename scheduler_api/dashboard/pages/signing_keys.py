"""The page of signing keys: their age, rotation, and what a rotation breaks."""

from dataclasses import dataclass
from flask import Response, abort, request
from scheduler_api.core.tenants.secrets import RotationRefused
from scheduler_api.credentials import env_lines, secret_variables
from scheduler_api.dashboard.parameters import DIALECT
from scheduler_api.dashboard.rendering import page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.dialects import outbound
from scheduler_api.dialects.dialect import Dialect, RotationOrder
from scheduler_api.services import Services
from scheduler_api.web.access import by

ROTATED_MEANWHILE = (
    "These keys were rotated after this page was shown, so nothing was changed now"
)


@dataclass(frozen=True)
class SigningKeys:
    """The signing keys of a dialect.

    Attributes:
        names: of the variables that receivers read.
        at_ms: when they were made or rotated.
        old_until_ms: when those end that were replaced and still sign.
    """

    dialect: Dialect
    names: list[str]
    at_ms: int
    old_until_ms: list[int]


class SigningKeyPages:
    """Shows and rotates the signing keys of the tenant that a viewer sees."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tenants = services.tenants

    def show(self, viewer: Viewer) -> Response:
        """List the keys, without their values."""
        if viewer.tenant is None:
            return page("choose_tenant.html", tenants=self._tenants.accounts())
        return self._page(viewer.tenant)

    def reveal(self, viewer: Viewer) -> Response:
        """Show the values of the keys of a dialect."""
        tenant, dialect = self._named(viewer)
        return self._page(tenant, revealed=dialect)

    def rotate(self, viewer: Viewer) -> Response:
        """Rotate the keys of a dialect, and show the new ones."""
        tenant, dialect = self._named(viewer)
        if request.form.get("at") != str(self._last_ms(tenant, dialect)):
            # The form was sent twice, or by two people.
            return self._page(tenant, 409, problem=ROTATED_MEANWHILE)
        now_ms = self._services.cell.now_ms()
        order = RotationOrder(
            tenant=tenant,
            now_ms=now_ms,
            switch_ms=now_ms if "at_once" in request.form else None,
            by=by(),
        )
        assert dialect.rotate is not None
        try:
            effect = dialect.rotate(self._services.settings, self._tenants, order)
        except RotationRefused as err:
            return self._page(tenant, 409, problem=str(err))
        return self._page(tenant, revealed=dialect, effect=effect)

    def _named(self, viewer: Viewer) -> tuple[str, Dialect]:
        for dialect in _rotating():
            if viewer.tenant and dialect.name == request.form.get(DIALECT):
                return viewer.tenant, dialect
        abort(404)

    def _last_ms(self, tenant: str, dialect: Dialect) -> int:
        """Return when keys were rotated last, or made."""
        times = self._tenants.rotation_times(tenant, [dialect.name])
        return times[dialect.name] or self._tenants.account(tenant).created_at_ms

    def _page(
        self,
        tenant: str,
        status: int = 200,
        *,
        revealed: Dialect | None = None,
        effect: str = "",
        problem: str = "",
    ) -> Response:
        secrets, now_ms = self._tenants.secrets(tenant), self._services.cell.now_ms()
        created_ms = self._tenants.account(tenant).created_at_ms
        dialects = _rotating()
        times = self._tenants.rotation_times(tenant, [each.name for each in dialects])
        return page(
            "signing_keys.html",
            status,
            keys=[
                SigningKeys(
                    each,
                    sorted(secret_variables(each, secrets)),
                    times[each.name] or created_ms,
                    [
                        until_ms
                        for name in each.secrets
                        for until_ms, _ in secrets.replaced.get(name, ())
                        if until_ms > now_ms
                    ],
                )
                for each in dialects
            ],
            revealed=revealed,
            values=env_lines(secret_variables(revealed, secrets)) if revealed else "",
            effect=effect,
            problem=problem,
            now_ms=now_ms,
        )


def _rotating() -> list[Dialect]:
    return [each for each in outbound.DIALECTS if each.rotate]
