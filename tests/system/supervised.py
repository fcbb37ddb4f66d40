"""A system supervised by `scheduler up`, which restarts processes that die."""

import os
import sys
from pathlib import Path
from scheduler_api.core.model import Owner
from scheduler_api.settings import from_env
from tests.system.observer import Observer
from tests.system.processes import Process, free_port, wait_until
from types import TracebackType
from typing import Self

UP = (sys.executable, "-m", "scheduler_api", "up")
GREETING = "Ctrl-C stops everything"


class Supervised:
    """Context manager that runs the system; `observer` gives access to the system."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._data = folder / "data"
        port = free_port()
        self._environ = {"PATH": os.defpath, "PORT": str(port), **settings}
        self._up = Process(
            [*UP, "--data", str(self._data), "--port", str(port)],
            environ=self._environ,
            log=folder / "up.log",
        )

    def __enter__(self) -> Self:
        self._up.start()
        wait_until(self._is_up, within_s=60)
        lines = (self._data / "credentials.env").read_text().splitlines()
        credentials = dict(line.split("=", 1) for line in lines)
        key = (self._data / "secret.key").read_text().strip()
        url = credentials["REDIS_URL"]
        environ = self._environ | {"REDIS_URL": url, "SECRET_KEY": key}
        self.observer = Observer(from_env(environ))
        self.observer.token = credentials["JITER_API_KEY"]
        self.observer.owner = Owner("1", "jiter")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.observer.close()
        self._up.kill_tree()

    def _is_up(self) -> bool:
        assert self._up.is_running(), self._up.output
        return GREETING in self._up.output

    def pids(self) -> dict[int, str]:
        """The command lines of the supervised processes, by process id."""
        found = {pid: _command_line(pid) for pid in self._up.children()}
        return {pid: line for pid, line in found.items() if line}


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""
