"""Runs processes, restarts them when they exit, prints their output, stops them."""

import orjson
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from scheduler_api.core import logfmt
from scheduler_api.up.watchdog import kill_trees
from typing import IO

HERE = Path(__file__).resolve()
# Processes run in the folder of the packages: in the current folder, they could import
# other modules named `workers`.
ROOT = HERE.parents[2]
MAX_PAUSE_S = 30
STABLE_AFTER_S = 2
OWN_ROLE = "up"
# A longer line is printed as several lines.
MAX_BYTES = 1_048_576
LAST_LINES_S = 5.0


def pause_s(restarts: int) -> int:
    """Return the seconds to wait before a restart that follows some quick restarts."""
    return min(2 ** (restarts - 1), MAX_PAUSE_S) if restarts else 0


class Output:
    """Print lines to standard output without blocking.

    If standard output is not read, lines that do not fit into the queue are dropped. A
    later line says how many.

    Args:
        is_json: print every line as a JSON object.
    """

    _file: IO[bytes] | None = None

    def __init__(self, *, is_json: bool = False) -> None:
        self._is_json = is_json
        self._diverted: list[bytes] = []
        self._diverting = threading.Lock()
        # Each text stands for a number of lines: 1, or the number of dropped lines.
        self._lines: queue.Queue[tuple[bytes, int] | None] = queue.Queue(maxsize=10_000)
        self._received = self._accounted_for = self._dropped = 0
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def print(self, text: str) -> None:
        """Print a message of `scheduler up` itself; it is never diverted."""
        self.print_from(OWN_ROLE, text.encode())

    def print_from(self, role: str, line: bytes) -> None:
        """Print a line that the process with this role has written."""
        text = self._format(role, line)
        with self._diverting:
            if self._file is None or role == OWN_ROLE:
                self._enqueue(text)
            else:
                self._diverted.append(text)
                # A full disk must not end the thread that reads the output.
                with suppress(OSError):
                    self._file.write(text)

    def divert(self, file: Path) -> None:
        """Write the output of processes into a new file instead of printing it."""
        with self._diverting:
            self._file = file.open("wb", buffering=0)

    def count_diverted(self, text: bytes) -> int:
        """Return how many lines with this text were diverted."""
        with self._diverting:
            return sum(text in line for line in self._diverted)

    def end_diversion(self, *, show: bool) -> None:
        """Stop diverting the output of processes, and resume printing it.

        Args:
            show: whether to print the diverted output first.
        """
        if self._file is None:
            return
        with self._diverting:
            file, self._file = self._file, None
            diverted, self._diverted = self._diverted, []
            for text in diverted if show else ():
                self._enqueue(text)
        if file is not None:
            file.close()

    def _format(self, role: str, line: bytes) -> bytes:
        if self._is_json:
            return logfmt.to_json(_as_json(role, line)).encode() + b"\n"
        if role == OWN_ROLE:
            line = b"%s INFO up %s" % (logfmt.utc(time.time()).encode(), line)
        return b"[%s] %s\n" % (role.encode(), line)

    def _enqueue(self, text: bytes) -> None:
        self._received += 1
        try:
            if self._dropped:
                self._lines.put_nowait((self._lost(self._dropped), self._dropped))
                self._dropped = 0
            self._lines.put_nowait((text, 1))
        except queue.Full:
            self._dropped += 1

    def _lost(self, count: int) -> bytes:
        text = f"{count} lines were not printed: standard output was not read in time"
        return self._format(OWN_ROLE, text.encode())

    def close(self) -> None:
        """Print the queued lines; give up if no line is read within a second.

        Then say on standard error how many lines were not printed, if that is read.
        """
        if self._is_over(self._put_end) and self._is_over(self._join_writer):
            return
        lost = self._received - self._accounted_for
        if select.select([], [sys.stderr], [], 0)[1]:
            sys.stderr.write(self._lost(lost).decode())

    def _is_over(self, wait: Callable[[], bool]) -> bool:
        """Wait until `wait` returns True; return False if no line is written."""
        done = -1
        while done != (done := self._accounted_for):
            if wait():
                return True
        return False

    def _put_end(self) -> bool:
        try:
            if self._dropped:
                lost = self._lost(self._dropped), self._dropped
                self._lines.put(lost, timeout=1)
                self._dropped = 0
            self._lines.put(None, timeout=1)
        except queue.Full:
            return False
        return True

    def _join_writer(self) -> bool:
        self._writer.join(timeout=1)
        return not self._writer.is_alive()

    def _write(self) -> None:
        while (entry := self._lines.get()) is not None:
            text, lines = entry
            try:
                _write_all(sys.stdout.fileno(), text)
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._accounted_for += lines


def _as_json(role: str, line: bytes) -> dict[str, object]:
    """Return the object that a process has logged, or an object with its text."""
    with suppress(orjson.JSONDecodeError):
        entry = orjson.loads(line)
        if isinstance(entry, dict):
            return entry | {"process": role}
    return {
        "time": logfmt.utc(time.time()),
        "level": "INFO",
        "logger": role,
        "message": line.decode(errors="backslashreplace"),
        "process": role,
    }


def _write_all(file: int, data: bytes) -> None:
    """Write to a file that may be non-blocking."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(file, rest) :]
        except BlockingIOError:
            select.select([], [file], [])


class Watchdog:
    """Run a process that kills guarded processes if `scheduler up` is killed.

    The watchdog process is restarted if it exits.
    """

    def __init__(self) -> None:
        self._guarded: set[int] = set()
        self._lock = threading.Lock()
        self._closing = False
        self._start()
        threading.Thread(target=self._keep, daemon=True).start()

    @property
    def pid(self) -> int:
        """The id of the watchdog process."""
        return self._process.pid

    def guard(self, pid: int) -> None:
        """Tell the watchdog to kill a process if `scheduler up` is killed."""
        with self._lock:
            self._guarded.add(pid)
            self._send(f"+{pid}")

    def release(self, pid: int) -> None:
        """Tell the watchdog to forget a process that has exited."""
        with self._lock:
            self._guarded.discard(pid)
            self._send(f"-{pid}")

    def close(self) -> None:
        """Kill the processes that are still guarded, and end the watchdog."""
        with self._lock:
            self._closing = True
            self._pipe.close()
        self._process.wait()

    def _keep(self) -> None:
        while not self._closing:
            self._process.wait()
            with self._lock:
                if not self._closing:
                    self._start()

    def _start(self) -> None:
        command = [sys.executable, str(HERE.with_name("watchdog.py"))]
        read_end, write_end = os.pipe()
        self._process = subprocess.Popen(command, stdin=read_end)
        os.close(read_end)
        self._pipe = os.fdopen(write_end, "w", buffering=1)
        for pid in self._guarded:
            self._send(f"+{pid}")

    def _send(self, line: str) -> None:
        # These errors are harmless. If the watchdog was killed, the new watchdog gets
        # all ids when it starts. After `close`, there are no processes to guard.
        with suppress(BrokenPipeError, ValueError):
            print(line, file=self._pipe)


@dataclass(frozen=True)
class Role:
    """A process to run: its task, its command, and how long it may take to stop."""

    name: str
    task: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    stop_within_s: float
    pass_fds: tuple[int, ...] = ()


class Keeper:
    """Start the process of a role, and restart it whenever it exits, until stopped."""

    def __init__(self, role: Role, *, output: Output, watchdog: Watchdog) -> None:
        self.role = role
        self.exits = 0
        self._copied = 0
        self._output = output
        self._watchdog = watchdog
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        """Start the process and keep it running."""
        self._thread.start()

    def stop_restarting(self) -> None:
        """Do not restart the process when it exits."""
        self._stopping.set()

    def terminate(self) -> None:
        """Send SIGTERM to the process and do not restart it."""
        self.stop_restarting()
        with self._starting:
            process = self._process
        if process is not None:
            process.terminate()

    def wait_stopped(self, hurry: threading.Event) -> None:
        """Wait until the process exits; kill it if it is late or `hurry` is set."""
        deadline_s = time.monotonic() + self.role.stop_within_s
        while self._thread.is_alive():
            self._thread.join(timeout=0.1)
            is_late = time.monotonic() > deadline_s
            kill = is_late or hurry.is_set()
            if kill and self._process and self._thread.is_alive():
                if is_late:
                    self._output.print(f"{self.role.name} did not exit in time: killed")
                kill_trees({self._process.pid})
                self._thread.join()

    def _keep(self) -> None:
        self._block_signals()
        restarts = 0
        while not self._stopping.is_set():
            started_s = time.monotonic()
            cause = self._run()
            if self._stopping.is_set():
                return
            self.exits += 1
            self._output.end_diversion(show=True)
            if time.monotonic() - started_s >= STABLE_AFTER_S:
                restarts = 0
            pause = pause_s(restarts)
            restarts += 1
            when = f"in {pause} s" if pause else "now"
            self._output.print(f"{self.role.name} exited ({cause}), restart {when}")
            self._stopping.wait(pause)

    def _run(self) -> str:
        """Run the process until it exits; return why it exited."""
        try:
            process = self._spawn()
        except OSError as err:
            return str(err)
        if process is None:
            return "not started"
        reader = threading.Thread(target=self._copy, args=(process,), daemon=True)
        reader.start()
        code = process.wait()
        self._watchdog.release(process.pid)
        self._wait_for(reader)
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _wait_for(self, reader: threading.Thread) -> None:
        """Wait until the last lines of an exited process are printed.

        Do not wait for long: a child of the process may keep the pipe open.
        """
        copied, end_s = -1, time.monotonic() + LAST_LINES_S
        while copied != (copied := self._copied) and time.monotonic() < end_s:
            reader.join(timeout=0.2)

    def _block_signals(self) -> None:
        """Block SIGINT and SIGHUP in this thread, and so in the processes it starts.

        Ctrl-C sends SIGINT to the whole process group, but the processes must not stop
        until `Up` terminates them, in a fixed order.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        with self._starting:
            if self._stopping.is_set():
                return None
            self._process = subprocess.Popen(
                self.role.command,
                cwd=ROOT,
                env=dict(self.role.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=self.role.pass_fds,
            )
            self._watchdog.guard(self._process.pid)
        return self._process

    def _copy(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        while line := process.stdout.readline(MAX_BYTES):
            self._output.print_from(self.role.name, line.removesuffix(b"\n"))
            self._copied += 1
