"""The environment variables of Scheduler v1."""

from dataclasses import dataclass
from scheduler_api.core.settings.variables import read_integer, read_yes_or_no, variable


@dataclass(frozen=True, kw_only=True, repr=False)
class EventsV1Settings:
    """Registration, deadline and signatures of Scheduler v1."""

    register: bool = variable(
        "SCHED_V1_REGISTER",
        read_yes_or_no,
        default=False,
        doc="Scheduler v1: allow anyone to register an application",
    )
    timeout_ms: int = variable(
        "SCHED_V1_TIMEOUT_MS",
        read_integer(100, 900_000),
        default=10_000,
        doc="Scheduler v1: deadline of an attempt in milliseconds",
    )
    signature: bool = variable(
        "SCHED_V1_SIGNATURE",
        read_yes_or_no,
        default=True,
        doc="Scheduler v1: sign callbacks as in Standard Webhooks",
    )
