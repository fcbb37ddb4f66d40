"""The signs of life of all processes of a cell."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.errors import ForeignDatabase, UnknownLayout
from scheduler_api.core.ids import nonce
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.clock_step import ClockStep
from scheduler_api.core.store.epoch import claim_database
from scheduler_api.core.store.memory import has_no_room

log = logging.getLogger("scheduler.process")

INTERVAL_S = 2.0
# A process that has not reported for this long has ended.
TTL_MS = 10_000
# It is kept for this long, so that alerts can tell that it is gone.
KEPT_MS = 60_000
# A role none of whose processes has reported for this long is missing.
ROLE_TTL_MS = 5_000
# Longer than the interval of the ticker's reports, which renew it.
FULL_MS = 5_000
# A step of the store's clock is shown for this long, unless an operator must accept it.
CLOCK_STEP_MS = 3_600_000

# The command that starts a process of a role.
RUN = {
    "ticker": "python -m workers.ticker",
    "worker": "rq worker -S json -w workers.DeliveryWorker deliveries",
    "clock": "python -m workers.clock",
    "chores": "rq worker -S json -w workers.ChoresWorker housekeeping",
}

# What a process does at the moment, such as the number of its events in flight.
Load = Mapping[str, int | bool]
IDLE: Load = {}
# The load of a process that was asked to end.
ENDED = "ended"


@dataclass(frozen=True)
class Process:
    """A running process, as it last reported.

    `settings` is a digest of the settings that must be the same in all processes, and
    `shared` has those of them that are not the defaults, with digests of secrets.
    `since_ms` is the time of its first report, and `seen_ms` that of the last one.
    """

    role: str
    host: str
    pid: int
    version: str
    settings: str
    load: Load
    since_ms: int
    seen_ms: int
    # Empty if an older version has reported.
    shared: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Whether the process was asked to end, and has."""
        return ENDED in self.load


class SignOfLife:
    """Reports that this process runs, and what it does."""

    def __init__(
        self,
        cell: Cell,
        role: str,
        *,
        settings: str,
        shared: Mapping[str, str],
    ) -> None:
        """
        Args:
            settings, shared: as in `Process`.
        """
        self._cell = cell
        self._options: dict[str, object] = {
            "process": nonce(),
            "role": role,
            "ttl_ms": KEPT_MS,
        }
        self._lock = threading.Lock()
        self._has_ended = False
        self._report: dict[str, object] = {
            "role": role,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": _version(),
            "settings": settings,
            "shared": dict(shared),
        }

    def report(
        self,
        load: Load = IDLE,
        *,
        is_full: bool = False,
        is_working: bool = True,
        step: ClockStep | None = None,
        keeps_step: bool = False,
    ) -> None:
        """Report; works in a full store too. Redis: report_alive, atomic.

        Args:
            is_full: whether the store has to refuse new events.
            is_working: whether the process does the work of its role.
            step: a step of the store's clock.
            keeps_step: whether the step is kept until an operator accepts it.
        """
        options: dict[str, object] = dict(self._options)
        if is_working:
            options["role_ttl_ms"] = ROLE_TTL_MS
        if is_full:
            options["full_ms"] = FULL_MS
        if step is not None:
            options["clock_step"] = str(step)
            options |= {} if keeps_step else {"clock_step_ms": CLOCK_STEP_MS}
        with self._lock:
            if not self._has_ended:
                self._send(options, load)

    def _send(self, options: Mapping[str, object], load: Load) -> None:
        text = json.dumps(self._report | {"load": dict(load)})
        self._cell.call("report_alive", options, [text])

    def end(self) -> None:
        """Report that this process was asked to end; it reports nothing afterwards."""
        with self._lock:
            self._has_ended = True
            with suppress(RedisError):
                self._send(self._options, {ENDED: True})

    def report_forever(self, *, high_water_percent: int) -> None:
        """Report every two seconds, also after the store was unreachable.

        If the store has no room for new events, report that too: the ticker may be
        away.

        Args:
            high_water_percent: as in `EngineSettings`.
        """
        is_checked = False
        while True:
            try:
                if not is_checked:
                    claim_database(self._cell.client, self._cell.prefix)
                    is_checked = True
                memory = self._cell.client.info("memory")
                is_full = has_no_room(memory, high_water_percent=high_water_percent)
                self.report(is_full=is_full)
            except (RedisError, ForeignDatabase, UnknownLayout) as err:
                log.warning(logfmt.line("process.not_reported", problem=err))
            time.sleep(INTERVAL_S)


def read_processes(stored: Mapping[bytes, bytes], *, now_ms: int) -> list[Process]:
    """Return the running processes in the hash `keys.processes`, by role and age."""
    found = read_with_gone(stored, now_ms=now_ms)
    recent = (p for p in found if abs(now_ms - p.seen_ms) <= TTL_MS)
    return [p for p in recent if not p.has_ended]


def read_with_gone(stored: Mapping[bytes, bytes], *, now_ms: int) -> list[Process]:
    """Return the running processes, and those that ended within the last minute."""
    found = [_read(value) for value in stored.values()]
    recent = (p for p in found if p and abs(now_ms - p.seen_ms) <= KEPT_MS)
    return sorted(recent, key=lambda p: (p.role, p.since_ms, p.pid))


def _read(value: bytes) -> Process | None:
    """Return a stored process; None if another version stored it in another form."""
    since, _, rest = value.partition(b" ")
    seen, _, report = rest.partition(b" ")
    try:
        fields = json.loads(report)
        return Process(since_ms=int(since), seen_ms=int(seen), **fields)
    except (ValueError, TypeError):
        return None


def differ_since_ms(processes: list[Process]) -> int | None:
    """Return since when processes have had different settings; None if they agree."""
    first_ms: dict[str, int] = {}
    for each in processes:
        first_ms[each.settings] = min(
            first_ms.get(each.settings, each.since_ms), each.since_ms
        )
    return max(first_ms.values()) if len(first_ms) > 1 else None


@cache
def _version() -> str:
    try:
        return version("scheduler_api")
    except PackageNotFoundError:
        return "unknown"
