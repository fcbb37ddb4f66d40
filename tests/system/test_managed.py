"""Tests of systems whose processes start as the files for process managers say."""

import pytest
from collections.abc import Mapping
from pathlib import Path
from scheduler_api.up.embedded_store import find_program
from tests.deploys import compose, units
from tests.procfile import PROCFILE
from tests.system.cell import Cell
from tests.system.processes import wait_until

pytestmark = pytest.mark.slow

STATE_DIR = "SCHED_STATE_DIR"


class ManagedCell(Cell):
    """A cell whose processes have the commands of a process manager."""

    def __init__(self, folder: Path, commands: Mapping[str, list[str]]) -> None:
        self._commands = commands
        super().__init__(folder)

    def command_of(self, name: str, command: list[str]) -> list[str]:
        return self._commands.get(name, command)

    def deliver_one(self, environ: Mapping[str, str]) -> None:
        """Deliver an event with a process of each role, then stop the processes.

        Args:
            environ: of the process manager; only the folder for state is another one.
        """
        state = self.folder / environ[STATE_DIR].lstrip("/")
        state.mkdir(parents=True)
        # In containers, this folder is also the home of the processes.
        folders = {STATE_DIR: str(state), "HOME": str(state)}
        self.start(*PROCFILE, **{**environ, **folders})
        wait_until(self.is_ready)
        assert self.post("one", in_ms=500).status == 200
        wait_until(lambda: self.receiver.count("one"))
        assert [self[role].terminate() for role in PROCFILE] == [0, 0, 0, 0, 0]
        assert [file.name for file in state.iterdir()] == ["store-s1.json"]


class ComposeCell(ManagedCell):
    """A cell whose store has the command of the compose file, too."""

    def command_of(self, name: str, command: list[str]) -> list[str]:
        if name != "store":
            return super().command_of(name, command)
        program, *options = self._commands[name]
        assert program == "valkey-server"
        # The options of the file replace those of the test's own configuration.
        return [str(find_program()), command[-1], *options]


def test_the_commands_of_the_units_deliver_an_event(tmp_path: Path):
    services = {units.role_of(service): service for service in units.SERVICES}
    commands = {role: units.command(service) for role, service in services.items()}

    with ManagedCell(tmp_path, commands) as cell:
        cell.deliver_one(units.environ(services["web"]))


def test_the_commands_of_the_compose_file_deliver_an_event(tmp_path: Path):
    commands = {name: compose.command(name) for name in compose.SERVICES}

    with ComposeCell(tmp_path, commands) as cell:
        environ = compose.environ("web", cell.environ)
        # Beside another port, the test's store has a password.
        assert environ["REDIS_URL"] == "redis://store:6379/0"
        cell.deliver_one(environ | {"REDIS_URL": cell.environ["REDIS_URL"]})
