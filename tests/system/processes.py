"""Start, signal and inspect the processes of a test."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from scheduler_api.up.watchdog import descendants, kill_trees

ROOT = Path(__file__).parents[2]


def wait_until(condition: Callable[[], object], *, within_s: float = 20) -> float:
    """Wait until a condition holds; return how many seconds the wait took.

    Raises: AssertionError after `within_s` seconds.
    """
    started_s = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - started_s
        assert waited_s < within_s, f"timed out after {within_s} s"
        time.sleep(0.01)
    return time.monotonic() - started_s


class Process:
    """A process that can be started, frozen, killed, and started again."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environ: dict[str, str],
        log: Path,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self._command = command
        self._environ = environ
        self._log = log
        self._pass_fds = pass_fds
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the process started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """The output of the process since its first start."""
        return self._log.read_text()

    def start(self) -> None:
        """Start the process; it must not be running."""
        assert not self.is_running()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self._pass_fds,
                start_new_session=True,
            )

    def is_running(self) -> bool:
        """Whether the process was started and has not exited."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, not to its children."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process with SIGKILL, and wait for its exit."""
        self.signal(signal.SIGKILL)
        self.wait()

    def freeze(self) -> None:
        """Suspend the process until `thaw`."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a frozen process."""
        self.signal(signal.SIGCONT)

    def terminate(self, *, within_s: float = 60) -> int:
        """Send SIGTERM and wait; return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(within_s=within_s)

    def wait(self, *, within_s: float = 60) -> int:
        """Wait for the process to exit; return the exit code."""
        assert self._process is not None
        return self._process.wait(timeout=within_s)

    def children(self) -> set[int]:
        """The ids of all descendants of the process."""
        return descendants({self.pid})

    def memory_mib(self) -> float:
        """Resident memory of the process, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def cpu_s(self) -> float:
        """CPU time used by the process and its descendants."""
        ticks = 0
        for pid in {self.pid, *self.children()}:
            stat = Path(f"/proc/{pid}/stat").read_text()
            ticks += sum(map(int, stat.rpartition(")")[2].split()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def kill_tree(self) -> None:
        """Kill the process and its descendants, even if they are frozen."""
        if self._process is not None:
            if self.is_running():
                kill_trees({self.pid})
            self._process.wait()


def free_port() -> int:
    """A TCP port that is free at the time of the call."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
