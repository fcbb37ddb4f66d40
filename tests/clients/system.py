"""A system started with `scripts/up`, as its clients and its operator see it."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_WITHIN_S = 120
STOP_WITHIN_S = 90


@dataclass(frozen=True)
class System:
    """Where it keeps its data, and where it listens."""

    data: Path
    port: int

    @property
    def credentials(self) -> dict[str, str]:
        """What clients of its first tenant need in their environment."""
        return read_env((self.data / "credentials.env").read_text())

    @property
    def log(self) -> Path:
        """What its processes print."""
        return self.data.with_suffix(".log")

    def new_tenant(self, name: str) -> dict[str, str]:
        """One more tenant, and what its clients need in their environment."""
        operator = {
            "PORT": str(self.port),
            "REDIS_URL": self.credentials["REDIS_URL"],
            "SECRET_KEY": (self.data / "secret.key").read_text().strip(),
        }
        words = ["-m", "scheduler_api", "tenant", "create", name, "--env"]
        result = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env=plain_environ() | operator,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return read_env(result.stdout)

    def is_ready(self) -> bool:
        """Whether all runs that a delivery needs."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@contextmanager
def running(system: System) -> Iterator[None]:
    """Runs a system; it is ready inside, and has ended afterwards."""
    words = ["--data", str(system.data), "--port", str(system.port)]
    with system.log.open("wb") as log:
        process = subprocess.Popen(
            [ROOT / "scripts" / "up", *words],
            env=plain_environ(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline_s = time.monotonic() + START_WITHIN_S
        while not system.is_ready():
            assert process.poll() is None, system.log.read_text()
            assert time.monotonic() < deadline_s, system.log.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_WITHIN_S)
        finally:
            process.kill()


def plain_environ() -> dict[str, str]:
    """Ours without the project's settings, and without a proxy before loopback."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SCHED_") and not name.lower().endswith("_proxy")
    }


def read_env(text: str) -> dict[str, str]:
    """`NAME=value` lines."""
    return dict(line.split("=", 1) for line in text.splitlines())
