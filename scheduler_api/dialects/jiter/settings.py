"""The environment variables of Jiter."""

from dataclasses import dataclass
from scheduler_api.core.settings.limits import OwnerQuotas
from scheduler_api.core.settings.variables import (
    DAY_MS,
    MIB,
    read_integer,
    read_yes_or_no,
    variable,
)


@dataclass(frozen=True, kw_only=True, repr=False)
class JiterSettings:
    """Deadline, limits and signatures of Jiter."""

    timeout_ms: int = variable(
        "SCHED_JITER_TIMEOUT_MS",
        read_integer(100, 900_000),
        default=10_000,
        doc="Jiter: deadline of an attempt in milliseconds",
    )
    payload_limit_bytes: int = variable(
        "SCHED_JITER_PAYLOAD_LIMIT_BYTES",
        read_integer(0, 64 * MIB),
        default=0,
        doc="Jiter: maximum bytes of a payload; 0: only the body limit applies",
    )
    requests_per_minute: int = variable(
        "SCHED_JITER_REQUESTS_PER_MINUTE",
        read_integer(0, 10_000_000),
        default=0,
        doc="Jiter: API requests per minute and tenant; 0: no limit",
    )
    events_per_month: int = variable(
        "SCHED_JITER_EVENTS_PER_MONTH",
        read_integer(0, 10**12),
        default=0,
        doc="Jiter: events per tenant and month of fire time; 0: no limit",
    )
    cron_jobs: int = variable(
        "SCHED_JITER_CRON_JOBS",
        read_integer(0, 10**9),
        default=0,
        doc="Jiter: cron jobs per tenant; 0: no limit",
    )
    list_limit: int = variable(
        "SCHED_JITER_LIST_LIMIT",
        read_integer(1, 10_000),
        default=1_000,
        doc="Jiter: maximum events in a list",
    )
    search_window_days: int = variable(
        "SCHED_JITER_SEARCH_WINDOW_DAYS",
        read_integer(1, 3_650),
        default=7,
        doc="Jiter: maximum days that a search may span",
    )
    legacy_signature: bool = variable(
        "SCHED_JITER_LEGACY_SIGNATURE",
        read_yes_or_no,
        default=True,
        doc="Jiter: send the older signature header as well",
    )
    longest_hold_ms: int = variable(
        "SCHED_JITER_LONGEST_HOLD_MS",
        read_integer(0, DAY_MS),
        default=300_000,
        doc="Jiter: milliseconds after its due time that an event may wait for an"
        " origin that cannot be reached",
    )

    @property
    def owner_quotas(self) -> OwnerQuotas:
        """The maximum numbers of requests and events of one tenant in a period."""
        return OwnerQuotas(self.requests_per_minute, self.events_per_month)
