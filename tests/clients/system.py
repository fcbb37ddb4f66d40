"""A system started with `scripts/up`, as clients and operators use it."""

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
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 90


@dataclass(frozen=True)
class System:
    """A system's data folder and port."""

    data: Path
    port: int

    @property
    def credentials(self) -> dict[str, str]:
        """The environment variables for clients of the first tenant."""
        return read_env((self.data / "credentials.env").read_text())

    @property
    def log(self) -> Path:
        """The log file of all processes of the system."""
        return self.data.with_suffix(".log")

    def new_tenant(self, name: str) -> dict[str, str]:
        """Create a tenant; return the environment variables for its clients."""
        settings = {
            "PORT": str(self.port),
            "REDIS_URL": self.credentials["REDIS_URL"],
            "SECRET_KEY": (self.data / "secret.key").read_text().strip(),
        }
        command = ["-m", "scheduler_api", "tenant", "create", name, "--env"]
        result = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=plain_environ() | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return read_env(result.stdout)

    def is_ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@contextmanager
def running(system: System, *options: str, **environ: str) -> Iterator[None]:
    """Context manager that runs the system and waits until it is ready."""
    own = ["--data", str(system.data), "--port", str(system.port)]
    with system.log.open("wb") as log:
        process = subprocess.Popen(
            [ROOT / "scripts" / "up", *own, *options],
            env=plain_environ() | environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not system.is_ready():
            assert process.poll() is None, system.log.read_text()
            assert time.monotonic() < deadline_s, system.log.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_TIMEOUT_S)
        finally:
            process.kill()


def plain_environ() -> dict[str, str]:
    """The environment of this process without `SCHED_` settings and proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SCHED_") and not name.lower().endswith("_proxy")
    }


def read_env(text: str) -> dict[str, str]:
    """Parse lines of the form `NAME=value`."""
    return dict(line.split("=", 1) for line in text.splitlines())
