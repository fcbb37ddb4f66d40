"""Processes that tests start, hurt and clear away."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from watchdog import descendants, kill_trees

ROOT = Path(__file__).parents[2]


def wait_until(condition: Callable[[], object], *, within_s: float = 20) -> float:
    """Wait until a condition holds; answers how many seconds that took.

    Raises: AssertionError, if it never does.
    """
    started_s = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - started_s
        assert waited_s < within_s, f"not within {within_s} s"
        time.sleep(0.01)
    return time.monotonic() - started_s


class Process:
    """One process, started and hurt by whoever holds it."""

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
        """Of the process as it was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def printed(self) -> str:
        """All that was printed, over all starts."""
        return self._log.read_text()

    def start(self) -> None:
        """Start it, or start it again."""
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
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with -9: it does not notice."""
        self.signal(signal.SIGKILL)
        self.wait()

    def freeze(self) -> None:
        """Stop its clock until `thaw`."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on, as if no time had passed."""
        self.signal(signal.SIGCONT)

    def terminate(self, *, within_s: float = 60) -> int:
        """Ask it to end; answers its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(within_s=within_s)

    def wait(self, *, within_s: float = 60) -> int:
        """Wait for its end; answers its exit code."""
        assert self._process is not None
        return self._process.wait(timeout=within_s)

    def children(self) -> set[int]:
        """The processes that it started, and theirs."""
        return descendants({self.pid})

    def memory_mib(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def cpu_s(self) -> float:
        """Processor time that it and the processes under it have used."""
        ticks = 0
        for pid in {self.pid, *self.children()}:
            stat = Path(f"/proc/{pid}/stat").read_text()
            ticks += sum(map(int, stat.rpartition(")")[2].split()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def clear_away(self) -> None:
        """End it with everything that it started, frozen or not."""
        if self._process is not None:
            if self.is_running():
                kill_trees({self.pid})
            self._process.wait()


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
