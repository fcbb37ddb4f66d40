"""What `doctor` checks, from the settings to a delivery."""

import redis
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from scheduler_api.commands.differences import differences
from scheduler_api.commands.reports import TIMEOUT_S, Report
from scheduler_api.core.delivery.destinations import (
    AddressPolicy,
    BadDestination,
    Destination,
)
from scheduler_api.core.settings.engine import EngineSettings, SettingsError
from scheduler_api.core.settings.variables import declared
from scheduler_api.core.store import keys, rq_workers
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import RefusedCertificate, connect
from scheduler_api.core.store.epoch_memory import StoreMemory
from scheduler_api.core.store.processes import RUN, Process
from scheduler_api.core.timestamps import duration
from scheduler_api.settings import Settings
from scheduler_api.web import readiness
from scheduler_api.web.banners import PING, Banner, sentence

MIN_VERSION = 7
CLOCK_TOLERANCE_S = 1.0
OLD = "The store has version {}: install Redis 7 or Valkey"
UNUSED = (
    "No cell has used this database yet: set REDIS_URL to that of the processes, or"
    " start them"
)
CLOCK_OFF = "The store's clock is {} {} that of this machine: synchronize both"
SYNCHRONIZE = "timedatectl set-ntp true"
# Errors that a wrong REDIS_URL may cause, besides those of an unreachable store.
BAD_URL = (redis.AuthenticationError, redis.InvalidResponse)
NO_CHORES = "No {} process runs, so nothing deletes old data or checks the store"
FOREIGN_WORKER = (
    "A worker on {} (process {}) is RQ's own, without our class: it delivers one event"
    " at a time, and without `-S json` none. Stop it, and start ours"
)
REFUSED = "Workers refuse to deliver to {}: {}"
ALLOW = "allow it in the environment of all processes, and restart them"
NO_SETTING = "no setting allows this address"
NEVER = ("link-local", "metadata")
CLOSED = (
    "the port of the web process, of the store or of a Sentinel is closed, and so is"
    " each address of the workers' own machine that is not in SCHED_ALLOW_NETWORKS"
)
NOT_FOUND = "The host name of {} has no address on this machine: {}"
TAKE_CERTIFICATE = "export SCHED_STORE_CA=FILE"


def settings_faults(err: SettingsError) -> Iterator[Banner]:
    """Yield each variable that is wrong, with what is expected."""
    yield from map(Banner, str(err).splitlines())


def reach(settings: Settings) -> Iterator[Banner]:
    """Check that the store answers, is new enough, and has the data of a cell."""
    with connect(settings.store_url, timeout_s=TIMEOUT_S) as client:
        try:
            info = client.info("server")
            memory = StoreMemory(Cell(client, settings.prefix), settings.state_dir)
            # A store that was emptied is no unused one.
            is_used = client.exists(keys.DATABASE_CELL) or memory.load().epoch
        except redis.RedisError as err:
            yield unreachable(err)
            return
    version = str(info.get("redis_version", ""))
    if int(version.partition(".")[0] or 0) < MIN_VERSION:
        yield Banner(OLD.format(version))
    elif not is_used:
        yield Banner(UNUSED)


def unreachable(err: redis.RedisError) -> Banner:
    """Return why the store cannot be used."""
    reason = readiness.reason_of(err)
    if isinstance(err, RefusedCertificate):
        command = TAKE_CERTIFICATE
    elif reason.startswith(readiness.STORE_AWAY) or isinstance(err, BAD_URL):
        command = PING
    else:
        command = ""
    return Banner(sentence(reason), command)


def clock(client: redis.Redis) -> Iterator[Banner]:
    """Compare the clock of the store with that of this machine. Redis: TIME."""
    before_s = time.time()
    seconds, micros = client.time()
    after_s = time.time()
    store_s = seconds + micros / 1_000_000
    # The store read its clock at some moment between the two.
    off_s = max(store_s - after_s, before_s - store_s)
    if off_s > CLOCK_TOLERANCE_S:
        side = "ahead of" if store_s > after_s else "behind"
        text = CLOCK_OFF.format(duration(round(off_s * 1_000)), side)
        yield Banner(text, SYNCHRONIZE)


def processes(found: Sequence[Process]) -> Iterator[Banner]:
    """Check that the chores run, and that all processes have the same settings."""
    running = {each.role for each in found}
    for role in ("clock", "chores"):
        if role not in running:
            yield Banner(NO_CHORES.format(role) + ". Start one", RUN[role])
    yield from differences(found)


def workers(client: redis.Redis, found: Iterable[Process]) -> Iterator[Banner]:
    """Check that all workers are ours: RQ's own would take part of the deliveries."""
    ours = {(each.host, each.pid) for each in found}
    for each in rq_workers.read(client):
        if not each.is_ours and (each.host, each.pid) not in ours:
            yield Banner(FOREIGN_WORKER.format(each.host, each.pid), RUN["worker"])


def cell(settings: Settings, report: Report) -> Iterator[Banner]:
    """Check a store that answers, and the processes."""
    # `differences` names the settings, and at once.
    differ = sentence(readiness.SETTINGS_DIFFER)
    yield from (each for each in report.problems if each.text != differ)
    with connect(settings.store_url, timeout_s=TIMEOUT_S) as client:
        yield from clock(client)
        yield from processes(report.answer.processes)
        yield from workers(client, report.answer.processes)
    if settings.alert_url:
        refused = [*refused_url(settings, settings.alert_url)]
        yield from refused or address_refusals(settings, settings.alert_url)


def as_workers(settings: Settings, found: Iterable[Process]) -> Settings:
    """Return the settings with those values that a worker has reported.

    Its environment may be another one than that of the command.
    """
    # Older versions do not report their settings.
    workers = (each.shared for each in found if each.role == "worker" and each.shared)
    reported = next(workers, {})
    values = {
        v.field: v.parse(reported[v.name])
        for v in declared(EngineSettings)
        if v.name in reported and not v.mask
    }
    return replace(settings, **values)


def refused_url(settings: Settings, url: str) -> Iterator[Banner]:
    """Check whether the APIs refuse a URL.

    Args:
        settings: those of the workers.
    """
    try:
        AddressPolicy.of(settings).read(url)
    except BadDestination as err:
        ports = ",".join(map(str, settings.destination_ports))
        command = f"export SCHED_DESTINATION_PORTS={ports},PORT" if ports else ""
        yield Banner(REFUSED.format(url, err), command)


def refused_address(settings: Settings, url: str) -> Iterator[Banner]:
    """Say why workers have refused to connect to the host of a URL.

    Args:
        settings: those of the workers.
    """
    origin = AddressPolicy.of(settings).read(url).origin
    closed = Banner(REFUSED.format(origin, CLOSED))
    yield from [*address_refusals(settings, url)] or [closed]


def address_refusals(settings: Settings, url: str) -> Iterator[Banner]:
    """Check whether workers refuse to connect to the host of a URL.

    Args:
        settings: those of the workers.
    """
    policy = AddressPolicy.of(settings)
    destination = policy.read(url)
    try:
        addresses = _addresses(destination)
    except OSError as err:
        yield Banner(NOT_FOUND.format(destination.origin, err.strerror))
        return
    reasons = {each: policy.refusal(each, destination.port) for each in addresses}
    refused = {each: reason for each, reason in reasons.items() if reason is not None}
    for address, reason in refused.items():
        what = f"{address} is refused, {reason}; "
        if reason in NEVER:
            yield Banner(REFUSED.format(destination.origin, what + NO_SETTING))
        else:
            networks = ",".join(map(str, (*settings.allow_networks, address)))
            command = f"export SCHED_ALLOW_NETWORKS={networks}"
            yield Banner(REFUSED.format(destination.origin, what + ALLOW), command)


def _addresses(destination: Destination) -> list[str]:
    found = socket.getaddrinfo(destination.host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
