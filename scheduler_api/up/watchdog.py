"""Kills the guarded processes and their descendants when standard input closes.

Standard input is a pipe from `scheduler up`; the pipe closes even if `scheduler up` is
killed with SIGKILL. On standard input, the line `+<pid>` adds a guarded process, and
the line `-<pid>` removes a guarded process. Other processes of the process group, such
as the calling shell, are not killed.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def kill_trees(roots: set[int]) -> None:
    """Kill these processes and all their descendants.

    Each process is suspended before its children are listed, so that it cannot start
    more children.
    """
    suspended: set[int] = set()
    while found := (roots | descendants(roots)) - suspended:
        for pid in found:
            _send(pid, signal.SIGSTOP)
        suspended |= found
    for pid in suspended:
        _send(pid, signal.SIGKILL)


def descendants(roots: set[int]) -> set[int]:
    """Return the descendants of these processes: children, grandchildren, and so on."""
    parents = _parents()
    found: set[int] = set()
    while (
        more := {pid for pid, ppid in parents.items() if ppid in roots | found} - found
    ):
        found |= more
    return found


def _parents() -> dict[int, int]:
    if Path("/proc/self/stat").exists():
        return dict(filter(None, map(_read_stat, Path("/proc").glob("[0-9]*/stat"))))
    listing = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = (line.split() for line in listing.stdout.splitlines())
    return {int(pid): int(ppid) for pid, ppid in pairs}


def _read_stat(path: Path) -> tuple[int, int] | None:
    try:
        # The process name, in parentheses, may contain spaces: skip it.
        fields = path.read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(path.parent.name), int(fields[1])


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def main() -> None:
    """Read lines until standard input closes, then kill the guarded processes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    guarded: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        guarded = guarded | {pid} if line[0] == "+" else guarded - {pid}
    kill_trees(guarded)


if __name__ == "__main__":
    main()
