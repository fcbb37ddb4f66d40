"""The objects that the routes of all dialects share."""

import redis
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from scheduler_api.auth import Auth
from scheduler_api.core.cron.expression import Grammar
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.holding import Holding
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.queries.events import Queries
from scheduler_api.core.queries.journal import Journal
from scheduler_api.core.queries.schedule_search import ScheduleSearch
from scheduler_api.core.recovery.dead_letters import DeadLetters
from scheduler_api.core.recovery.letter_actions import LetterActions
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import connect
from scheduler_api.core.store.content_encryption import content_cipher
from scheduler_api.core.store.epoch import EpochWatch
from scheduler_api.core.store.epoch_memory import StoreMemory
from scheduler_api.core.store.events import EventStore, TracedEventStore
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.limits import Limits
from scheduler_api.core.tenants.quotas import Quotas
from scheduler_api.core.tenants.url_groups import Groups
from scheduler_api.core.traces import Spans
from scheduler_api.dialects import outbound
from scheduler_api.failed_logins import FailedLogins
from scheduler_api.settings import Settings

CONNECTIONS = 128
TIMEOUT_S = 2.0
# The Redis client waits 0.05, 0.1, 0.2 and 0.4 s before retries. The store can restart
# in this time. During an outage, a request still fails within a second. A call that has
# timed out is not retried, because it has already taken two seconds.
RETRY = Retry(
    ExponentialBackoff(base=0.025, cap=0.4),
    retries=4,
    supported_errors=(redis.ConnectionError,),
)


@dataclass(frozen=True)
class Services:
    """The shared objects, created once per process."""

    settings: Settings
    cell: Cell
    watch: EpochWatch
    store: EventStore
    schedules: Schedules
    schedule_search: ScheduleSearch
    groups: Groups
    dead_letters: DeadLetters
    letter_actions: LetterActions
    queries: Queries
    journal: Journal
    queues: Queues
    flow_keys: FlowKeys
    holding: Holding
    quotas: Quotas
    limits: Limits
    tenants: Tenants
    auth: Auth
    failed_logins: FailedLogins
    # The cron grammar of each dialect, by the label of the dialect.
    grammars: Mapping[str, Grammar]


def build(
    settings: Settings, *, remembers: bool = False, spans: Spans | None = None
) -> Services:
    """Create the objects; the Redis client connects on first use.

    Args:
        remembers: whether to use what earlier processes knew of the store.
        spans: records the creation of events.
    """
    client = connect(
        settings.store_url,
        timeout_s=TIMEOUT_S,
        retry=RETRY,
        max_connections=CONNECTIONS,
    )
    cell = Cell(client, settings.prefix, cipher=content_cipher(settings))
    caps, limits = settings.caps, outbound.owner_limits(settings)
    tenant_limits = outbound.tenant_limits(cell, settings)
    tenants = outbound.tenants(cell, settings)
    new_store = partial(TracedEventStore, spans) if spans else EventStore
    store = new_store(
        cell,
        caps=caps,
        owner_limits=limits,
        tenant_options=tenant_limits.options,
        batches=True,
    )
    dead_letters, journal = DeadLetters(store), Journal(cell)
    return Services(
        settings=settings,
        cell=cell,
        watch=EpochWatch(
            cell, StoreMemory(cell, settings.state_dir) if remembers else None
        ),
        store=store,
        schedules=Schedules(
            cell,
            grace_ms=settings.missed_grace_ms,
            caps=caps,
            owner_limits=limits,
            tenant_options=tenant_limits.options,
        ),
        schedule_search=ScheduleSearch(cell),
        groups=Groups(cell, owner_limits=limits),
        dead_letters=dead_letters,
        letter_actions=LetterActions(
            dead_letters, journal, outbound.redrafts(settings)
        ),
        queries=Queries(cell),
        journal=journal,
        queues=Queues(cell, owner_limits=limits),
        flow_keys=FlowKeys(cell, owner_limits=limits),
        holding=Holding(cell),
        quotas=Quotas(cell),
        limits=tenant_limits,
        tenants=tenants,
        auth=Auth(tenants.tokens),
        failed_logins=FailedLogins(processes=settings.web_workers),
        grammars=outbound.GRAMMARS,
    )
