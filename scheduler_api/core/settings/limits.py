"""Groups of limits that operators set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Caps:
    """Maximum numbers of concurrent deliveries; 0 means unlimited."""

    destination: int = 0
    host: int = 0
    tenant: int = 0
    everything: int = 0


NO_CAPS = Caps()


@dataclass(frozen=True)
class OwnerLimits:
    """Maximum numbers of queues, flow keys and URL groups of an owner; 0: unlimited."""

    queues: int = 0
    flow_keys: int = 0
    url_groups: int = 0


NO_OWNER_LIMITS = OwnerLimits()
# Limits by the name of the dialect; a dialect that is not listed is unlimited.
LimitsByDialect = Mapping[str, OwnerLimits]
NO_LIMITS: LimitsByDialect = MappingProxyType({})


def limits_of(dialect: str, limits: LimitsByDialect) -> OwnerLimits:
    """Return the limits of the owners in a dialect."""
    return limits.get(dialect, NO_OWNER_LIMITS)


@dataclass(frozen=True)
class OwnerQuotas:
    """Maximum requests and events of an owner in a period; 0 means unlimited.

    `events_per_month` counts events by the month of their fire time.
    """

    requests_per_minute: int = 0
    events_per_month: int = 0


NO_OWNER_QUOTAS = OwnerQuotas()


@dataclass(frozen=True)
class TenantLimits:
    """Maximum requests per second and stored amounts of a tenant; 0 means unlimited.

    `pending_events` counts events that have not ended, and schedules. `stored_bytes`
    counts the content of all events and schedules.
    """

    requests_per_s: int = 0
    pending_events: int = 0
    stored_bytes: int = 0


@dataclass(frozen=True)
class BreakerLimits:
    """When breakers open, slow and close; `attempts=0` disables breakers.

    `longest_holds_ms` is how long events may be held after their due time, by name of
    the dialect.
    """

    attempts: int
    percent: int
    window_ms: int
    hold_ms: int
    longest_hold_ms: int
    ramp_per_s: int
    trickle_per_s: int
    trickle_parallelism: int
    longest_holds_ms: Mapping[str, int] = field(default_factory=dict)
