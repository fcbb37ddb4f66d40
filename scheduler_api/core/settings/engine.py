"""What operators can set about the engine: variables, defaults, meanings."""

from dataclasses import dataclass
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.settings.limits import BreakerLimits, Caps
from scheduler_api.core.settings.variables import (
    DAY_MS,
    MIB,
    Network,
    mask_all,
    mask_password,
    read_cell,
    read_host,
    read_http_url,
    read_networks,
    read_ports,
    read_redis_url,
    read_secret_key,
    read_whole,
    read_yes_or_no,
    variable,
)
from urllib.parse import urlsplit


class SettingsError(SchedulerError):
    """The environment does not say what this process needs."""


@dataclass(frozen=True, kw_only=True, repr=False)
class EngineSettings:
    """The settings that do not depend on a dialect."""

    redis_url: str = variable(
        "REDIS_URL", read_redis_url, mask=mask_password, doc="the store"
    )
    secret_key: str = variable(
        "SECRET_KEY",
        read_secret_key,
        mask=mask_all,
        doc="encrypts signing keys in the store; the same in every process, for ever",
    )
    port: int = variable(
        "PORT",
        read_whole(1, 65_535),
        default=8080,
        doc="port that the web process takes",
    )
    host: str = variable(
        "SCHED_HOST",
        read_host,
        default="0.0.0.0",
        doc="address that the web process takes",
    )
    web_workers: int = variable(
        "SCHED_WEB_WORKERS",
        read_whole(1, 64),
        default=2,
        doc="processes that answer HTTP",
    )
    trusted_proxies: tuple[Network, ...] = variable(
        "SCHED_TRUSTED_PROXIES",
        read_networks,
        default=(),
        doc="networks of reverse proxies whose `X-Forwarded-For` names the caller",
    )
    cell: str = variable(
        "SCHED_CELL",
        read_cell,
        default="s1",
        doc="all keys in the store begin with `{cell}:`",
    )
    allow_networks: tuple[Network, ...] = variable(
        "SCHED_ALLOW_NETWORKS",
        read_networks,
        default=(),
        doc="private networks that deliveries may reach, separated by commas",
    )
    https_only: bool = variable(
        "SCHED_HTTPS_ONLY",
        read_yes_or_no,
        default=False,
        doc="deliver to `https` URLs only",
    )
    destination_ports: tuple[int, ...] = variable(
        "SCHED_DESTINATION_PORTS",
        read_ports,
        default=(),
        doc="the only ports that deliveries may reach, separated by commas; none: any",
    )
    window: int = variable(
        "SCHED_WINDOW",
        read_whole(1, 10_000),
        default=100,
        doc="deliveries that one worker has in flight at most",
    )
    drain_grace_s: int = variable(
        "SCHED_DRAIN_GRACE_S",
        read_whole(0, 3_600),
        default=25,
        doc="seconds that a stopping worker waits for its deliveries",
    )
    envelope_size: int = variable(
        "SCHED_ENVELOPE_SIZE",
        read_whole(1, 1_000),
        default=100,
        doc="events that one RQ job carries at most",
    )
    body_limit_bytes: int = variable(
        "SCHED_BODY_LIMIT_BYTES",
        read_whole(1, 64 * MIB),
        default=MIB,
        doc="largest body of one event",
    )
    response_log_bytes: int = variable(
        "SCHED_RESPONSE_LOG_BYTES",
        read_whole(0, MIB),
        default=4_096,
        doc="bytes of each response's body that the attempt's log keeps, and as many"
        " of the headers of a failure (QStash)",
    )
    retention_days: int = variable(
        "SCHED_RETENTION_DAYS",
        read_whole(1, 3_650),
        default=7,
        doc="days that finished events, their attempts and cron history are kept",
    )
    dead_retention_days: int = variable(
        "SCHED_DEAD_RETENTION_DAYS",
        read_whole(1, 3_650),
        default=30,
        doc="days that dead letters are kept",
    )
    failure_digest_url: str = variable(
        "SCHED_FAILURE_DIGEST_URL",
        read_http_url,
        default="",
        doc="where the hourly digest of dead letters is posted, besides the log",
    )
    store_high_water_percent: int = variable(
        "SCHED_STORE_HIGH_WATER_PERCENT",
        read_whole(1, 100),
        default=90,
        doc="share of the store's memory limit at which new events are refused",
    )
    offer_lease_ms: int = variable(
        "SCHED_OFFER_LEASE_MS",
        read_whole(100, 60_000),
        default=3_000,
        doc="milliseconds from the offer of an event to its begin",
    )
    lease_ms: int = variable(
        "SCHED_LEASE_MS",
        read_whole(400, 600_000),
        default=15_000,
        doc="milliseconds that a begun event stays with its worker without renewal",
    )
    renew_interval_ms: int = variable(
        "SCHED_RENEW_INTERVAL_MS",
        read_whole(10, 150_000),
        default=3_000,
        doc="milliseconds between renewals; at most a quarter of the lease",
    )
    quiet_ms: int = variable(
        "SCHED_QUIET_MS",
        read_whole(400, 600_000),
        default=15_000,
        doc="milliseconds after an outage in which no lease ends; at least the lease",
    )
    missed_grace_ms: int = variable(
        "SCHED_MISSED_GRACE_MS",
        read_whole(0, DAY_MS),
        default=60_000,
        doc="milliseconds that a fire time may wait before it counts as missed",
    )
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

    def __post_init__(self) -> None:
        """Hold what must hold between two values.

        Raises:
            SettingsError: naming both variables.
        """
        faults = []
        if self.renew_interval_ms * 4 > self.lease_ms:
            faults.append(
                "SCHED_RENEW_INTERVAL_MS: expected at most a quarter of SCHED_LEASE_MS"
                f" ({self.lease_ms // 4}), got {self.renew_interval_ms}"
            )
        if self.quiet_ms < self.lease_ms:
            faults.append(
                "SCHED_QUIET_MS: expected at least SCHED_LEASE_MS"
                f" ({self.lease_ms}), got {self.quiet_ms}"
            )
        if faults:
            raise SettingsError("\n".join(faults))

    @property
    def prefix(self) -> str:
        """What every key of this cell begins with."""
        return f"{{{self.cell}}}:"

    @property
    def store_address(self) -> tuple[str, int] | None:
        """Host and port of the store, never a destination; none for a socket."""
        url = urlsplit(self.redis_url)
        return None if url.scheme == "unix" else (str(url.hostname), url.port or 6379)

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
    def breaker_limits(self) -> BreakerLimits:
        """When breakers open and close."""
        return BreakerLimits(
            attempts=self.breaker_attempts,
            percent=self.breaker_percent,
            window_ms=self.breaker_window_ms,
            hold_ms=self.breaker_hold_ms,
            longest_hold_ms=self.breaker_longest_hold_ms,
            ramp_per_s=self.breaker_ramp_per_s,
        )
