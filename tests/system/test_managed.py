"""Tests of systems whose processes start as the files for process managers say."""

import pytest
from collections.abc import Mapping
from pathlib import Path
from tests.deploys import units
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


def test_the_commands_of_the_units_deliver_an_event(tmp_path: Path):
    services = {units.role_of(service): service for service in units.SERVICES}
    commands = {role: units.command(service) for role, service in services.items()}
    state = tmp_path / "state"
    state.mkdir()
    with ManagedCell(tmp_path, commands) as cell:
        for role, service in services.items():
            environ = units.environ(service)
            assert environ.keys() == {STATE_DIR}
            cell.start(role, **{STATE_DIR: str(state)})
        wait_until(cell.is_ready)

        assert cell.post("one", in_ms=500).status == 200
        wait_until(lambda: cell.receiver.count("one"))
        assert [cell[role].terminate() for role in services] == [0, 0, 0, 0, 0]
    assert [file.name for file in state.iterdir()] == ["store-s1.json"]
