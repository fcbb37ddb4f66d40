"""The registry of dialects, HTTP aside; `dialects.inbound` is that of their routes."""

from collections.abc import Callable
from scheduler_api.core.cron.expression import Grammar
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.settings.limits import OwnerLimits
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.dialects.dialect import Dialect, Outbound
from scheduler_api.dialects.events_v1.dialect import EVENTS_V1
from scheduler_api.dialects.jiter.dialect import JITER
from scheduler_api.dialects.qstash.dialect import QSTASH

DIALECTS: tuple[Dialect, ...] = (
    JITER,
    QSTASH,
    EVENTS_V1,
)

GRAMMARS: dict[str, Grammar] = {each.label: each.grammar for each in DIALECTS}
# For each secret of a tenant, a function that makes a new one.
SECRETS: dict[str, Callable[[], str]] = {
    name: make for each in DIALECTS for name, make in each.secrets.items()
}


def tenants(cell: Cell, settings: EngineSettings) -> Tenants:
    """Return the tenants of a cell, with the secrets that the dialects need."""
    return Tenants(cell, secret_key=settings.secret_key, makers=SECRETS)


def outbound_halves(settings: EngineSettings) -> dict[str, Outbound]:
    """Return the outbound half of each dialect, by the name of the dialect."""
    return {each.name: each.outbound(settings) for each in DIALECTS}


def owner_limits(settings: EngineSettings) -> dict[str, OwnerLimits]:
    """Return the limits of owners, by the name of the dialect."""
    return {each.name: each.owner_limits(settings) for each in DIALECTS}
