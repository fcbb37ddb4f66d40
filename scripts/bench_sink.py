"""The sink: an nginx that receives deliveries and logs when they arrive."""

import click
import os
import shutil
import subprocess
import time
from bench_arrivals import RunResult, read
from functools import partial
from load import listens
from pathlib import Path
from tests.system.processes import Process, free_port, wait_until
from types import TracebackType
from typing import Self

# Debian installs nginx in this folder, which is not in the PATH of every user.
SYSTEM_BIN = "/usr/sbin"
CONFIGURATION = """\
daemon off;
worker_processes 1;
error_log stderr warn;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  log_format arrival '$msec $arg_due $arg_id';
  access_log {folder}/arrivals.log arrival buffer=64k flush=200ms;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 "ok"; }}
  }}
}}
"""
POLL_INTERVAL_S = 0.25
# How long to wait for late duplicates and for the last flush of the log.
SETTLED_AFTER_S = 0.5


class NginxMissing(click.ClickException):
    """nginx was not found (on Debian: apt install nginx-light)."""


def find_nginx() -> str:
    """Return the path of nginx.

    Raises: NginxMissing.
    """
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), SYSTEM_BIN))
    nginx = shutil.which("nginx", path=path)
    if nginx is None:
        raise NginxMissing(str(NginxMissing.__doc__))
    return nginx


def nginx_version() -> str:
    """Return the version of nginx.

    Raises: NginxMissing.
    """
    result = subprocess.run(
        [find_nginx(), "-v"], capture_output=True, text=True, check=True
    )
    return result.stderr.rpartition("/")[2].strip()


class Sink:
    """Runs nginx during a `with` block, and reads arrivals from nginx's log."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "arrivals.log"
        self._port = free_port()
        configuration = folder / "nginx.conf"
        text = CONFIGURATION.format(folder=folder, port=self._port)
        configuration.write_text(text)
        self._process = Process(
            [find_nginx(), "-e", "stderr", "-p", str(folder), "-c", str(configuration)],
            environ=dict(os.environ),
            log=folder / "nginx.log",
        )
        self._runs = 0
        self._offset = 0

    def __enter__(self) -> Self:
        self._process.start()
        wait_until(partial(listens, self._port))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill_tree()

    def new_run(self) -> str:
        """Start a run and return its name."""
        self._offset = self._log.stat().st_size
        self._runs += 1
        return f"run{self._runs}"

    def url(self, run: str, number: int, *, due_ms: int) -> str:
        """Return the URL for a request of a run."""
        return f"http://127.0.0.1:{self._port}/?due={due_ms}&id={run}.{number}"

    def wait_for(self, run: str, *, expected: int, within_s: float) -> RunResult:
        """Wait until all requests of a run have arrived, or until the time-out."""
        deadline_s = time.monotonic() + within_s
        while (
            self._read(run, expected).delivered < expected
            and time.monotonic() < deadline_s
        ):
            time.sleep(POLL_INTERVAL_S)
        time.sleep(SETTLED_AFTER_S)
        return self._read(run, expected)

    def arrived(self) -> int:
        """Return how many requests have arrived, in all runs together."""
        return self._log.read_bytes().count(b"\n")

    def _read(self, run: str, expected: int) -> RunResult:
        with self._log.open() as log:
            log.seek(self._offset)
            return RunResult.of(read(log.read(), run=run), expected=expected)
