"""The environment variables of Postbox."""

from dataclasses import dataclass
from scheduler_api.core.settings.variables import read_integer, variable


@dataclass(frozen=True, kw_only=True, repr=False)
class PostboxSettings:
    """The settings of Postbox: only the deadline of an attempt."""

    timeout_ms: int = variable(
        "SCHED_POSTBOX_TIMEOUT_MS",
        read_integer(100, 900_000),
        default=7_000,
        doc="Postbox: deadline of an attempt in milliseconds",
    )
