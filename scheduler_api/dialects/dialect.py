"""The interface that a dialect implements for the engine and the workers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from scheduler_api.core.cron.expression import Grammar
from scheduler_api.core.delivery.request import Answer, Decision, Outgoing
from scheduler_api.core.model import Begun, Draft, Event
from scheduler_api.core.public_ids import AS_STORED, PublicIds
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.settings.limits import (
    NO_OWNER_LIMITS,
    NO_OWNER_QUOTAS,
    OwnerLimits,
    OwnerQuotas,
)
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.core.tenants.url_groups import Group
from scheduler_api.dialects.verification import Verification
from typing import Any, Protocol

LONGEST_HOLD_MS = 300_000

Redraft = Callable[[Event], Draft]


@dataclass(frozen=True, kw_only=True)
class RotationOrder:
    """An operator's order to replace a tenant's secrets of one dialect.

    Attributes:
        now_ms: the time of the order, in epoch ms.
        switch_ms: when deliveries are no longer signed with the old secret, in epoch
            ms; None: as the dialect does it usually.
        by: who gives the order, for the audit log.
    """

    tenant: str
    now_ms: int
    switch_ms: int | None
    by: str


@dataclass(frozen=True)
class RotationEffect:
    """What a rotation of secrets means for receivers, in sentences for people.

    Attributes:
        usual: if `RotationOrder.switch_ms` is None.
        at_once: if it is now; '' if that is the same.
    """

    usual: str
    at_once: str = ""


@dataclass(frozen=True)
class Development:
    """What clients use for a server on the same machine if their environment says so.

    The clients contain it, so everybody knows it.

    Attributes:
        dialect: the name of the dialect.
        token: the token, without the id of a tenant.
        secrets: the secrets with which receivers verify, by their names.
        environment: what makes clients use it, with the field `{port}`.
    """

    dialect: str
    token: str
    secrets: Mapping[str, str]
    environment: str


class Outbound(Protocol):
    """The outbound half of a dialect: renders requests and interprets their results.

    Pure: the methods use no clock, no store and no network. Each method raises
    UnreadableRecord if `begun` lacks the content of the event.
    """

    def render(self, begun: Begun, *, secrets: Secrets, now_ms: int) -> Outgoing:
        """Return the request of this attempt, signed at `now_ms` (epoch ms).

        If the content of the event names a group instead of a URL, there is no request:
        only `Outgoing.group` is set.
        """
        ...

    def expand(self, begun: Begun, group: Group) -> Sequence[Draft]:
        """Return the events that replace a group's event: one for each endpoint."""
        ...

    def conclude(self, begun: Begun, answer: Answer) -> Decision:
        """Decide what the result of an attempt means for its event."""
        ...


def same_again(letter: Event) -> Draft:
    """Return a draft with the content and the time limit of a dead letter, due now."""
    return Draft(letter.content, letter.deadline_ms)


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """A dialect in the registry.

    Attributes:
        name: the dialect's name in keys and records, and the name of its folder.
        label: the dialect's name in the request parameter `dialect`.
        title: the dialect's name for people.
        settings: the dataclass that declares the dialect's environment variables.
        grammar: the cron expressions that the dialect accepts.
        secrets: maps the name of each secret of a tenant to a function that creates a
            new secret. A name begins with the name of the dialect and a dot.
        client_variables: takes a tenant's id, token and secrets and the base URL of
            the web process; returns the environment variables that the tenant's
            clients read.
        outbound: takes the settings; returns the outbound half of the dialect.
        owner_limits: takes the settings; returns the maximum numbers of queues,
            flow-control keys and url groups that one owner may have.
        owner_quotas: takes the settings; returns the maximum numbers of requests and
            events that one owner may make in a period.
        rotate: takes the settings, the tenants and an order, and replaces the secrets
            of a tenant; returns a sentence that says which secrets sign until when.
            Raises NotFound, RotationRefused. None: secrets are never replaced.
        rotation_effect: what such a rotation means for receivers.
        public_ids: how clients write the ids of events and schedules.
        longest_hold_ms: takes the settings; returns how long after its due time an
            event may wait for an origin that cannot be reached.
        verification: how receivers verify deliveries; None: they cannot.
        redraft: takes the settings; returns a function that takes a dead letter, and
            returns the event that replaces it when a person retries it. Usually it has
            the same content and the same time limit. The function raises
            UnreadableRecord.
        labels: takes the options of an event's content; returns the labels that a
            client gave it.
        development: what the dialect's clients use for a development server; None:
            what `client_variables` has.
        examples: commands that create an `event`, a `queue` or a `flow_key`, with the
            fields `{base_url}` and `{destination}`.
    """

    name: str
    label: str
    title: str
    settings: type
    grammar: Grammar
    secrets: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    client_variables: Callable[[str, str, Secrets, str], Mapping[str, str]]
    outbound: Callable[[EngineSettings], Outbound]
    owner_limits: Callable[[EngineSettings], OwnerLimits] = lambda _: NO_OWNER_LIMITS
    owner_quotas: Callable[[EngineSettings], OwnerQuotas] = lambda _: NO_OWNER_QUOTAS
    rotate: Callable[[EngineSettings, Tenants, RotationOrder], str] | None = None
    rotation_effect: RotationEffect = RotationEffect("")
    public_ids: PublicIds = AS_STORED
    longest_hold_ms: Callable[[EngineSettings], int] = lambda _: LONGEST_HOLD_MS
    verification: Verification | None = None
    redraft: Callable[[EngineSettings], Redraft] = lambda _: same_again
    labels: Callable[[Mapping[str, Any]], Sequence[str]] = lambda _: ()
    development: Development | None = None
    examples: Mapping[str, str] = field(default_factory=dict)
