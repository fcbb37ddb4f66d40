"""Cells whose libraries are looked at, also with another version of the code beside."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer
from scheduler_api.core.store.epoch import take_database
from tests.system.cell import PROCFILE, Cell
from tests.system.processes import ROOT, Process, wait_until
from typing import Any

PACKAGES = ("scheduler_api", "workers")
CHANGED = Path("scheduler_api", "core", "store", "lua", "functions", "claim.lua")
TELL = """\
import redis, scheduler_api, sys, workers
from scheduler_api.core.store.cell import Cell
print(scheduler_api.__file__, workers.__file__)
print(Cell(redis.Redis.from_url(sys.argv[1]), sys.argv[2]).library.name)
"""


def libraries(client: Redis) -> set[str]:
    """The names of all function libraries that a server knows."""
    found: list[Any] = client.function_list()
    fields = [dict(zip(each[::2], each[1::2], strict=True)) for each in found]
    return {each[b"library_name"].decode() for each in fields}


class LibraryCell(Cell):
    """A cell that tells which function libraries its store knows."""

    @property
    def library(self) -> str:
        """The library of the code under test."""
        return self.events.cell.library.name

    def start_store(self) -> None:
        """As any cell's; then the store is this cell's, as `scripts/up` has it."""
        super().start_store()
        take_database(self.client, self.prefix)

    def loaded(self) -> set[str]:
        """The names of all libraries that the store knows."""
        return libraries(self.client)

    def delete_other_libraries(self) -> int:
        """Have the chores process do it, as the clock would; answers how many."""
        queue = Queue("housekeeping", connection=self.client, serializer=JSONSerializer)
        job = queue.enqueue("workers.chores.libraries")
        wait_until(lambda: job.get_status() == "finished")
        return int(job.return_value())


class TwoVersions(LibraryCell):
    """A cell on which a copy of the code runs as well, with one more line of Lua."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, **settings)
        self._copy = folder / "copy"
        for package in PACKAGES:
            shutil.copytree(ROOT / package, self._copy / package)
        with (self._copy / CHANGED).open("a") as file:
            file.write("-- another version\n")
        # `python -m` and gunicorn look into the folder that they run in, `rq` into this
        # path; the editable install comes after both.
        self._copy_environ = {**self.environ, "PYTHONPATH": str(self._copy)}
        self.other_library = self._ask_copy()

    def _ask_copy(self) -> str:
        """The copy's library; fails if it is not the copy that answers."""
        *places, name = subprocess.run(
            [sys.executable, "-c", TELL, self.environ["REDIS_URL"], self.prefix],
            cwd=self._copy,
            env=self._copy_environ,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.split()
        assert all(Path(each).is_relative_to(self._copy) for each in places), places
        return name

    def start_other(self, *names: str) -> None:
        """As `start`, of the copy."""
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
