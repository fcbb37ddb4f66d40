"""A system whose processes tests can start, kill and freeze one by one."""

import os
import sys
from pathlib import Path
from scheduler_api.core.model import Owner
from scheduler_api.core.store.epoch import claim_database
from scheduler_api.dialects import outbound
from scheduler_api.settings import from_env
from scheduler_api.up import embedded_store
from scheduler_api.up.data_folder import DataFolder, wait_for_store
from tests.procfile import PROCFILE
from tests.system.observer import CREATED_WITHIN_MS, Observer
from tests.system.processes import Process, free_port, wait_until
from types import TracebackType
from typing import Self, cast

DELIVERY_WORKER = "rq worker -S json -w workers.DeliveryWorker"
# The command lines of workers that exit by themselves, without a signal.
EXITING_COMMANDS = {
    "burst": f"{DELIVERY_WORKER} --burst deliveries",
    "one job": f"{DELIVERY_WORKER} --max-jobs 1 deliveries",
    "short idle time": f"{DELIVERY_WORKER} --max-idle-time 1 deliveries",
    "two queues": f"{DELIVERY_WORKER} deliveries others",
}
OTHER_COMMANDS = {"stock": "rq worker -S json deliveries", **EXITING_COMMANDS}

WARM_UP_EVENTS = 400
# Settings for leases that expire within seconds.
SHORT_LEASES = {
    "SCHED_LEASE_MS": "2000",
    "SCHED_RENEW_INTERVAL_MS": "500",
    "SCHED_QUIET_MS": "2000",
    "SCHED_OFFER_LEASE_MS": "1000",
}


class Cell(Observer):
    """Context manager that runs a store and a receiver, and creates a tenant.

    Tests start the processes of the Procfile with `start`. The processes get `settings`
    as environment variables, and inherit no variables. Data and logs are in `folder`.
    """

    # The address of the store.
    store_host = "127.0.0.1"

    def __init__(
        self, folder: Path, *, receiver_host: str = "127.0.0.1", **settings: str
    ) -> None:
        self._data = DataFolder(folder / "data")
        self.folder = folder
        store_url = self._data.store_url().replace("127.0.0.1", self.store_host)
        self.environ = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
            "PORT": str(free_port()),
            "PYTHONUNBUFFERED": "1",
            "REDIS_URL": store_url,
            "SCHED_ALLOW_NETWORKS": "127.0.0.0/8",
            "SCHED_HOST": "127.0.0.1",
            "SECRET_KEY": self._data.secret_key(),
            **settings,
        }
        super().__init__(from_env(self.environ), receiver_host=receiver_host)
        self.store = Process(
            self.command_of(
                "store",
                [str(embedded_store.find_program()), str(self._data.store_conf)],
            ),
            environ=self.environ | embedded_store.allocator(),
            log=folder / "store.log",
            pass_fds=(self._data.lock_fd,),
        )
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> Self:
        self.start_store()
        claim_database(self.client, self.prefix)
        self.owner, self.token = self.add_tenant("one")
        return self

    def add_tenant(self, name: str) -> tuple[Owner, str]:
        """Create a tenant; return its owner in Jiter, and its token."""
        tenant = outbound.tenants(self.events.cell, self.settings).create(name)
        return Owner(tenant.id, "jiter"), tenant.token

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in (*self.processes.values(), self.store):
            process.kill_tree()
        self.close()
        os.close(self._data.lock_fd)

    def __getitem__(self, name: str) -> Process:
        return self.processes[name]

    def command_of(self, name: str, command: list[str]) -> list[str]:
        """Return the command that starts a process; subclasses may change it."""
        return command

    def start_store(self) -> None:
        """Start the store on its existing data, and wait until the store answers."""
        self.store.start()
        answers = wait_for_store(
            self.client, should_stop=lambda: not self.store.is_running()
        )
        assert answers, self.store.output

    def start(self, *names: str, **settings: str) -> None:
        """Start processes named `<command>` or `<command>-<suffix>`, and wait for them.

        A command is a name in the Procfile or in `OTHER_COMMANDS`. The processes get
        `settings` as further environment variables.
        """
        self.launch(*names, **settings)
        for name in names:
            self.wait_started(name)

    def launch(self, *names: str, **settings: str) -> None:
        """Start processes as `start` does, but do not wait for them."""
        for name in names:
            line = (PROCFILE | OTHER_COMMANDS)[name.partition("-")[0]]
            self.processes[name] = process = Process(
                self.command_of(name, ["sh", "-c", f"exec {line}"]),
                environ=self.environ | settings,
                log=self.folder / f"{name}.log",
            )
            process.start()

    def warm_up(self) -> None:
        """Let the workers use many connections to the receiver at once.

        A worker begins with a few connections to an origin.
        """
        at_ms = self.events.cell.now_ms() + CREATED_WITHIN_MS
        labels = [f"warm-up-{number}" for number in range(WARM_UP_EVENTS)]
        self.create_at(dict.fromkeys(labels, at_ms), query="delay_ms=50")
        self.wait_drained()
        self.receiver.sync()
        self.receiver.arrivals.clear()

    def wait_started(self, name: str) -> None:
        """Wait until a process is ready to work."""
        process = self.processes[name]

        def is_up() -> bool:
            if name in EXITING_COMMANDS:
                return True
            assert process.is_running(), process.output
            match name.partition("-")[0]:
                case "web":
                    return self.is_healthy()
                case "worker" | "stock" | "chores":
                    return process.pid in self.rq_pids()
                case role:
                    return f"{role}.started" in process.output

        wait_until(is_up, within_s=60)

    def rq_pids(self) -> set[int]:
        """The process ids of the workers registered with RQ."""
        members = cast(set[bytes], self.client.smembers("rq:workers"))
        pipe = self.client.pipeline(transaction=False)
        for key in members:
            pipe.hget(key.decode(), "pid")
        return {int(pid) for pid in pipe.execute() if pid is not None}

    def kill_worker(self, name: str = "worker") -> set[str]:
        """Kill a worker and record its attempts in flight; return their event ids.

        The attempts in flight of all other workers are recorded too.
        """
        self.processes[name].kill()
        return self.record_in_flight()
