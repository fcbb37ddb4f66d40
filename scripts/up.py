"""Starts store, web, ticker, workers, clock and chores, and keeps them running.

Run by `scripts/up`, in the checkout's virtual environment.
"""

import argparse
import http.client
import os
import shlex
import signal
import sys
import threading
import time
from contextlib import suppress
from data_folder import DataFolder, Refusal, is_free, wait_for_store
from keeper import ROOT, Keeper, Output, Role, Watchdog
from pathlib import Path
from roles import BIN, stages, store
from scheduler_api.core.errors import ForeignDatabase, UnknownLayout
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import connect
from scheduler_api.core.store.epoch import claim_database
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.settings import from_env

DEFAULTS = {
    "SCHED_HOST": "127.0.0.1",
    "SCHED_ALLOW_NETWORKS": (
        "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"
    ),
    "SCHED_V1_REGISTER": "true",
}
READY_WITHIN_S = 30
SETTLED_AFTER_S = 1
WELCOME = """\
listening on {base_url}
credentials for its clients in {credentials}
all data in {folder}; start.log there tells how the processes started
deliveries may reach {networks}
  (for development; the Procfile's processes let none of these through by default)
a first event, due in five seconds, for a receiver of yours on port 9000:

{curl}

Ctrl-C stops everything\
"""
CURL = (
    "curl -sS {base_url}/api/events -H 'content-type: application/json'"
    """ -H "x-api-key: $(sed -n 's/^JITER_API_KEY=//p' {credentials})" """
    """-d '{{"payload": "hello", "destination": "http://127.0.0.1:9000/","""
    """ "scheduledTime": "'$({date} +%Y-%m-%dT%H:%M:%SZ)'"}}'"""
)
IN_FIVE_SECONDS = (
    "date -u -v+5S" if sys.platform == "darwin" else "date -u -d '+5 seconds'"
)


class Up:
    """One system on this machine, from its data folder to its last process."""

    def __init__(self, *, port: int, data: Path, workers: int) -> None:
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._workers = workers
        self._folder = DataFolder(data)
        self._environ = _compose_environ(self._folder, port=port)
        self._settings = from_env(self._environ)
        host = self._settings.host
        if not is_free(port, host):
            raise Refusal(f"port {port} of {host} is taken; --port chooses another")
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self._base_url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
        self._output = Output()
        self._watchdog = Watchdog()
        self._started: list[list[Keeper]] = []

    def run(self) -> None:
        """Start everything, wait for a signal, stop everything.

        Raises:
            Refusal: what lies in the data folder cannot be started.
        """
        self._output.put_aside(self._folder.path / "start.log")
        try:
            self._start_store()
            if not self._stopping.is_set():
                for stage in stages(
                    self._settings, workers=self._workers, environ=self._environ
                ):
                    self._tell(self._start(stage))
            self._greet()
            self._stopping.wait()
        finally:
            self._stop()

    def stop(self, *_: object) -> None:
        """Begin to stop; asked again, waste no time."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    def _start_store(self) -> None:
        client = connect(self._settings.redis_url)
        [keeper] = self._start([store(self._folder, environ=self._environ)])

        def given_up() -> bool:
            return self._stopping.is_set() or keeper.deaths > 0

        if wait_for_store(client, given_up=given_up):
            cell = Cell(client, self._settings.prefix)
            try:
                claim_database(client, cell.prefix)
            except ForeignDatabase as err:
                raise Refusal(str(err)) from err
            except UnknownLayout as err:
                folder = self._folder.path
                raise Refusal(
                    f"the store in {folder} is in layout {err.found}, this version"
                    f" reads {err.expected}: run the version that wrote it, or"
                    f" `mv {folder} {folder}.old`"
                ) from err
            self._folder.keep_credentials(
                Tenants(cell, secret_key=self._settings.secret_key),
                base_url=self._base_url,
                store=self._settings.redis_url,
            )
            self._tell([keeper])
        elif not self._stopping.is_set():
            raise Refusal(f"the store did not start; see {self._folder.path}/store.log")

    def _start(self, roles: list[Role]) -> list[Keeper]:
        keepers = [
            Keeper(role, output=self._output, watchdog=self._watchdog) for role in roles
        ]
        self._started.append(keepers)
        for keeper in keepers:
            keeper.start()
        return keepers

    def _tell(self, keepers: list[Keeper]) -> None:
        for keeper in keepers:
            self._output.say(f"started {keeper.role.name}: {keeper.role.does}")

    def _greet(self) -> None:
        deadline_s = time.monotonic() + READY_WITHIN_S
        while not (ready := self._is_ready()) and time.monotonic() < deadline_s:
            if self._stopping.wait(0.1):
                return
        if not ready:
            self._output.turn_back(show=True)
        curl = CURL.format(
            base_url=self._base_url,
            credentials=shlex.quote(str(self._folder.credentials)),
            date=IN_FIVE_SECONDS,
        )
        networks = ", ".join(map(str, self._settings.allow_networks))
        welcome = WELCOME.format(
            base_url=self._base_url,
            credentials=self._folder.credentials,
            folder=self._folder.path,
            networks=networks or "public addresses only",
            curl=curl,
        )
        self._output.say(welcome)
        # The last web process may still be about to say that it started.
        self._stopping.wait(SETTLED_AFTER_S)
        self._output.turn_back(show=False)

    def _is_ready(self) -> bool:
        host, port = self._base_url.removeprefix("http://").rsplit(":", 1)
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=2)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        return False

    def _stop(self) -> None:
        self._stopping.set()
        at_work = len(self._started) > 1
        if at_work:
            grace_s = self._settings.drain_grace_s
            self._output.say(f"stopping; deliveries in flight get {grace_s} s to end")
        # Whoever else was told to stop, by a signal to the whole group, stays away; but
        # the others still need the store.
        for keepers in self._started[1:]:
            for keeper in keepers:
                keeper.retire()
        for keepers in reversed(self._started):
            for keeper in keepers:
                keeper.ask_to_stop()
            for keeper in keepers:
                keeper.wait_stopped(self._hurry)
        self._watchdog.close()
        if at_work:
            self._output.say("stopped")
        self._output.close()


def _compose_environ(folder: DataFolder, *, port: int) -> dict[str, str]:
    # RQ and gunicorn read variables of their own, which would come before ours.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RQ_", "GUNICORN_"))
    }
    ours = {
        "PATH": f"{BIN}{os.pathsep}{inherited.get('PATH', os.defpath)}",
        "PORT": str(port),
        "PYTHONUNBUFFERED": "1",
        "REDIS_URL": folder.store_url(),
        "SECRET_KEY": folder.secret_key(),
    }
    return DEFAULTS | inherited | ours


def main() -> None:
    """Read the command line and run until told to stop."""
    parser = argparse.ArgumentParser(
        prog="scripts/up", description="Start the whole system in the foreground."
    )
    parser.add_argument("--port", type=_port, default=8080, help="default: 8080")
    parser.add_argument("--data", type=Path, default=ROOT / "data", metavar="DIR")
    parser.add_argument("--workers", type=_count, default=1, metavar="N")
    options = parser.parse_args()
    os.umask(0o077)
    try:
        up = Up(**vars(options))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup, a hang-up stays ignored.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, up.stop)
        up.run()
    except (Refusal, SettingsError) as err:
        sys.exit(f"scripts/up: {err}")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65_536):
        raise argparse.ArgumentTypeError(f"expected a port, got {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 64):
        raise argparse.ArgumentTypeError(f"expected 1 to 64, got {text!r}")
    return int(text)


if __name__ == "__main__":
    main()
