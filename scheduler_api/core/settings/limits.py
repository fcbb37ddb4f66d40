"""What operators allow, and when a destination counts as broken."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caps:
    """How many deliveries may run at once; 0 is no limit."""

    destination: int = 0
    host: int = 0
    tenant: int = 0
    everything: int = 0


NO_CAPS = Caps()


@dataclass(frozen=True)
class Room:
    """How many things of a name one owner may have; 0 is no limit."""

    queues: int = 0
    flows: int = 0
    groups: int = 0


ANY_NUMBER = Room()


@dataclass(frozen=True)
class BreakerLimits:
    """When a destination's breaker opens (attempts 0: never), and how it closes."""

    attempts: int
    percent: int
    window_ms: int
    hold_ms: int
    longest_hold_ms: int
    ramp_per_s: int
