"""The environment variables of QStash."""

from dataclasses import dataclass
from scheduler_api.core.settings.limits import OwnerLimits
from scheduler_api.core.settings.variables import (
    DAY_MS,
    MIB,
    read_choice,
    read_integer,
    variable,
)


@dataclass(frozen=True, kw_only=True, repr=False)
class QstashSettings:
    """The settings of QStash: deadlines, limits, signing keys and the region."""

    timeout_ms: int = variable(
        "SCHED_QSTASH_TIMEOUT_MS",
        read_integer(100, 7 * DAY_MS),
        default=900_000,
        doc="QStash: deadline of an attempt in milliseconds, unless the message sets"
        " one",
    )
    timeout_limit_ms: int = variable(
        "SCHED_QSTASH_TIMEOUT_LIMIT_MS",
        read_integer(100, 7 * DAY_MS),
        default=7_200_000,
        doc="QStash: maximum deadline that a message may set, in milliseconds",
    )
    delay_limit_days: int = variable(
        "SCHED_QSTASH_DELAY_LIMIT_DAYS",
        read_integer(1, 36_500),
        default=365,
        doc="QStash: maximum delay of a message in days",
    )
    retries_limit: int = variable(
        "SCHED_QSTASH_RETRIES_LIMIT",
        read_integer(0, 100_000),
        default=1_000,
        doc="QStash: maximum retries of a message",
    )
    deduplication_ms: int = variable(
        "SCHED_QSTASH_DEDUPLICATION_MS",
        read_integer(1, 90 * DAY_MS),
        default=600_000,
        doc="QStash: milliseconds that a deduplication id or content is remembered",
    )
    batch_limit_bytes: int = variable(
        "SCHED_QSTASH_BATCH_LIMIT_BYTES",
        read_integer(1, 1_024 * MIB),
        default=64 * MIB,
        doc="QStash: maximum bytes of a batch request",
    )
    batch_limit: int = variable(
        "SCHED_QSTASH_BATCH_LIMIT",
        read_integer(1, 1_000_000),
        default=10_000,
        doc="QStash: maximum messages in a batch",
    )
    queues: int = variable(
        "SCHED_QSTASH_QUEUES",
        read_integer(0, 10**9),
        default=10_000,
        doc="QStash: queues per tenant; 0: no limit",
    )
    flow_control_keys: int = variable(
        "SCHED_QSTASH_FLOW_CONTROL_KEYS",
        read_integer(0, 10**9),
        default=100_000,
        doc="QStash: flow-control keys per tenant that are in use, pinned or paused;"
        " 0: no limit",
    )
    url_groups: int = variable(
        "SCHED_QSTASH_URL_GROUPS",
        read_integer(0, 10**9),
        default=10_000,
        doc="QStash: url groups per tenant; 0: no limit",
    )
    longest_hold_ms: int = variable(
        "SCHED_QSTASH_LONGEST_HOLD_MS",
        read_integer(0, DAY_MS),
        default=60_000,
        doc="QStash: milliseconds after its due time that a message may wait for an"
        " origin that cannot be reached",
    )
    rotation_grace_ms: int = variable(
        "SCHED_QSTASH_ROTATION_GRACE_MS",
        read_integer(0, 90 * DAY_MS),
        default=DAY_MS,
        doc="QStash: milliseconds that replaced signing keys still verify",
    )

    region: str = variable(
        "SCHED_QSTASH_REGION",
        read_choice("eu-central-1", "us-east-1"),
        default="",
        doc="QStash: region that deliveries name in `Upstash-Region`, by which"
        " receivers of two QStashes pick the keys: eu-central-1 or us-east-1; none: no"
        " such header",
    )

    @property
    def owner_limits(self) -> OwnerLimits:
        """The maximum number of queues, flow-control keys and url groups per tenant."""
        return OwnerLimits(
            queues=self.queues,
            flow_keys=self.flow_control_keys,
            url_groups=self.url_groups,
        )
