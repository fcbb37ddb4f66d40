"""Keeps one process running, shows its output under its role, and ends it in time."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from watchdog import kill_trees

ROOT = Path(__file__).resolve().parent.parent
LONGEST_PAUSE_S = 30
STEADY_S = 2
OURS = "up"


def pause_s(restarts: int) -> int:
    """How long to wait before the next start, after `restarts` lives cut short."""
    return min(2 ** (restarts - 1), LONGEST_PAUSE_S) if restarts else 0


class Output:
    """Standard output, one line at a time; never makes a process wait for a reader.

    When nobody reads, what does not fit into the queue is dropped.
    """

    _aside: IO[bytes] | None = None

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._turning = threading.Lock()
        self._lines: queue.Queue[bytes | None] = queue.Queue(maxsize=10_000)
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._writer.start()

    def say(self, text: str) -> None:
        """Print a line of our own."""
        self.pass_on(OURS, text.encode())

    def pass_on(self, role: str, line: bytes) -> None:
        """Print what a process of that role wrote."""
        text = b"[%s] %s\n" % (role.encode(), line)
        with self._turning:
            if self._aside is None or role == OURS:
                self._print(text)
            else:
                self._held.append(text)
                self._aside.write(text)

    def put_aside(self, file: Path) -> None:
        """Write what processes say into a new file instead, until `turn_back`."""
        with self._turning:
            self._aside = file.open("wb", buffering=0)

    def turn_back(self, *, show: bool) -> None:
        """Print again what processes say; `show`: and what they said meanwhile."""
        if self._aside is None:
            return
        with self._turning:
            aside, self._aside = self._aside, None
            held, self._held = self._held, []
            for text in held if show else ():
                self._print(text)
        if aside is not None:
            aside.close()

    def _print(self, text: bytes) -> None:
        with suppress(queue.Full):
            self._lines.put_nowait(text)

    def close(self) -> None:
        """Print what is left, unless nobody takes it within a second."""
        try:
            self._lines.put(None, timeout=1)
        except queue.Full:
            return
        self._writer.join(timeout=1)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Watchdog:
    """Keeps the process that ends the others when this one was killed."""

    def __init__(self) -> None:
        self._guarded: set[int] = set()
        self._lock = threading.Lock()
        self._closing = False
        self._start()
        threading.Thread(target=self._keep, daemon=True).start()

    @property
    def pid(self) -> int:
        """The watching process."""
        return self._process.pid

    def guard(self, pid: int) -> None:
        """Have this process ended with us."""
        with self._lock:
            self._guarded.add(pid)
            self._tell(f"+{pid}")

    def release(self, pid: int) -> None:
        """Forget a process that has ended."""
        with self._lock:
            self._guarded.discard(pid)
            self._tell(f"-{pid}")

    def close(self) -> None:
        """End what is still guarded, and the watchdog."""
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
        command = [sys.executable, str(ROOT / "scripts" / "watchdog.py")]
        reading, writing = os.pipe()
        self._process = subprocess.Popen(command, stdin=reading)
        os.close(reading)
        self._pipe = os.fdopen(writing, "w", buffering=1)
        for pid in self._guarded:
            self._tell(f"+{pid}")

    def _tell(self, line: str) -> None:
        # A watchdog that was killed is told by its successor's start; one that was
        # closed guards nothing more.
        with suppress(BrokenPipeError, ValueError):
            print(line, file=self._pipe)


@dataclass(frozen=True)
class Role:
    """A process to keep, what it is for, and how long it may take to end."""

    name: str
    does: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    stop_within_s: float
    pass_fds: tuple[int, ...] = ()


class Keeper:
    """One role's process: started, started again whenever it ends, at last stopped."""

    def __init__(self, role: Role, *, output: Output, watchdog: Watchdog) -> None:
        self.role = role
        self.deaths = 0
        self._output = output
        self._watchdog = watchdog
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        """Start the process and keep it running."""
        self._thread.start()

    def retire(self) -> None:
        """Start the process no more, however it ends."""
        self._stopping.set()

    def ask_to_stop(self) -> None:
        """Ask the process to end."""
        self.retire()
        with self._starting:
            process = self._process
        if process is not None:
            process.terminate()

    def wait_stopped(self, hurry: threading.Event) -> None:
        """Wait for its end; kill it when its time is over, or `hurry` is set."""
        deadline_s = time.monotonic() + self.role.stop_within_s
        while self._thread.is_alive():
            self._thread.join(timeout=0.1)
            late = time.monotonic() > deadline_s
            if (late or hurry.is_set()) and self._process and self._thread.is_alive():
                if late:
                    self._output.say(f"{self.role.name} did not end in time: killed")
                kill_trees({self._process.pid})
                self._thread.join()

    def _keep(self) -> None:
        self._turn_deaf()
        restarts = 0
        while not self._stopping.is_set():
            started_s = time.monotonic()
            cause = self._live()
            if self._stopping.is_set():
                return
            self.deaths += 1
            self._output.turn_back(show=True)
            if time.monotonic() - started_s >= STEADY_S:
                restarts = 0
            pause = pause_s(restarts)
            restarts += 1
            when = f"in {pause} s" if pause else "at once"
            self._output.say(f"{self.role.name} ended ({cause}), again {when}")
            self._stopping.wait(pause)

    def _live(self) -> str:
        """Run the process to its end, and tell what that was."""
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
        # Its last words come first, unless a child of its own still holds the pipe.
        reader.join(timeout=0.2)
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _turn_deaf(self) -> None:
        """Block signals in this thread, for its children inherit the mask.

        Ctrl-C reaches the whole group; who ends when is decided here alone.
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
        for line in process.stdout:
            self._output.pass_on(self.role.name, line.rstrip(b"\n"))
