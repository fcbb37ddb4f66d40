"""Cells for tests of function libraries, with one or two versions of the code."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from scheduler_api.core.store import epoch_memory
from scheduler_api.core.store.epoch import claim_database
from tests.procfile import PROCFILE
from tests.system.cell import Cell
from tests.system.processes import ROOT, Process, wait_until
from typing import Any

PACKAGES = ("scheduler_api", "workers")
CHANGED_FILE = Path("scheduler_api", "core", "store", "lua", "functions", "claim.lua")
PROGRAM = """\
import redis, scheduler_api, sys, workers
from scheduler_api.core.store.cell import Cell
print(scheduler_api.__file__, workers.__file__)
print(Cell(redis.Redis.from_url(sys.argv[1]), sys.argv[2]).library.name)
"""


def libraries(client: Redis) -> set[str]:
    """The names of the function libraries on a server that have functions for events.

    The library that only remembers the epoch is left out.
    """
    replies: list[Any] = client.function_list()
    fields = [dict(zip(reply[::2], reply[1::2], strict=True)) for reply in replies]
    names = {library[b"library_name"].decode() for library in fields}
    return {name for name in names if not name.startswith(epoch_memory.NAME)}


def copy_code(folder: Path) -> Path:
    """Copy the code, with one more line of Lua; return the folder."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package)
    with (folder / CHANGED_FILE).open("a") as file:
        file.write("-- another version\n")
    return folder


class LibraryCell(Cell):
    """A cell that can list the function libraries of its store."""

    @property
    def library(self) -> str:
        """The name of the library of the code under test."""
        return self.events.cell.library.name

    def start_store(self) -> None:
        """Start the store; assign its database to this cell as `scripts/up` does."""
        super().start_store()
        claim_database(self.client, self.prefix)

    def loaded(self) -> set[str]:
        """The names of all libraries in the store."""
        return libraries(self.client)

    def delete_other_libraries(self) -> int:
        """Run the chore that deletes unused libraries; return how many it deleted."""
        queue = Queue("housekeeping", connection=self.client, serializer=JSONSerializer)
        job = queue.enqueue("workers.chores.libraries")
        wait_until(lambda: job.get_status() == "finished")
        return int(job.return_value())


class TwoVersions(LibraryCell):
    """A cell that can also run processes of a second version of the code.

    The second version is a copy of the code with one more line of Lua.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, **settings)
        self._copy = copy_code(folder / "copy")
        # `python -m` and gunicorn import from the working directory, `rq` from
        # PYTHONPATH; both take precedence over the editable install.
        self._copy_environ = {**self.environ, "PYTHONPATH": str(self._copy)}
        self.other_library = self._library_of_copy()

    def _library_of_copy(self) -> str:
        """The name of the copy's library.

        Raises: AssertionError, if Python did not import the copy.
        """
        *files, name = subprocess.run(
            [sys.executable, "-c", PROGRAM, self.environ["REDIS_URL"], self.prefix],
            cwd=self._copy,
            env=self._copy_environ,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.split()
        assert all(Path(file).is_relative_to(self._copy) for file in files), files
        return name

    def start_other(self, *names: str) -> None:
        """Start processes of the copy. The names have the same form as for `start`."""
        for name in names:
            line = PROCFILE[name.partition("-")[0]]
            self.processes[name] = process = Process(
                ["sh", "-c", f"cd {shlex.quote(str(self._copy))} && exec {line}"],
                environ=self._copy_environ,
                log=self._copy / f"{name}.log",
            )
            process.start()
        for name in names:
            self.wait_started(name)
