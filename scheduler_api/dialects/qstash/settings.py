"""What operators can set about the QStash dialect."""

from dataclasses import dataclass
from scheduler_api.core.settings.limits import Room
from scheduler_api.core.settings.variables import DAY_MS, MIB, read_whole, variable


@dataclass(frozen=True, kw_only=True, repr=False)
class QstashSettings:
    """Deadlines, limits and key rotation of QStash."""

    qstash_timeout_ms: int = variable(
        "SCHED_QSTASH_TIMEOUT_MS",
        read_whole(100, 7 * DAY_MS),
        default=900_000,
        doc="QStash: deadline of one attempt where the message names none",
    )
    qstash_timeout_limit_ms: int = variable(
        "SCHED_QSTASH_TIMEOUT_LIMIT_MS",
        read_whole(100, 7 * DAY_MS),
        default=7_200_000,
        doc="QStash: longest deadline that a message may name",
    )
    qstash_delay_limit_days: int = variable(
        "SCHED_QSTASH_DELAY_LIMIT_DAYS",
        read_whole(1, 36_500),
        default=365,
        doc="QStash: longest delay of a message",
    )
    qstash_retries_limit: int = variable(
        "SCHED_QSTASH_RETRIES_LIMIT",
        read_whole(0, 100_000),
        default=1_000,
        doc="QStash: most retries of a message",
    )
    qstash_deduplication_ms: int = variable(
        "SCHED_QSTASH_DEDUPLICATION_MS",
        read_whole(1, 90 * DAY_MS),
        default=600_000,
        doc="QStash: milliseconds in which a message is recognised as published before",
    )
    qstash_batch_limit_bytes: int = variable(
        "SCHED_QSTASH_BATCH_LIMIT_BYTES",
        read_whole(1, 1_024 * MIB),
        default=64 * MIB,
        doc="QStash: largest request of a batch",
    )
    qstash_batch_limit: int = variable(
        "SCHED_QSTASH_BATCH_LIMIT",
        read_whole(1, 1_000_000),
        default=10_000,
        doc="QStash: most messages in one batch",
    )
    qstash_queues: int = variable(
        "SCHED_QSTASH_QUEUES",
        read_whole(0, 10**9),
        default=10_000,
        doc="QStash: queues of one tenant; 0: no limit",
    )
    qstash_flow_control_keys: int = variable(
        "SCHED_QSTASH_FLOW_CONTROL_KEYS",
        read_whole(0, 10**9),
        default=100_000,
        doc="QStash: flow-control keys of one tenant that are in use, pinned or paused;"
        " 0: no limit",
    )
    qstash_url_groups: int = variable(
        "SCHED_QSTASH_URL_GROUPS",
        read_whole(0, 10**9),
        default=10_000,
        doc="QStash: url groups of one tenant; 0: no limit",
    )
    qstash_rotation_grace_ms: int = variable(
        "SCHED_QSTASH_ROTATION_GRACE_MS",
        read_whole(0, 90 * DAY_MS),
        default=DAY_MS,
        doc="QStash: milliseconds that a pair of signing keys goes on working once it"
        " was replaced",
    )

    @property
    def room(self) -> Room:
        """How many of each kind one owner may have."""
        return Room(
            queues=self.qstash_queues,
            flows=self.qstash_flow_control_keys,
            groups=self.qstash_url_groups,
        )
