"""The registry of dialects for the engine and the workers.

The HTTP APIs are registered in `dialects.inbound`, a separate module, because workers
must not import Flask.
"""

from collections.abc import Callable
from scheduler_api.core import public_ids
from scheduler_api.core.cron.expression import Grammar
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.journal import Journal
from scheduler_api.core.queries.letters import Letters
from scheduler_api.core.recovery.dead_letters import DeadLetters
from scheduler_api.core.recovery.letter_actions import LetterActions
from scheduler_api.core.recovery.letter_work import LetterWork
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.settings.limits import NO_OWNER_QUOTAS, OwnerLimits, OwnerQuotas
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.limits import Limits
from scheduler_api.dialects.dialect import Dialect, Outbound, Redraft
from scheduler_api.dialects.events_v1.dialect import EVENTS_V1
from scheduler_api.dialects.jiter.dialect import JITER
from scheduler_api.dialects.qstash.dialect import QSTASH

DIALECTS: tuple[Dialect, ...] = (
    JITER,
    QSTASH,
    EVENTS_V1,
)

# The dialect whose events need no options.
PLAIN: Dialect = JITER

for _dialect in DIALECTS:
    public_ids.register(_dialect.name, _dialect.public_ids)

GRAMMARS: dict[str, Grammar] = {dialect.label: dialect.grammar for dialect in DIALECTS}
# Returns the labels in the options of content, by the name of the dialect.
LABELS = {dialect.name: dialect.labels for dialect in DIALECTS}
# Maps the name of each secret of a tenant to a function that creates a new secret.
SECRETS: dict[str, Callable[[], str]] = {
    name: make for dialect in DIALECTS for name, make in dialect.secrets.items()
}


def owners_of(tenant_id: str) -> list[Owner]:
    """Return the owners of a tenant, one for each dialect."""
    return [Owner(tenant_id, dialect.name) for dialect in DIALECTS]


def tenants(cell: Cell, settings: EngineSettings) -> Tenants:
    """Return the tenants of a cell; new tenants get the secrets of all dialects."""
    return Tenants(
        cell,
        secret_key=settings.secret_key,
        older_keys=settings.older_secret_keys,
        makers=SECRETS,
    )


def tenant_limits(cell: Cell, settings: EngineSettings) -> Limits:
    """Return the limits of the tenants of a cell."""
    return Limits(cell, settings.tenant_limits, [each.name for each in DIALECTS])


def outbound_halves(settings: EngineSettings) -> dict[str, Outbound]:
    """Return the outbound halves of all dialects, by the name of the dialect."""
    return {dialect.name: dialect.outbound(settings) for dialect in DIALECTS}


def redrafts(settings: EngineSettings) -> dict[str, Redraft]:
    """Return how each dialect retries a dead letter, by the name of the dialect."""
    return {dialect.name: dialect.redraft(settings) for dialect in DIALECTS}


def letter_work(cell: Cell, settings: EngineSettings) -> LetterWork:
    """Return what works on the stored jobs that retry or delete dead letters."""
    store = EventStore(
        cell,
        caps=settings.caps,
        owner_limits=owner_limits(settings),
        tenant_options=tenant_limits(cell, settings).options,
    )
    actions = LetterActions(DeadLetters(store), Journal(cell), redrafts(settings))
    names = [dialect.name for dialect in DIALECTS]
    return LetterWork(cell, Letters(cell, LABELS), actions, names)


def owner_limits(settings: EngineSettings) -> dict[str, OwnerLimits]:
    """Return the owner limits of all dialects, by the name of the dialect."""
    return {dialect.name: dialect.owner_limits(settings) for dialect in DIALECTS}


def owner_quotas(settings: EngineSettings) -> dict[str, OwnerQuotas]:
    """Return the quotas of the dialects that have any, by the name of the dialect."""
    found = {dialect.name: dialect.owner_quotas(settings) for dialect in DIALECTS}
    return {name: each for name, each in found.items() if each != NO_OWNER_QUOTAS}


def longest_holds_ms(settings: EngineSettings) -> dict[str, int]:
    """Return how long the events of each dialect may be held, in ms, by its name."""
    return {dialect.name: dialect.longest_hold_ms(settings) for dialect in DIALECTS}
