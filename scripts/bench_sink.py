"""The sink: an nginx that answers every request, and whose log is the measurement."""

import click
import os
import shutil
import subprocess
import time
from bench_arrivals import Went, read
from functools import partial
from load import listens
from pathlib import Path
from tests.system.processes import Process, free_port, wait_until
from types import TracebackType
from typing import Self

# Where Debian puts it, which is not on everybody's path.
ALSO = "/usr/sbin"
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
LOOK_EVERY_S = 0.25
# As long as the log's own flushing may hold a line back, and a duplicate may take.
SETTLED_AFTER_S = 0.5


class NginxMissing(click.ClickException):
    """The sink is an nginx, and none was found (on Debian: apt install nginx-light)."""


def find_nginx() -> str:
    """The path of nginx.

    Raises: NginxMissing.
    """
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), ALSO))
    nginx = shutil.which("nginx", path=path)
    if nginx is None:
        raise NginxMissing(str(NginxMissing.__doc__))
    return nginx


def nginx_version() -> str:
    """As it tells it.

    Raises: NginxMissing.
    """
    told = subprocess.run(
        [find_nginx(), "-v"], capture_output=True, text=True, check=True
    )
    return told.stderr.rpartition("/")[2].strip()


class Sink:
    """A context: inside, an nginx of its own takes requests; it tells runs apart."""

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
        self._seen = 0

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
        """A name for the requests of a run; what arrived before belongs to others."""
        self._seen = self._log.stat().st_size
        self._runs += 1
        return f"run{self._runs}"

    def url(self, run: str, number: int, *, due_ms: int) -> str:
        """Where a request of a run goes."""
        return f"http://127.0.0.1:{self._port}/?due={due_ms}&id={run}.{number}"

    def wait_for(self, run: str, *, expected: int, within_s: float) -> Went:
        """How a run went, once all has arrived or the time is over."""
        deadline_s = time.monotonic() + within_s
        while (
            self._read(run, expected).delivered < expected
            and time.monotonic() < deadline_s
        ):
            time.sleep(LOOK_EVERY_S)
        time.sleep(SETTLED_AFTER_S)
        return self._read(run, expected)

    def arrived(self) -> int:
        """How many requests have arrived in all, of whatever run."""
        return self._log.read_bytes().count(b"\n")

    def _read(self, run: str, expected: int) -> Went:
        with self._log.open() as log:
            log.seek(self._seen)
            return Went.of(read(log.read(), run=run), expected=expected)
