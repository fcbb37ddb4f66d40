"""What the environment may say about gates: caps, shares, breakers."""

from dataclasses import dataclass
from scheduler_api.core.settings.limits import BreakerTerms, Caps
from scheduler_api.core.settings.variables import DAY_MS, read_whole, variable


@dataclass(frozen=True, kw_only=True, repr=False)
class GateSettings:
    """The part of the settings that holds events back."""

    destination_parallelism: int = variable(
        "SCHED_DESTINATION_PARALLELISM",
        read_whole(0, 1_000_000),
        default=0,
        doc="deliveries of one tenant to one destination at once; 0: no limit",
    )
    host_parallelism: int = variable(
        "SCHED_HOST_PARALLELISM",
        read_whole(0, 1_000_000),
        default=0,
        doc="deliveries of all tenants to one host at once, whatever its port; 0: no"
        " limit",
    )
    tenant_parallelism: int = variable(
        "SCHED_TENANT_PARALLELISM",
        read_whole(0, 1_000_000),
        default=0,
        doc="deliveries of one tenant at once; 0: no limit",
    )
    global_parallelism: int = variable(
        "SCHED_GLOBAL_PARALLELISM",
        read_whole(0, 1_000_000),
        default=0,
        doc="deliveries of all tenants at once; 0: no limit",
    )
    destination_share_percent: int = variable(
        "SCHED_DESTINATION_SHARE_PERCENT",
        read_whole(1, 100),
        default=50,
        doc="most that one destination has of a worker's window while others are"
        " wanted; 100: all of it",
    )
    breaker_attempts: int = variable(
        "SCHED_BREAKER_ATTEMPTS",
        read_whole(0, 1_000_000),
        default=20,
        doc="attempts within the window before a destination's breaker may open; 0: it"
        " never does",
    )
    breaker_percent: int = variable(
        "SCHED_BREAKER_PERCENT",
        read_whole(1, 100),
        default=90,
        doc="share of them that must have failed by connection, TLS, time-out or 5xx",
    )
    breaker_window_ms: int = variable(
        "SCHED_BREAKER_WINDOW_MS",
        read_whole(1_000, DAY_MS),
        default=60_000,
        doc="milliseconds of attempts that a breaker looks back on",
    )
    breaker_hold_ms: int = variable(
        "SCHED_BREAKER_HOLD_MS",
        read_whole(100, DAY_MS),
        default=5_000,
        doc="milliseconds until an open breaker lets one attempt through; each that"
        " fails doubles them",
    )
    breaker_longest_hold_ms: int = variable(
        "SCHED_BREAKER_LONGEST_HOLD_MS",
        read_whole(100, DAY_MS),
        default=60_000,
        doc="milliseconds that they are at most",
    )
    breaker_ramp_per_s: int = variable(
        "SCHED_BREAKER_RAMP_PER_S",
        read_whole(1, 1_000),
        default=16,
        doc="attempts per second that a closed breaker begins with; they double every"
        " two seconds",
    )

    @property
    def caps(self) -> Caps:
        """How many may run at once."""
        return Caps(
            destination=self.destination_parallelism,
            host=self.host_parallelism,
            tenant=self.tenant_parallelism,
            everything=self.global_parallelism,
        )

    @property
    def breaker_terms(self) -> BreakerTerms:
        """When breakers open and close."""
        return BreakerTerms(
            attempts=self.breaker_attempts,
            percent=self.breaker_percent,
            window_ms=self.breaker_window_ms,
            hold_ms=self.breaker_hold_ms,
            longest_hold_ms=self.breaker_longest_hold_ms,
            ramp_per_s=self.breaker_ramp_per_s,
        )
