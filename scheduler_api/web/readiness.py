"""Checks for `/readyz` whether the store and all processes of the cell can work."""

import logging
import redis
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    InvalidResponse,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
)
from scheduler_api.core import logfmt, timestamps
from scheduler_api.core.errors import ForeignDatabase, UnknownLayout
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.clock_step import ClockStep
from scheduler_api.core.store.connection import RefusedCertificate
from scheduler_api.core.store.epoch import EpochWatch, claim_database
from scheduler_api.core.store.fitness import NO_LONGER_PERSISTENT, Persistence
from scheduler_api.core.store.memory import has_no_room
from scheduler_api.core.store.processes import (
    Process,
    SignOfLife,
    differ_since_ms,
    read_processes,
)
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.encryption import WrongSecretKey
from typing import Any

log = logging.getLogger("scheduler.web")

# The name in `Flask.extensions` of the `SignOfLife` of the process.
EXTENSION = "sign_of_life"
# Likewise, of its `EpochWatch`.
WATCH = "epoch_watch"
# Likewise, of its `Readiness`.
READINESS = "readiness"
ROLES = ("ticker", "worker")
# If the store hangs, the check does not. A store in another region needs several round
# trips of tens of ms.
TIMEOUT_S = 1.0
SETTINGS_MAY_DIFFER_MS = 300_000

# How many characters of an error code a reason contains.
MAX_CODE = 40

STORE_AWAY = "the store does not answer"
STORE_HANGS = f"{STORE_AWAY}: timed out"
STORE_CHANGED = (
    "the store was emptied or replaced: accept its epoch, or restore its data"
)
STORE_OLDER = "the store lost its newest data: accept it as it is, or restore its data"
STORE_LOST_TAIL = (
    "the store has lost its newest {} s: what was accepted in them is lost"
)
# A failover may lose a second; a store that is older than this may not be the newest.
LONG_TAIL_MS = 60_000
STORE_REPLICA = (
    "the store is a replica, which refuses or loses writes: connect to its primary"
)
STORE_EVICTING = "the store may evict keys: set its maxmemory-policy to noeviction"
STORE_REFUSES = "the store refuses writes"
STORE_FAILS = "the store replies with an error"
NO_STORE = "the server at REDIS_URL is not a Redis server"
NO_FUNCTIONS = "the store is too full to load its functions: raise its memory limit"
# The causes of errors that the client has classes for. A class precedes its base class.
REASONS: dict[type[redis.RedisError], str] = {
    AuthenticationError: "the store refuses the user or password in REDIS_URL",
    NoPermissionError: "the user in REDIS_URL lacks permissions in the store",
    BusyLoadingError: "the store is loading its data",
    OutOfMemoryError: NO_FUNCTIONS,
    ReadOnlyError: STORE_REPLICA,
    InvalidResponse: NO_STORE,
}
# The causes of other errors, by error code.
REFUSALS = {
    "MISCONF": "it cannot save its data to disk",
    "NOREPLICAS": "it has too few replicas",
    "MASTERDOWN": "its primary is down",
}
STORE_FULL = (
    "the store is full: new events are refused, so clients have to send them later"
)
STORE_AT_LIMIT = (
    "the store is full, at its memory limit: new events are refused, so clients have to"
    " send them later, and new processes cannot start"
)
CLOCK_STEPPED = "the store's clock has stepped by {} s"
CLOCK_STOPS = f"{CLOCK_STEPPED}: deliveries wait until an operator accepts it"
SUSPECTED_WORKERS = (
    "{} of {} workers can reach no destination: "
    "check their networks, name servers and limits of open files"
)
SLOW_WORKERS = (
    "slow receivers take more than half of the deliveries in {} of {} workers"
)
SETTINGS_DIFFER = (
    "processes have had different settings for more than five minutes: "
    "`scheduler doctor` says which"
)

NOBODY_WATCHES = "neither the clock nor the chores run, so nobody sends alerts"
WATCHING_ROLES = {"clock", "chores"}


@dataclass(frozen=True)
class Answer:
    """The result of a check. `oldest_due_ms` is an age; None if it is unknown."""

    missing: list[str]
    degraded: list[str] = field(default_factory=list)
    oldest_due_ms: int | None = None
    processes: list[Process] = field(default_factory=list)

    def render(self, *, with_processes: bool) -> tuple[dict[str, object], int]:
        """Return the body and the status of the response."""
        status = (
            "unavailable" if self.missing else "degraded" if self.degraded else "ok"
        )
        body: dict[str, object] = {"status": status}
        if self.missing:
            body["missing"] = self.missing
        if self.degraded:
            body["degraded"] = self.degraded
        if self.oldest_due_ms is not None:
            body["oldestDueAgeMs"] = self.oldest_due_ms
        if with_processes:
            body["processes"] = [*map(_render, self.processes)]
        return body, 503 if self.missing else 200


@dataclass(frozen=True)
class _Seen:
    """What one reading of the store has found."""

    epoch: bytes | None
    accepted_epoch: bytes | None
    newest_id: int
    alive: dict[str, bool]
    info: dict[str, Any]
    is_marked_full: bool
    processes: list[Process]
    oldest_due_ms: int
    now_ms: int
    clock_step: ClockStep | None
    lost_tail_ms: int


class Readiness:
    """Checks the store and the processes.

    Remembers the newest id of the store, to notice that the store was set back.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        high_water_percent: int,
        stops_on_clock_step: bool,
        tenants: Tenants,
        sign: SignOfLife | None,
        watch: EpochWatch,
        sends_alerts: bool = False,
    ) -> None:
        """
        Args:
            cell: with a client that does not retry, so that the first error is seen.
            high_water_percent: as in `EngineSettings`.
            stops_on_clock_step: likewise.
            sign: of this process; None: it is no process of the cell, and only reads.
            watch: of the epoch.
            sends_alerts: whether alerts are wanted.
        """
        self._cell = cell
        self._high_water_percent = high_water_percent
        self._stops_on_clock_step = stops_on_clock_step
        self._tenants = tenants
        self._sign = sign
        self._is_checked = False
        self._watch = watch
        self._sends_alerts = sends_alerts
        self._persistence = Persistence()
        self._newest_id = 0
        self._running: Future[Answer] | None = None

    def check(self) -> Answer:
        """Check the store and the processes; wait for the result for at most a second.

        If the previous check still runs, wait for its result. Redis: one round trip,
        and one call of report_alive or a PING.
        """
        running = self._running
        if running is None or running.done():
            running = self._running = _in_thread(self._check)
        try:
            return running.result(TIMEOUT_S)
        except TimeoutError:
            return Answer([STORE_HANGS])

    def _check(self) -> Answer:
        try:
            seen = self._inspect()
        except redis.RedisError as err:
            return Answer([reason_of(err)])
        missing = self._data_faults(seen)
        missing += _kind_faults(seen) or self._write_faults()
        if seen.clock_step and self._stops_on_clock_step:
            missing.append(CLOCK_STOPS.format(seen.clock_step.seconds))
        missing += [role for role, is_alive in seen.alive.items() if not is_alive]
        return Answer(missing, self._degraded(seen), seen.oldest_due_ms, seen.processes)

    def _inspect(self) -> _Seen:
        prefix = self._cell.prefix
        pipe = self._cell.client.pipeline(transaction=False)
        pipe.get(keys.epoch(prefix))
        pipe.get(keys.accepted_epoch(prefix))
        pipe.get(keys.sequence(prefix))
        for role in ROLES:
            pipe.exists(keys.alive(prefix, role))
        pipe.info("memory", "replication", "persistence")
        pipe.exists(keys.full(prefix))
        pipe.hgetall(keys.processes(prefix))
        pipe.zrange(keys.due(prefix), 0, 0, withscores=True)
        pipe.get(keys.clock_step(prefix))
        pipe.get(keys.lost_tail(prefix))
        pipe.time()
        replies = pipe.execute(raise_on_error=False)
        for reply in replies:
            # `execute` itself would put the command before the error code.
            if isinstance(reply, redis.RedisError):
                raise reply
        epoch, accepted, newest, *alive, info, full, stored, due, step, tail, clock = (
            replies
        )
        now_ms = clock[0] * 1000 + clock[1] // 1000
        return _Seen(
            epoch=epoch,
            accepted_epoch=accepted,
            newest_id=int(newest or 0),
            alive=dict(zip(ROLES, map(bool, alive), strict=True)),
            info=info,
            is_marked_full=bool(full),
            processes=read_processes(stored, now_ms=now_ms),
            oldest_due_ms=max(0, now_ms - int(due[0][1])) if due else 0,
            now_ms=now_ms,
            clock_step=ClockStep.parse(step),
            lost_tail_ms=int(tail or 0),
        )

    def _data_faults(self, seen: _Seen) -> list[str]:
        """Check that the store has not lost data since the last check."""
        expected = self._watch.expected
        if not self._watch.judge(seen.epoch, seen.accepted_epoch):
            return [STORE_CHANGED]
        if self._watch.expected != expected:
            self._newest_id = 0
        is_older = seen.newest_id < self._newest_id
        self._newest_id = max(seen.newest_id, self._newest_id)
        is_older = is_older or seen.lost_tail_ms > LONG_TAIL_MS
        return [STORE_OLDER] if is_older else []

    def _write_faults(self) -> list[str]:
        """Check that the store belongs to this cell and takes writes.

        The process already checks the store when it starts, but the store may be
        unreachable at that time. So this method repeats the check until it succeeds
        once. The write is the report of this process. The call loads the functions if
        they are missing. A PING is refused like a write if the store cannot save its
        data.
        """
        try:
            if not self._is_checked:
                claim_database(self._cell.client, self._cell.prefix)
                self._tenants.check_key()
            self._is_checked = True
            if self._sign is None:
                self._cell.client.ping()
            else:
                self._sign.report()
        except (WrongSecretKey, ForeignDatabase, UnknownLayout) as err:
            return [str(err) or str(err.__doc__)]
        except redis.RedisError as err:
            return [reason_of(err)]
        return []

    def _degraded(self, seen: _Seen) -> list[str]:
        found = []
        if has_no_room(seen.info, high_water_percent=100):
            found.append(STORE_AT_LIMIT)
        elif seen.is_marked_full or has_no_room(
            seen.info, high_water_percent=self._high_water_percent
        ):
            found.append(STORE_FULL)
        if self._persistence.has_ended(seen.info):
            found.append(NO_LONGER_PERSISTENT)
        if seen.clock_step and not self._stops_on_clock_step:
            found.append(CLOCK_STEPPED.format(seen.clock_step.seconds))
        if 0 < seen.lost_tail_ms <= LONG_TAIL_MS:
            found.append(STORE_LOST_TAIL.format(seen.lost_tail_ms / 1000))
        workers = [each for each in seen.processes if each.role == "worker"]
        if slow := sum(bool(each.load.get("slow")) for each in workers):
            found.append(SLOW_WORKERS.format(slow, len(workers)))
        if suspected := sum(bool(each.load.get("suspected")) for each in workers):
            found.append(SUSPECTED_WORKERS.format(suspected, len(workers)))
        since_ms = differ_since_ms(seen.processes)
        if since_ms is not None and seen.now_ms - since_ms > SETTINGS_MAY_DIFFER_MS:
            found.append(SETTINGS_DIFFER)
        roles = {each.role for each in seen.processes}
        if self._sends_alerts and not roles & WATCHING_ROLES:
            found.append(NOBODY_WATCHES)
        return found


def _in_thread(check: Callable[[], Answer]) -> "Future[Answer]":
    future: Future[Answer] = Future()

    def run() -> None:
        try:
            future.set_result(check())
        except Exception as err:
            future.set_exception(err)

    threading.Thread(target=run, name="readiness", daemon=True).start()
    return future


def _kind_faults(seen: _Seen) -> list[str]:
    """Check that the store is a primary that evicts nothing."""
    found = []
    if seen.info.get("role") == "slave":
        found.append(STORE_REPLICA)
    if seen.info.get("maxmemory_policy", "noeviction") != "noeviction":
        found.append(STORE_EVICTING)
    return found


def reason_of(err: redis.RedisError) -> str:
    """Return why the store cannot be used."""
    if isinstance(err, RefusedCertificate):
        return str(err)
    for kind, reason in REASONS.items():
        if isinstance(err, kind):
            return reason
    for code, reason in REFUSALS.items():
        if str(err).startswith(code):
            return f"{STORE_REFUSES}: {reason}"
    if isinstance(err, redis.TimeoutError):
        return STORE_HANGS
    if not isinstance(err, redis.ConnectionError):
        log.error(logfmt.line("store.failed", problem=err))
        return f"{STORE_FAILS}: {str(err).partition(' ')[0][:MAX_CODE]}"
    cause = err.__cause__ or err.__context__
    text = cause.strerror if isinstance(cause, OSError) else None
    return f"{STORE_AWAY}: {text}" if text else STORE_AWAY


def _render(process: Process) -> dict[str, object]:
    return {
        "role": process.role,
        "host": process.host,
        "pid": process.pid,
        "version": process.version,
        "settings": process.settings,
        "since": timestamps.to_iso(process.since_ms),
        "lastSeen": timestamps.to_iso(process.seen_ms),
        "load": dict(process.load),
    }
