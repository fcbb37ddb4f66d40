"""Cells for `scripts/chaos` whose store has another clock, or records its fsyncs."""

import struct
import subprocess
from pathlib import Path
from tests.system.cell import Cell

SOURCE = Path(__file__).with_name("chaos_preload.c")


def compile_preload(folder: Path) -> Path:
    """Compile the library that a process preloads; needs gcc."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "chaos_preload.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O2", "-o", str(target), str(SOURCE)], check=True
    )
    return target


class PreloadCell(Cell):
    """A cell whose store has a clock that tests can shift, and records its fsyncs."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._library = compile_preload(folder)
        self._shift = folder / "shift"
        self.shift(0)
        super().__init__(folder, **settings)

    def shift(self, seconds: int) -> None:
        """Shift the clock of the store, also if it is running."""
        # The store has mapped the file, so write into the same file.
        with self._shift.open("r+b" if self._shift.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))

    def skewed(self, seconds: int) -> dict[str, str]:
        """Return the settings of a process with a clock that differs by this."""
        file = self._shift.with_name(f"shift-{seconds}")
        file.write_bytes(struct.pack("=q", seconds))
        return {"LD_PRELOAD": str(self._library), "SHIFT_FILE": str(file)}

    def command_of(self, name: str, command: list[str]) -> list[str]:
        """Preload the library into the store."""
        if name != "store":
            return command
        variables = {
            "LD_PRELOAD": self._library,
            "SHIFT_FILE": self._shift,
            "SYNC_LOG": self._shift.with_name("sync.log"),
        }
        pairs = [f"{variable}={path}" for variable, path in variables.items()]
        return ["env", *pairs, *command]


def sizes_on_disk(folder: Path, data: Path) -> dict[Path, int]:
    """Return the size that each file in `data` had when it was last on disk.

    Files that were never synchronised are not in the result.
    """
    sizes = {}
    for line in (folder / "sync.log").read_text().splitlines():
        inode, size = map(int, line.split())
        sizes[inode] = size
    found = {path: path.stat() for path in data.iterdir()}
    return {
        path: min(sizes[stat.st_ino], stat.st_size)
        for path, stat in found.items()
        if stat.st_ino in sizes
    }
