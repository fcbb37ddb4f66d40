"""Scenarios of `scripts/chaos`: the units of systemd on several machines.

The store, its replica and the web process have machines of their own, each with a
Sentinel; there are two more machines for workers.
"""

import time
from chaos_load import IN_MS, wait_ready
from chaos_lost_data import written_since
from chaos_machines import ADDRESSES, FIRST, FRONT, SECOND, STORE, MachinesCell
from chaos_scenario import Scenario, in_cell
from collections.abc import Collection
from functools import partial
from pathlib import Path
from redis import Redis
from scheduler_api.up.embedded_store import find_program
from tests.deploys import units
from tests.system.load import Load
from tests.system.observer import Accepted
from tests.system.outages import SLOW
from tests.system.processes import ROOT, Process, wait_until
from tests.system.report import Report
from tests.system.versions import copy_code, libraries
from types import TracebackType
from typing import Any, Self, cast

REPLICA = "replica"
SENTINELS = (STORE, REPLICA, FRONT)
# In the order of docs/upgrade.md.
UPGRADED = (FIRST, SECOND, "ticker", "clock", "chores", "web")
SERVICES = {units.role_of(service): service for service in units.SERVICES}
PASSWORD = "hunter2"
STORE_PORT, SENTINEL_PORT = 6379, 26379
DOWN_AFTER_MS = 5_000
SENTINEL_CONF = f"""\
port {SENTINEL_PORT}
protected-mode no
sentinel monitor scheduler {ADDRESSES[STORE]} {STORE_PORT} 2
sentinel auth-pass scheduler {PASSWORD}
sentinel down-after-milliseconds scheduler {DOWN_AFTER_MS}
sentinel failover-timeout scheduler 10000
"""
# A client waits for each response, so several are needed for the rate.
CLIENTS, PER_S = 12, 25
ENOUGH = 200
# The replica lags for so long; the Sentinels must not notice it.
LAG_S = 2.0


class UnitsCell(MachinesCell):
    """A cell with the commands of the units, and a store with a replica and Sentinels.

    Attributes:
        code: the folder with the version that processes start from.
    """

    addresses = ADDRESSES | {REPLICA: "10.77.0.6"}

    def __init__(self, folder: Path, **settings: str) -> None:
        self.code = ROOT
        hosts = ",".join(
            f"{self.addresses[name]}:{SENTINEL_PORT}" for name in SENTINELS
        )
        super().__init__(
            folder,
            REDIS_URL=f"redis+sentinel://:{PASSWORD}@{hosts}/scheduler/0",
            RQ_CONNECTION_CLASS="workers.StoreClient",
            **settings,
        )
        self.replica = self._process(REPLICA, self._replica_command())
        self.sentinels = {
            name: self._process(f"sentinel-{name}", self._sentinel_command(name))
            for name in SENTINELS
        }

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in (*self.sentinels.values(), self.replica):
            process.kill_tree()
        super().__exit__(kind, err, trace)

    def _process(self, name: str, command: list[str]) -> Process:
        return Process(command, environ=self.environ, log=self.folder / f"{name}.log")

    def _store_command(self, *options: str) -> list[str]:
        keys = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
        port = ["--port", str(STORE_PORT), "--repl-diskless-sync-delay", "0"]
        conf = str(self._data.store_conf)
        return [str(find_program()), conf, *keys, *port, *options]

    def _replica_command(self) -> list[str]:
        folder = self.folder / REPLICA
        folder.mkdir()
        primary = [ADDRESSES[STORE], str(STORE_PORT)]
        files = ["--dir", str(folder), "--bind", "0.0.0.0"]
        command = self._store_command(*files, "--replicaof", *primary)
        return [*self.machines[REPLICA].prefix, *command]

    def _sentinel_command(self, name: str) -> list[str]:
        folder = self.folder / f"sentinel-{name}"
        folder.mkdir()
        conf = folder / "sentinel.conf"
        conf.write_text(f"dir {folder}\n{SENTINEL_CONF}")
        program = [str(find_program()), str(conf), "--sentinel"]
        return [*self.machines[name].prefix, *program]

    def command_of(self, name: str, command: list[str]) -> list[str]:
        """Run the command of the process's unit, on its machine."""
        if name == STORE:
            return super().command_of(name, self._store_command())
        service = SERVICES[name.partition("-")[0]]
        machine = name if name in self.machines else FRONT
        state = self.folder / "machines" / machine / "state"
        state.mkdir(exist_ok=True)
        variables = units.environ(service) | {
            "SCHED_STATE_DIR": str(state),
            "PYTHONPATH": str(self.code),
        }
        pairs = [f"{variable}={value}" for variable, value in variables.items()]
        started = ["env", f"--chdir={self.code}", *pairs, *units.command(service)]
        return super().command_of(name, started)

    def start_store(self) -> None:
        """Start the store, its replica and the Sentinels; wait until all are known."""
        for process in (self.replica, *self.sentinels.values()):
            process.start()
        super().start_store()
        for name in SENTINELS:
            wait_until(partial(self._knows_all, name), within_s=30)

    def _knows_all(self, name: str) -> bool:
        watched = self.watched_by(name)
        return (watched["num-slaves"], watched["num-other-sentinels"]) == (1, 2)

    def watched_by(self, name: str) -> dict[str, Any]:
        """Return what the Sentinel on a machine knows of the primary."""
        with Redis(self.addresses[name], SENTINEL_PORT) as sentinel:
            return cast(dict[str, Any], sentinel.sentinel_master("scheduler"))


class Clients:
    """Context manager: several clients, which create at most 300 events a second."""

    def __init__(self, cell: UnitsCell) -> None:
        self._cell = cell
        self._loads = [
            Load(cell, per_s=PER_S, in_ms=IN_MS, query=SLOW, name=f"client-{number}")
            for number in range(CLIENTS)
        ]
        self._started_s = time.monotonic()

    def __enter__(self) -> Self:
        for load in self._loads:
            load.__enter__()
        wait_until(lambda: len(self._cell.receiver.arrivals) >= ENOUGH, within_s=60)
        return self

    def __exit__(self, *_: object) -> None:
        for load in self._loads:
            load.__exit__()
        self._took_s = time.monotonic() - self._started_s

    @property
    def accepted(self) -> list[Accepted]:
        """The events that the system accepted."""
        return [event for load in self._loads for event in load.accepted]

    def wait_accepted(self, count: int) -> None:
        """Wait until so many more events are accepted."""
        enough = len(self.accepted) + count
        wait_until(lambda: len(self.accepted) >= enough, within_s=60)

    def wait_delivering(self) -> float:
        """Wait until an event created from now on is delivered.

        Returns: the wait beyond its delay, in seconds.
        """
        after_ms = time.time() * 1000 + IN_MS
        arrivals = self._cell.receiver.arrivals
        waited_s = wait_until(
            lambda: any(new.scheduled_ms > after_ms for new in arrivals[-ENOUGH:]),
            within_s=90,
        )
        return max(0.0, waited_s - IN_MS / 1000)

    def report(
        self, recovery_s: float | None = None, tail: Collection[str] = ()
    ) -> Report:
        """Wait until everything is delivered, and report what all clients have seen."""
        self._cell.wait_drained(within_s=90)
        refused = [after for load in self._loads for after in load.retry_after]
        others = [text for load in self._loads for text in load.unexpected]
        report = Report(
            self._cell.tally(self.accepted, tail=tail),
            {
                "events/s": round(len(self.accepted) / self._took_s),
                "responses 503": len(refused),
                "503, stored but not confirmed": refused.count(None),
                "requests without a response": sum(n.unanswered for n in self._loads),
            },
            recovery_s,
        )
        report.expect(
            not others, "the web process gives no other responses", found=others[:2]
        )
        return report


def upgrade(cell: UnitsCell) -> Report:
    """Each process is restarted with another version, one after the other."""
    cell.code = copy_code(cell.folder / "copy")
    _start_all(cell)
    cell.code = ROOT
    codes = {}
    with Clients(cell) as clients:
        for name in UPGRADED:
            clients.wait_accepted(ENOUGH)
            codes[name] = cell[name].terminate()
            cell.start(name)
        clients.wait_accepted(ENOUGH)
    report = clients.report()
    report.expect(not any(codes.values()), "each process exits with 0", found=codes)
    report.expect(len(libraries(cell.client)) == 2, "both versions have delivered")
    report.expect(report.tally.duplicates == 0, "no event is sent twice")
    report.expect(report.figures["responses 503"] == 0, "no request is refused")
    return report


def cut_off(cell: UnitsCell, *, for_s: int) -> Report:
    """A machine with a worker loses its network; then only it delivers."""
    _start_all(cell)
    with Clients(cell) as clients:
        cell.machines[FIRST].unplug()
        cell.record_in_flight()
        time.sleep(for_s)
        cell.machines[FIRST].plug()
        recovery_s = clients.wait_delivering()
        code = cell[SECOND].terminate()
        single_s = clients.wait_delivering()
    report = clients.report(recovery_s)
    report.figures["single worker after, s"] = round(single_s, 1)
    report.expect(code == 0, "the other worker exits with 0", found=code)
    report.expect(report.figures["responses 503"] == 0, "no request is refused")
    return report


def failover(cell: UnitsCell, *, may_lose: bool) -> Report:
    """The store and its Sentinel are killed while the replica lags, which takes over.

    Args:
        may_lose: whether the replica may lack what was accepted.
    """
    _start_all(cell)
    with Clients(cell) as clients:
        cut_ms = time.time() * 1000
        cell.cut(STORE, REPLICA)
        time.sleep(LAG_S)
        cell.sentinels[STORE].kill()
        cell.store.kill()
        recovery_s = clients.wait_delivering()
        cell.join(STORE, REPLICA)
        cell.sentinels[STORE].start()
        wait_until(lambda: cell.watched_by(STORE)["ip"] == cell.addresses[REPLICA])
        cell.store.start()
        follows_s = wait_until(lambda: _follows(cell), within_s=60)
        clients.wait_accepted(ENOUGH)
    tail = written_since(cell, clients.accepted, cut_ms - 500)
    report = clients.report(recovery_s, tail)
    report.figures["old primary follows after, s"] = round(follows_s, 1)
    report.expect(may_lose or not report.tally.lost, "no accepted event is lost")
    # A client should not repeat a request that is stored but not confirmed.
    unconfirmed = report.figures["503, stored but not confirmed"]
    report.expect(
        not (may_lose and unconfirmed), "each 503 that is not stored has a Retry-After"
    )
    return report


def _follows(cell: UnitsCell) -> bool:
    """Return whether the old primary has become a replica."""
    found: Any = cell.client.info("replication")
    return "slave0" in found and found["slave0"]["state"] == "online"


def _start_all(cell: UnitsCell) -> None:
    cell.start(*UPGRADED)
    wait_ready(cell)


scenario = partial(in_cell, cell=UnitsCell, machines=True)

SCENARIOS: dict[str, Scenario] = {
    "machines-upgrade": scenario(upgrade, "R-19 R-27"),
    "machines-cut-off": scenario(
        cut_off, "R-06 R-12", lambda n: {"for_s": n["away_s"]}
    ),
    "machines-failover": scenario(failover, "R-09 R-30", lambda _: {"may_lose": True}),
    "machines-failover-durable": scenario(
        failover,
        "R-09 R-30",
        lambda _: {"may_lose": False},
        SCHED_WAIT_FOR="replicas=1",
    ),
}
