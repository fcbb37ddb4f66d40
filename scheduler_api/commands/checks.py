"""What `doctor` checks, from the settings to a delivery."""

import redis
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from scheduler_api.commands.environment import PROGRAM
from scheduler_api.commands.reports import TIMEOUT_S, Reporter
from scheduler_api.core.delivery.destinations import (
    AddressPolicy,
    BadDestination,
    Destination,
)
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.core.store import keys, rq_workers
from scheduler_api.core.store.connection import connect
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
NO_CHORES = "No {} process runs, so nothing deletes old data or checks the store"
FOREIGN_WORKER = (
    "A worker on {} (process {}) is RQ's own, without our class: it delivers one event"
    " at a time, and without `-S json` none. Stop it, and start ours"
)
DIFFER = (
    "Processes have different settings, such as SCHED_ALLOW_NETWORKS: {}. Restart them"
    " with the same environment; compare the line `….started` in their logs"
)


REFUSED = "Workers refuse to deliver to {}: {} ({})"
# The settings that allow a destination, by the reason of its refusal.
ALLOWING = {
    "link-local": "no setting allows this address",
    "metadata": "no setting allows this address",
    "port not allowed": "add its port to SCHED_DESTINATION_PORTS",
}
ALLOW = "add its network to SCHED_ALLOW_NETWORKS"
NOT_FOUND = "The host name of {} has no address on this machine: {}"


def settings_faults(err: SettingsError) -> Iterator[Banner]:
    """Yield each variable that is wrong, with what is expected."""
    yield from map(Banner, str(err).splitlines())


def reach(settings: Settings) -> Iterator[Banner]:
    """Check that the store answers, is new enough, and has the data of a cell."""
    with connect(settings.store_url, timeout_s=TIMEOUT_S) as client:
        try:
            info = client.info("server")
            is_used = client.exists(keys.DATABASE_CELL)
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
    command = PING if reason.startswith(readiness.STORE_AWAY) else ""
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
    groups = defaultdict[str, list[str]](list)
    for each in found:
        groups[each.settings].append(f"{each.role} {each.pid} on {each.host}")
    if len(groups) > 1:
        named = "; ".join(f"{', '.join(each)} ({of})" for of, each in groups.items())
        yield Banner(DIFFER.format(named))


def workers(client: redis.Redis, found: Iterable[Process]) -> Iterator[Banner]:
    """Check that all workers are ours: RQ's own would take part of the deliveries."""
    ours = {(each.host, each.pid) for each in found}
    for each in rq_workers.read(client):
        if not each.is_ours and (each.host, each.pid) not in ours:
            yield Banner(FOREIGN_WORKER.format(each.host, each.pid), RUN["worker"])


def cell(settings: Settings, program: str = PROGRAM) -> Iterator[Banner]:
    """Check a store that answers, and the processes."""
    report = Reporter(settings, program).faults()
    # `processes` names them, and at once.
    differ = sentence(readiness.SETTINGS_DIFFER)
    yield from (each for each in report.problems if each.text != differ)
    with connect(settings.store_url, timeout_s=TIMEOUT_S) as client:
        yield from clock(client)
        yield from processes(report.answer.processes)
        yield from workers(client, report.answer.processes)
    if settings.alert_url:
        yield from delivery(settings, settings.alert_url)


def delivery(settings: Settings, url: str) -> Iterator[Banner]:
    """Check that the address policy allows a destination. Sends nothing."""
    policy = AddressPolicy.of(settings)
    try:
        destination = policy.read(url)
        addresses = _addresses(destination)
    except BadDestination as err:
        setting = "see SCHED_HTTPS_ONLY and SCHED_DESTINATION_PORTS"
        yield Banner(REFUSED.format(url, err, setting))
        return
    except OSError as err:
        yield Banner(NOT_FOUND.format(destination.origin, err.strerror))
        return
    for address in addresses:
        reason = policy.refusal(address, destination.port)
        if reason is not None:
            what = f"{address} is refused, {reason}"
            setting = ALLOWING.get(reason, ALLOW)
            yield Banner(REFUSED.format(destination.origin, what, setting))


def _addresses(destination: Destination) -> list[str]:
    found = socket.getaddrinfo(destination.host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
