"""What is remembered of a store outside its data: a restart does not forget it.

There are two places. The server has a library of functions whose name contains the
epoch and how many million ids were issued; FLUSHALL does not delete it. And if there is
a folder for it, a file beside the store has the epoch, the last id and the last claim;
it remains if the server starts without its data.
"""

import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from redis.exceptions import ResponseError
from scheduler_api.core import logfmt
from scheduler_api.core.store import functions
from scheduler_api.core.store.cell import Cell

log = logging.getLogger("scheduler.store")

NAME = "scheduler_epoch"
MILLION = 1_000_000


@dataclass(frozen=True)
class Memory:
    """What a process knew of its store.

    Attributes:
        epoch: '' if nothing is known.
        newest_id: no higher id was issued; as far as the process has seen.
        server: the run id of the server.
        claimed_ms: the time of the last claim.
    """

    epoch: str = ""
    newest_id: int = 0
    server: str = ""
    claimed_ms: int = 0


class StoreMemory:
    """Remembers a store for the processes that start later."""

    def __init__(self, cell: Cell, folder: str) -> None:
        """
        Args:
            folder: for the file; '' for none.
        """
        self._cell = cell
        name = cell.prefix.strip("{}:")
        self._file = Path(folder, f"store-{name}.json") if folder else None
        self._stored: Memory | None = None
        self._loaded = ""

    def load(self) -> Memory:
        """Return what is remembered; empty if nothing is. Redis: FUNCTION LIST."""
        found = self._read()
        for name in self._libraries():
            epoch, millions = name.split("_")[-2:]
            newest_id = max(found.newest_id, (int(millions) + 1) * MILLION)
            epoch = found.epoch or bytes.fromhex(epoch).decode()
            found = replace(found, epoch=epoch, newest_id=newest_id)
        return found

    def keep(self, memory: Memory, *, is_lost: bool) -> None:
        """Remember this in place of what was remembered before.

        Errors of the file are logged, and those of a store that takes no library
        ignored. Redis: only for a new epoch, a million new ids, and a lost store.

        Args:
            is_lost: whether this is the memory of a store in place of which there is
                another one now. Also processes that start later must know.
        """
        name = self._library(memory)
        if name != self._loaded or is_lost:
            self._load(name)
        self._loaded = name
        if memory != self._stored:
            self._write(memory)
        self._stored = memory

    def forget(self) -> None:
        """Remember nothing any more. Redis: FUNCTION DELETE."""
        for name in self._libraries():
            self._cell.client.function_delete(name)
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _read(self) -> Memory:
        if self._file is None or not self._file.exists():
            return Memory()
        try:
            return Memory(**json.loads(self._file.read_text()))
        except (OSError, ValueError, TypeError) as err:
            log.warning(logfmt.line("memory.unreadable", problem=err))
            return Memory()

    def _write(self, memory: Memory) -> None:
        if self._file is None:
            return
        new = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        try:
            new.write_text(json.dumps(asdict(memory)))
            new.replace(self._file)
        except OSError as err:
            log.warning(logfmt.line("memory.not_written", problem=err))

    def _library(self, memory: Memory) -> str:
        """Return the name of the library that remembers this."""
        epoch, millions = memory.epoch.encode().hex(), memory.newest_id // MILLION
        return f"{NAME}_{self._cell.library.cell}_{epoch}_{millions}"

    def _load(self, name: str) -> None:
        """Load this library; then delete those with other contents."""
        source = (
            f"#!lua name={name}\n"
            f"redis.register_function('{name}', function() return 0 end)"
        )
        others = self._libraries()
        with suppress(ResponseError):
            if name not in others:
                self._cell.client.function_load(source)
            for other in set(others) - {name}:
                self._cell.client.function_delete(other)

    def _libraries(self) -> list[str]:
        pattern = f"{NAME}_{self._cell.library.cell}_*"
        try:
            return functions.listed(self._cell.client, pattern)
        except ResponseError:
            return []
