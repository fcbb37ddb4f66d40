"""What operators can set about the Jiter dialect."""

from dataclasses import dataclass
from scheduler_api.core.settings.variables import (
    MIB,
    read_whole,
    read_yes_or_no,
    variable,
)


@dataclass(frozen=True, kw_only=True, repr=False)
class JiterSettings:
    """Deadline, limits and signatures of Jiter."""

    jiter_timeout_ms: int = variable(
        "SCHED_JITER_TIMEOUT_MS",
        read_whole(100, 900_000),
        default=10_000,
        doc="Jiter: deadline of one attempt",
    )
    jiter_payload_limit_bytes: int = variable(
        "SCHED_JITER_PAYLOAD_LIMIT_BYTES",
        read_whole(0, 64 * MIB),
        default=0,
        doc="Jiter: largest payload; 0: only the body limit holds",
    )
    jiter_requests_per_minute: int = variable(
        "SCHED_JITER_REQUESTS_PER_MINUTE",
        read_whole(0, 10_000_000),
        default=0,
        doc="Jiter: requests of one tenant; 0: no limit",
    )
    jiter_events_per_month: int = variable(
        "SCHED_JITER_EVENTS_PER_MONTH",
        read_whole(0, 10**12),
        default=0,
        doc="Jiter: events of one tenant, by month of fire time; 0: no limit",
    )
    jiter_cron_jobs: int = variable(
        "SCHED_JITER_CRON_JOBS",
        read_whole(0, 10**9),
        default=0,
        doc="Jiter: cron jobs of one tenant; 0: no limit",
    )
    jiter_list_limit: int = variable(
        "SCHED_JITER_LIST_LIMIT",
        read_whole(1, 10_000),
        default=1_000,
        doc="Jiter: events in one list",
    )
    jiter_search_window_days: int = variable(
        "SCHED_JITER_SEARCH_WINDOW_DAYS",
        read_whole(1, 3_650),
        default=7,
        doc="Jiter: days that one search may span",
    )
    jiter_legacy_signature: bool = variable(
        "SCHED_JITER_LEGACY_SIGNATURE",
        read_yes_or_no,
        default=True,
        doc="Jiter: send the older signature header as well",
    )
