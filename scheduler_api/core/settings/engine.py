"""What the environment may say: every variable, its default, and its meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.settings.dialect_settings import DialectSettings
from scheduler_api.core.settings.gate_settings import GateSettings
from scheduler_api.core.settings.variables import (
    DAY_MS,
    MIB,
    Network,
    Variable,
    declared,
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
    write,
)
from typing import Any
from urllib.parse import urlsplit

PREFIX = "SCHED_"


class SettingsError(SchedulerError):
    """The environment does not say what this process needs."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(GateSettings, DialectSettings):
    """What one process was told; read once, at its start."""

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

    def __repr__(self) -> str:
        shown = (f"{v.field}={v.show(getattr(self, v.field))!r}" for v in VARIABLES)
        return f"Settings({', '.join(shown)})"

    @property
    def prefix(self) -> str:
        """What every key of this cell begins with."""
        return f"{{{self.cell}}}:"

    @property
    def store_address(self) -> tuple[str, int] | None:
        """Host and port of the store, never a destination; none for a socket."""
        url = urlsplit(self.redis_url)
        return None if url.scheme == "unix" else (str(url.hostname), url.port or 6379)

    def log_line(self) -> str:
        """`NAME=value` of all that differs from the defaults, secrets masked."""
        return " ".join(
            f"{v.name}={v.show(getattr(self, v.field))}"
            for v in VARIABLES
            if v.required or write(getattr(self, v.field)) != v.default
        )


VARIABLES = declared(Settings)


def from_env(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`; an empty value counts as absent.

    Raises:
        SettingsError: one line for each fault, naming the variable.
    """
    faults = [_unknown(name) for name in sorted(environ) if _is_stranger(name)]
    values: dict[str, Any] = {}
    for v in VARIABLES:
        text = environ.get(v.name, "")
        if not text:
            faults += [f"{v.name}: missing, expected {_expected(v)}"] * v.required
            continue
        try:
            values[v.field] = v.parse(text)
        except ValueError as err:
            got = "" if v.mask else f", got {text!r}"
            faults.append(f"{v.name}: expected {err}{got}")
    if faults:
        raise SettingsError("\n".join(faults))
    return Settings(**values)


def _is_stranger(name: str) -> bool:
    return name.startswith(PREFIX) and name not in {v.name for v in VARIABLES}


def _unknown(name: str) -> str:
    close = get_close_matches(name, [v.name for v in VARIABLES], n=1)
    return f"{name}: there is no such setting" + (f", {close[0]}?" if close else "")


def _expected(required: Variable) -> str:
    try:
        required.parse("")
    except ValueError as err:
        return str(err)
    return required.doc


def environment_table() -> str:
    """The table of all variables, in Markdown."""
    rows = [
        f"| `{v.name}` | {'required' if v.required else _default(v)} | {v.doc} |"
        for v in VARIABLES
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def _default(optional: Variable) -> str:
    return f"`{optional.default}`" if optional.default else "none"
