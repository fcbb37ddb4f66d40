"""Ends what it guards once its standard input closes, however its parent ended.

`scripts/up` holds the other end: even `kill -9` closes it. Lines: `+<pid>`, `-<pid>`.
Children of the guarded processes go too; nothing else in the group is touched, for it
may hold the shell that called.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def kill_trees(roots: set[int]) -> None:
    """Kill these processes and all their descendants, at once.

    Each is stopped before its children are looked for, so none can make another.
    """
    known: set[int] = set()
    while found := (roots | descendants(roots)) - known:
        for pid in found:
            _send(pid, signal.SIGSTOP)
        known |= found
    for pid in known:
        _send(pid, signal.SIGKILL)


def descendants(roots: set[int]) -> set[int]:
    """The processes that these started, and so on down."""
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
        # The name in parentheses may hold anything; the state and the parent follow it.
        fields = path.read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(path.parent.name), int(fields[1])


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def main() -> None:
    """Guard until the pipe closes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    guarded: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        guarded = guarded | {pid} if line[0] == "+" else guarded - {pid}
    kill_trees(guarded)


if __name__ == "__main__":
    main()
