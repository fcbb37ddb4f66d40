"""The environment variables of Scheduler v1."""

from dataclasses import dataclass
from scheduler_api.core.settings.variables import (
    DAY_MS,
    read_integer,
    read_yes_or_no,
    variable,
)


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
    longest_hold_ms: int = variable(
        "SCHED_V1_LONGEST_HOLD_MS",
        read_integer(0, DAY_MS),
        default=300_000,
        doc="Scheduler v1: milliseconds after its due time that an event may wait for"
        " an origin that cannot be reached",
    )
