"""Limits that operators set, as the engine takes them."""

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
    """How many named things an owner may have; 0 is no limit."""

    queues: int = 0
    flow_keys: int = 0
    url_groups: int = 0


NO_OWNER_LIMITS = OwnerLimits()
# By the name of the dialect; a dialect that is absent has no limits.
LimitsByDialect = Mapping[str, OwnerLimits]
NO_LIMITS: LimitsByDialect = MappingProxyType({})


@dataclass(frozen=True)
class BreakerLimits:
    """When a destination's breaker opens (attempts 0: never) and how it closes."""

    attempts: int
    percent: int
    window_ms: int
    hold_ms: int
    longest_hold_ms: int
    ramp_per_s: int
