"""Groups of limits that operators set."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Caps:
    """Maximum concurrent deliveries; 0 is no limit."""

    destination: int = 0
    host: int = 0
    tenant: int = 0
    everything: int = 0


NO_CAPS = Caps()


@dataclass(frozen=True)
class OwnerLimits:
    """Maximum number of queues, keys and groups of an owner; 0 is no limit."""

    queues: int = 0
    flow_keys: int = 0
    url_groups: int = 0


NO_OWNER_LIMITS = OwnerLimits()
# Limits by the name of the dialect; a missing dialect has no limits.
LimitsByDialect = Mapping[str, OwnerLimits]
NO_LIMITS: LimitsByDialect = MappingProxyType({})


@dataclass(frozen=True)
class BreakerLimits:
    """When a destination's breaker opens and closes; `attempts` 0 disables it."""

    attempts: int
    percent: int
    window_ms: int
    hold_ms: int
    longest_hold_ms: int
    ramp_per_s: int
