"""Starts store, web, ticker, workers, clock and chores; restarts those that exit."""

import http.client
import os
import shlex
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from scheduler_api.core.errors import ForeignDatabase, UnknownLayout
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import connect
from scheduler_api.core.store.epoch import claim_database
from scheduler_api.core.tenants.sign_ins import SignIns
from scheduler_api.dialects import outbound
from scheduler_api.dialects.dialect import Development
from scheduler_api.settings import from_env
from scheduler_api.up import embedded_store
from scheduler_api.up.data_folder import (
    DataFolder,
    Refusal,
    is_free,
    is_loopback,
    wait_for_store,
)
from scheduler_api.up.keeper import Keeper, Output, Role, Watchdog
from scheduler_api.up.roles import BIN, stages, store

DEFAULTS = {
    # All attempts are logged.
    "SCHED_LOG_LEVEL": "debug",
    "SCHED_HOST": "127.0.0.1",
    "SCHED_ALLOW_NETWORKS": (
        "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"
    ),
    # Otherwise any web page could use the API, because anyone may register.
    "SCHED_ALLOWED_HOSTS": "localhost",
    "SCHED_V1_REGISTER": "true",
    "SCHED_RECEIVER": "true",
}
READY_WITHIN_S = 30
SETTLED_AFTER_S = 1
WELCOME = """\
listening on {base_url}
dashboard: {base_url}/sign-in/{sign_in}
  (this address signs in once, within ten minutes; later ones with the operator's token)
credentials for its clients in {credentials}
all data in {folder}; the processes' output during the start is in start.log there
{development}deliveries may reach {networks}
  (for development; by default the Procfile's processes reach none of these)
to create a first event, due in five seconds, for the built-in receiver:

{curl}

Ctrl-C stops everything\
"""
CURL = (
    "curl -sS {base_url}/api/events -H 'content-type: application/json'"
    """ -H "x-api-key: $(sed -n 's/^JITER_API_KEY=//p' {credentials})" """
    """-d '{{"payload": "hello", "destination": "{base_url}/receiver/hello","""
    """ "scheduledTime": "'$({date} +%Y-%m-%dT%H:%M:%SZ)'"}}'"""
)
DEVELOPMENT = """\
clients with {environment} find it
  (everybody knows their token and signing keys, so it serves this machine only)
"""
IN_FIVE_SECONDS = (
    "date -u -v+5S" if sys.platform == "darwin" else "date -u -d '+5 seconds'"
)


class Up:
    """A complete system on this machine: data folder and processes."""

    def __init__(
        self,
        *,
        port: int,
        data: Path,
        workers: int,
        development: Development | None = None,
    ) -> None:
        """
        Args:
            development: a token and secrets that everybody knows, for the first tenant.

        Raises: Refusal, SettingsError: the system cannot start.
        """
        self._store_program = embedded_store.find_program()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._workers = workers
        self._development = development
        self._folder = DataFolder(data)
        self._environ = _compose_environ(self._folder, port=port)
        self._settings = from_env(self._environ)
        host = self._settings.host
        if development is not None and not is_loopback(host):
            raise Refusal(
                f"SCHED_HOST is {host}: with --qstash-dev it must be a loopback"
                " address, because everybody knows the token"
            )
        if not is_free(port, host):
            raise Refusal(f"port {port} of {host} is taken; --port chooses another")
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self._base_url = f"http://{f'[{local}]' if ':' in local else local}:{port}"
        self._output = Output(is_json=self._settings.log_format == "json")
        self._watchdog = Watchdog()
        self._started: list[list[Keeper]] = []
        self._sign_in = ""

    def run(self) -> None:
        """Start everything, wait for `stop`, stop everything.

        Raises:
            Refusal: the system cannot start with this data folder.
        """
        self._output.divert(self._folder.path / "start.log")
        try:
            self._start_store()
            if not self._stopping.is_set():
                for stage in stages(
                    self._settings, workers=self._workers, environ=self._environ
                ):
                    self._print_started(self._start(stage))
            self._print_welcome()
            self._stopping.wait()
        finally:
            self._stop()

    def stop(self, *_: object) -> None:
        """Begin to stop; a second call kills the processes that have not exited yet."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    def _start_store(self) -> None:
        client = connect(self._settings.store_url)
        role = store(self._store_program, self._folder, environ=self._environ)
        [keeper] = self._start([role])

        def should_stop() -> bool:
            return self._stopping.is_set() or keeper.exits > 0

        if wait_for_store(client, should_stop=should_stop):
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
            token, tenant = self._folder.keep_credentials(
                outbound.tenants(cell, self._settings),
                base_url=self._base_url,
                store=self._settings.redis_url,
                development=self._development,
            )
            self._sign_in = SignIns(cell).create(token, tenant)
            self._print_started([keeper])
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

    def _print_started(self, keepers: list[Keeper]) -> None:
        for keeper in keepers:
            self._output.print(f"started {keeper.role.name}: {keeper.role.task}")

    def _print_welcome(self) -> None:
        deadline_s = time.monotonic() + READY_WITHIN_S
        while not (ready := self._is_ready()) and time.monotonic() < deadline_s:
            if self._stopping.wait(0.1):
                return
        if not ready:
            self._output.end_diversion(show=True)
        curl = CURL.format(
            base_url=self._base_url,
            credentials=shlex.quote(str(self._folder.credentials)),
            date=IN_FIVE_SECONDS,
        )
        networks = ", ".join(map(str, self._settings.allow_networks))
        welcome = WELCOME.format(
            base_url=self._base_url,
            sign_in=self._sign_in,
            credentials=self._folder.credentials,
            folder=self._folder.path,
            development=self._development_note(),
            networks=networks or "public addresses only",
            curl=curl,
        )
        self._wait_for_web()
        self._output.print(welcome)
        self._output.end_diversion(show=False)

    def _development_note(self) -> str:
        if self._development is None:
            return ""
        environment = self._development.environment.format(port=self._settings.port)
        return DEVELOPMENT.format(environment=environment)

    def _wait_for_web(self) -> None:
        """Wait until all web processes have logged their start, but not for long.

        So these lines are diverted, and all lines after the welcome are printed.
        """
        end_s = time.monotonic() + SETTLED_AFTER_S
        expected = self._settings.web_workers
        while self._output.count_diverted(b"web.started") < expected:
            if time.monotonic() > end_s or self._stopping.wait(0.05):
                return

    def _is_ready(self) -> bool:
        host, port = self._base_url.removeprefix("http://").rsplit(":", 1)
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=2)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        return False

    def _stop(self) -> None:
        self._stopping.set()
        has_workers = len(self._started) > 1
        if has_workers:
            grace_s = self._settings.drain_grace_s
            self._output.print(f"stopping; deliveries in flight get {grace_s} s to end")
        # A signal to the process group reaches all processes. Processes that exit must
        # not be restarted, except the store: the other processes need the store until
        # they have exited.
        for keepers in self._started[1:]:
            for keeper in keepers:
                keeper.stop_restarting()
        for keepers in reversed(self._started):
            for keeper in keepers:
                keeper.terminate()
            for keeper in keepers:
                keeper.wait_stopped(self._hurry)
        self._watchdog.close()
        if has_workers:
            self._output.print("stopped")
        self._output.close()


def _compose_environ(folder: DataFolder, *, port: int) -> dict[str, str]:
    # Leave out the variables that RQ and gunicorn read: they override the settings.
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
        "SCHED_STATE_DIR": str(folder.path),
    }
    return DEFAULTS | inherited | ours
