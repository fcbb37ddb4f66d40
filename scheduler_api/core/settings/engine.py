"""The engine's environment variables, with their defaults and meanings."""

from dataclasses import dataclass
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.settings import sentinel_url, store_tls
from scheduler_api.core.settings.durability import Durability, read_durability
from scheduler_api.core.settings.limits import BreakerLimits, Caps, TenantLimits
from scheduler_api.core.settings.variables import (
    DAY_MS,
    MIB,
    Network,
    mask_all,
    mask_password,
    mask_path,
    read_address,
    read_cell,
    read_certificates,
    read_choice,
    read_environment,
    read_folder,
    read_host,
    read_http_url,
    read_integer,
    read_names,
    read_networks,
    read_ports,
    read_redis_url,
    read_secret_key,
    read_secret_keys,
    read_yes_or_no,
    variable,
)
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")


class SettingsError(SchedulerError):
    """A variable is missing, malformed or unknown."""


@dataclass(frozen=True, kw_only=True, repr=False)
class EngineSettings:
    """The settings of the engine; `dialects` has the settings of each dialect."""

    dialects: tuple[object, ...] = ()

    redis_url: str = variable(
        "REDIS_URL",
        read_redis_url,
        mask=mask_password,
        local=True,
        doc="URL of the store",
    )
    secret_key: str = variable(
        "SECRET_KEY",
        read_secret_key,
        mask=mask_all,
        doc="encrypts the secrets and the content in the store; must be the same in"
        " every process",
    )
    older_secret_keys: tuple[str, ...] = variable(
        "SCHED_OLDER_SECRET_KEYS",
        read_secret_keys,
        default=(),
        mask=mask_all,
        doc="other values of `SECRET_KEY` that decrypt what they have encrypted,"
        " separated by commas",
    )
    encrypt_content: bool = variable(
        "SCHED_ENCRYPT_CONTENT",
        read_yes_or_no,
        default=True,
        doc="encrypt URL, headers and body of events and schedules, responses, and URL"
        " groups in the store",
    )
    store_ca: str = variable(
        "SCHED_STORE_CA",
        read_certificates,
        default="",
        local=True,
        doc="PEM file with the certificates of further authorities that may sign the"
        " store's certificate",
    )
    store_tls_verify: bool = variable(
        "SCHED_STORE_TLS_VERIFY",
        read_yes_or_no,
        default=True,
        local=True,
        doc="check the store's certificate; false: take any",
    )
    port: int = variable(
        "PORT",
        read_integer(1, 65_535),
        default=8080,
        local=True,
        doc="port that the web process listens on",
    )
    host: str = variable(
        "SCHED_HOST",
        read_host,
        default="0.0.0.0",
        local=True,
        doc="address that the web process listens on",
    )
    metrics_address: str = variable(
        "SCHED_METRICS_ADDRESS",
        read_address,
        default="",
        local=True,
        doc="address and port where the web process serves `/metrics` to anyone, such"
        " as `127.0.0.1:9180`; none: only on `PORT`, where it needs a token",
    )
    web_workers: int = variable(
        "SCHED_WEB_WORKERS",
        read_integer(1, 64),
        default=2,
        local=True,
        doc="processes that serve HTTP",
    )
    trusted_proxies: tuple[Network, ...] = variable(
        "SCHED_TRUSTED_PROXIES",
        read_networks,
        default=(),
        local=True,
        doc="networks of the reverse proxies whose `X-Forwarded-For` is trusted",
    )
    address_connections: int = variable(
        "SCHED_ADDRESS_CONNECTIONS",
        read_integer(0, 100_000),
        default=500,
        local=True,
        doc="connections that a web process keeps open for one client address; for a"
        " further one, it closes the one idle for the longest time; 0: no limit",
    )
    bodies_bytes: int = variable(
        "SCHED_BODIES_BYTES",
        read_integer(MIB, 1_000_000_000_000),
        default=128 * MIB,
        local=True,
        doc="bytes of request bodies that a web process holds; beyond, it drops the"
        " oldest unfinished one",
    )
    allowed_hosts: tuple[str, ...] = variable(
        "SCHED_ALLOWED_HOSTS",
        read_names,
        default=(),
        local=True,
        doc="names in `Host` that are served, beside loopback and `SCHED_HOST`;"
        " requests of web pages elsewhere are then refused too; none: any name",
    )
    environment: str = variable(
        "SCHED_ENVIRONMENT",
        read_environment,
        default="",
        local=True,
        doc="name of the environment on the dashboard, with a colour if wanted:"
        " `production:red`; grey, green, blue, amber or red",
    )
    receiver: bool = variable(
        "SCHED_RECEIVER",
        read_yes_or_no,
        default=False,
        doc="serve a receiver for experiments at `/receiver`, and let deliveries reach"
        " it on this machine",
    )
    cell: str = variable(
        "SCHED_CELL",
        read_cell,
        default="s1",
        doc="name of the cell; all its keys in the store begin with `{cell}:`",
    )
    log_level: str = variable(
        "SCHED_LOG_LEVEL",
        read_choice("debug", "info", "warning", "error"),
        default="info",
        local=True,
        doc="lowest level of the lines in the log: debug, info, warning or error",
    )
    log_format: str = variable(
        "SCHED_LOG_FORMAT",
        read_choice("text", "json"),
        default="text",
        local=True,
        doc="format of the log: text, or json with one object per line",
    )
    state_dir: str = variable(
        "SCHED_STATE_DIR",
        read_folder,
        default="",
        local=True,
        doc="folder outside the store in which processes remember which store they"
        " had, to notice after a restart that it is empty or older",
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
        doc="the only ports that deliveries may reach, separated by commas; none: any"
        " port",
    )
    otlp_endpoint: str = variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        read_http_url,
        default="",
        mask=mask_path,
        local=True,
        doc="URL of a collector that receives traces; needs the extra `otel`",
    )
    otlp_traces_endpoint: str = variable(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        read_http_url,
        default="",
        mask=mask_path,
        local=True,
        doc="likewise, with the path, for traces only",
    )
    max_in_flight: int = variable(
        "SCHED_WINDOW",
        read_integer(1, 10_000),
        default=100,
        local=True,
        doc="maximum deliveries in flight per worker",
    )
    drain_grace_s: int = variable(
        "SCHED_DRAIN_GRACE_S",
        read_integer(0, 3_600),
        default=25,
        local=True,
        doc="seconds that a stopping worker waits for its deliveries to finish",
    )
    envelope_size: int = variable(
        "SCHED_ENVELOPE_SIZE",
        read_integer(1, 1_000),
        default=100,
        local=True,
        doc="maximum events per RQ job",
    )
    body_limit_bytes: int = variable(
        "SCHED_BODY_LIMIT_BYTES",
        read_integer(1, 64 * MIB),
        default=MIB,
        doc="maximum bytes of an event's body",
    )
    response_log_bytes: int = variable(
        "SCHED_RESPONSE_LOG_BYTES",
        read_integer(0, MIB),
        default=4_096,
        doc="maximum bytes of a response body in the attempt log; in dialects that show"
        " response headers, also of the headers of a failure",
    )
    retention_days: int = variable(
        "SCHED_RETENTION_DAYS",
        read_integer(1, 3_650),
        default=7,
        doc="days that finished events, their attempts and run history are kept",
    )
    dead_retention_days: int = variable(
        "SCHED_DEAD_RETENTION_DAYS",
        read_integer(1, 3_650),
        default=30,
        doc="days that dead letters are kept",
    )
    failure_digest_url: str = variable(
        "SCHED_FAILURE_DIGEST_URL",
        read_http_url,
        default="",
        mask=mask_path,
        local=True,
        doc="URL that receives the hourly digest of dead letters, besides the log",
    )
    alert_url: str = variable(
        "SCHED_ALERT_URL",
        read_http_url,
        default="",
        mask=mask_path,
        doc="URL that receives an alert at each change of the cell's state",
    )
    alert_oldest_due_s: int = variable(
        "SCHED_ALERT_OLDEST_DUE_S",
        read_integer(1, 86_400),
        default=60,
        doc="seconds that an event may be due before there is an alert",
    )
    allow_no_persistence: bool = variable(
        "SCHED_ALLOW_NO_PERSISTENCE",
        read_yes_or_no,
        default=False,
        doc="start on a store that loses everything at its restart",
    )
    store_high_water_percent: int = variable(
        "SCHED_STORE_HIGH_WATER_PERCENT",
        read_integer(1, 100),
        default=90,
        doc="percentage of the store's memory limit above which new events are refused",
    )
    stop_on_clock_step: bool = variable(
        "SCHED_STOP_ON_CLOCK_STEP",
        read_yes_or_no,
        default=False,
        doc="after a step of the store's clock by more than a second, deliver nothing"
        " until an operator accepts it",
    )
    wait_for: Durability = variable(
        "SCHED_WAIT_FOR",
        read_durability,
        default=Durability(),
        doc="where a request that writes must be stored before it is answered: memory,"
        " disk, replicas=N, or disk,replicas=N",
    )
    offer_lease_ms: int = variable(
        "SCHED_OFFER_LEASE_MS",
        read_integer(100, 60_000),
        default=3_000,
        doc="milliseconds that a worker has to begin an event after its claim",
    )
    lease_ms: int = variable(
        "SCHED_LEASE_MS",
        read_integer(400, 600_000),
        default=15_000,
        doc="milliseconds that a begun event stays leased to its worker without"
        " renewal",
    )
    renew_interval_ms: int = variable(
        "SCHED_RENEW_INTERVAL_MS",
        read_integer(10, 150_000),
        default=3_000,
        doc="milliseconds between lease renewals; at most a quarter of the lease",
    )
    lease_grace_ms: int = variable(
        "SCHED_QUIET_MS",
        read_integer(400, 600_000),
        default=15_000,
        doc="milliseconds after an outage during which no lease expires; at least the"
        " lease",
    )
    missed_grace_ms: int = variable(
        "SCHED_MISSED_GRACE_MS",
        read_integer(0, DAY_MS),
        default=60_000,
        doc="milliseconds after which an unclaimed fire time counts as missed",
    )
    destination_parallelism: int = variable(
        "SCHED_DESTINATION_PARALLELISM",
        read_integer(0, 1_000_000),
        default=0,
        doc="concurrent deliveries of one tenant to one destination; 0: no limit",
    )
    host_parallelism: int = variable(
        "SCHED_HOST_PARALLELISM",
        read_integer(0, 1_000_000),
        default=0,
        doc="concurrent deliveries of all tenants to one host, on any port; 0: no"
        " limit",
    )
    tenant_parallelism: int = variable(
        "SCHED_TENANT_PARALLELISM",
        read_integer(0, 1_000_000),
        default=0,
        doc="concurrent deliveries of one tenant; 0: no limit",
    )
    global_parallelism: int = variable(
        "SCHED_GLOBAL_PARALLELISM",
        read_integer(0, 1_000_000),
        default=0,
        doc="concurrent deliveries of all tenants; 0: no limit",
    )
    tenant_requests_per_s: int = variable(
        "SCHED_TENANT_REQUESTS_PER_S",
        read_integer(0, 1_000_000),
        default=0,
        doc="API requests of one tenant per second; 0: no limit",
    )
    tenant_pending_events: int = variable(
        "SCHED_TENANT_PENDING_EVENTS",
        read_integer(0, 1_000_000_000),
        default=0,
        doc="unfinished events and schedules of one tenant; 0: no limit",
    )
    tenant_stored_bytes: int = variable(
        "SCHED_TENANT_STORED_BYTES",
        read_integer(0, 1_000_000_000_000),
        default=0,
        doc="bytes of content in the events and schedules of one tenant, finished ones"
        " included; 0: no limit",
    )
    destination_share_percent: int = variable(
        "SCHED_DESTINATION_SHARE_PERCENT",
        read_integer(1, 100),
        default=50,
        doc="maximum percentage of a worker, without its reserve, that one destination"
        " may use while others are due; 100: no limit",
    )
    breaker_attempts: int = variable(
        "SCHED_BREAKER_ATTEMPTS",
        read_integer(0, 1_000_000),
        default=20,
        doc="attempts within the window before the breaker of an origin or route may"
        " open or slow it; 0: never",
    )
    breaker_percent: int = variable(
        "SCHED_BREAKER_PERCENT",
        read_integer(1, 100),
        default=90,
        doc="percentage of these attempts that must fail",
    )
    breaker_window_ms: int = variable(
        "SCHED_BREAKER_WINDOW_MS",
        read_integer(1_000, DAY_MS),
        default=60_000,
        doc="length of the breaker's window in milliseconds",
    )
    breaker_hold_ms: int = variable(
        "SCHED_BREAKER_HOLD_MS",
        read_integer(100, DAY_MS),
        default=1_000,
        doc="milliseconds from the opening of a breaker to its first probe; each"
        " failed probe doubles the wait",
    )
    breaker_longest_hold_ms: int = variable(
        "SCHED_BREAKER_LONGEST_HOLD_MS",
        read_integer(100, DAY_MS),
        default=15_000,
        doc="maximum wait between probes in milliseconds",
    )
    breaker_ramp_per_s: int = variable(
        "SCHED_BREAKER_RAMP_PER_S",
        read_integer(1, 1_000),
        default=16,
        doc="attempts per second right after a successful probe; the rate doubles every"
        " two seconds",
    )
    breaker_trickle_per_s: int = variable(
        "SCHED_BREAKER_TRICKLE_PER_S",
        read_integer(1, 1_000),
        default=5,
        doc="attempts per second at a slowed origin or route; at least a tenth of the"
        " attempts before",
    )
    breaker_trickle_parallelism: int = variable(
        "SCHED_BREAKER_TRICKLE_PARALLELISM",
        read_integer(1, 1_000),
        default=5,
        doc="concurrent attempts at a slowed origin or route",
    )

    def __post_init__(self) -> None:
        """Check the settings that depend on each other.

        Raises:
            SettingsError: the message names both variables.
        """
        faults = []
        if self.renew_interval_ms * 4 > self.lease_ms:
            faults.append(
                "SCHED_RENEW_INTERVAL_MS: expected at most a quarter of SCHED_LEASE_MS"
                f" ({self.lease_ms // 4}), got {self.renew_interval_ms}"
            )
        if self.lease_grace_ms < self.lease_ms:
            faults.append(
                "SCHED_QUIET_MS: expected at least SCHED_LEASE_MS"
                f" ({self.lease_ms}), got {self.lease_grace_ms}"
            )
        if self.metrics_port == self.port:
            faults.append(
                f"SCHED_METRICS_ADDRESS: expected another port than PORT ({self.port})"
            )
        if faults:
            raise SettingsError("\n".join(faults))

    def of(self, kind: type[T]) -> T:
        """Return the settings of a dialect, which have the class `kind`."""
        for own in self.dialects:
            if isinstance(own, kind):
                return own
        return kind()

    @property
    def metrics_port(self) -> int | None:
        """The port that serves only metrics, if there is one."""
        return int(self.metrics_address.rpartition(":")[2] or 0) or None

    @property
    def prefix(self) -> str:
        """The prefix of all keys of this cell."""
        return f"{{{self.cell}}}:"

    @property
    def store_url(self) -> str:
        """The URL of the store, with the options for TLS."""
        return store_tls.add_options(
            self.redis_url, ca=self.store_ca, verify=self.store_tls_verify
        )

    @property
    def store_addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of the store, or of its Sentinels; empty for a Unix socket.

        Deliveries must not connect to these ports.
        """
        if sentinel_url.is_sentinel(self.redis_url):
            return sentinel_url.read(self.redis_url).sentinels
        url = urlsplit(self.redis_url)
        if url.scheme == "unix":
            return ()
        return ((str(url.hostname), url.port or 6379),)

    @property
    def wants_traces(self) -> bool:
        """Whether traces are to be sent."""
        return bool(self.otlp_endpoint or self.otlp_traces_endpoint)

    @property
    def caps(self) -> Caps:
        """The maximum numbers of concurrent deliveries."""
        return Caps(
            destination=self.destination_parallelism,
            host=self.host_parallelism,
            tenant=self.tenant_parallelism,
            everything=self.global_parallelism,
        )

    @property
    def tenant_limits(self) -> TenantLimits:
        """The limits of tenants that have no limits of their own."""
        return TenantLimits(
            requests_per_s=self.tenant_requests_per_s,
            pending_events=self.tenant_pending_events,
            stored_bytes=self.tenant_stored_bytes,
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
            trickle_per_s=self.breaker_trickle_per_s,
            trickle_parallelism=self.breaker_trickle_parallelism,
        )
