"""A cell on a real store, whose processes and faults a test chooses."""

import json
import redis
import shlex
from click.testing import CliRunner, Result
from dataclasses import dataclass, replace
from scheduler_api.cli import main
from scheduler_api.core.delivery.destinations import parse
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.processes import IDLE, Load, SignOfLife
from tests.dialects.engine import Engine
from typing import Any

PREFIX = "{s1}:"
TENANT = "1"
SECRET_KEY = "a secret key of the tests"


@dataclass(frozen=True)
class OperatedCell:
    """A cell with one tenant, and its command line."""

    url: str
    cell: Cell

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables of a command."""
        return {
            "REDIS_URL": self.url,
            "SECRET_KEY": SECRET_KEY,
            "SCHED_ALLOW_NO_PERSISTENCE": "true",
        }

    def run(self, words: str, **environ: str) -> Result:
        """Run a command, given as one text, as for a shell."""
        return self.call(*shlex.split(words), **environ)

    def call(self, *words: str, answer: str = "", **environ: str) -> Result:
        """Run a command.

        Args:
            answer: what its user types.
        """
        environ = self.settings | environ
        return CliRunner().invoke(main, words, env=environ, input=answer)

    def read_json(self, words: str) -> Any:
        """Run a command, given as one text; return what it prints as JSON."""
        return json.loads(self.run(f"{words} --json").output)

    def read(self, words: str) -> str:
        """Run a command; return its output with single blanks between words."""
        return " ".join(self.run(words).output.split())

    @property
    def engine(self) -> Engine:
        return Engine(self.cell.client, PREFIX)

    def live(self, *roles: str, load: Load = IDLE, **shared: str) -> None:
        """Let a process of each role report, with settings."""
        for role in roles:
            SignOfLife(self.cell, role, settings="x", shared=shared).report(load)

    def create(self, url: str, dialect: str = "jiter", **how: Any) -> str:
        """Create an event; return its stored id."""
        return self.add(Owner(TENANT, dialect), Content(url, b"x"), **how)

    def add(self, owner: Owner, content: Content, **how: Any) -> str:
        """Create an event; return its stored id."""
        draft = Draft(content, 1_000, **how)
        return EventStore(self.cell).create(owner, draft).id

    def at(self, *, ago_ms: int) -> "OperatedCell":
        """Return the same cell, at an earlier time."""
        now_ms = self.cell.now_ms() - ago_ms
        cell = Cell(self.cell.client, PREFIX, clock_ms=now_ms)
        return replace(self, cell=cell)

    def pause(self, url: str) -> None:
        """Pause the origin of a URL."""
        HeldDestinations(self.cell).set_paused(TENANT, parse(url), paused=True)

    def wait_at_gate(self, url: str, count: int) -> list[str]:
        """Create due events, and let a worker try to begin them; return their ids."""
        made = [self.create(url) for _ in range(count)]
        self.engine.worker().try_begin(*self.engine.offer().ids)
        return made


def new_cell(url: str) -> OperatedCell:
    """Return an empty cell with a tenant."""
    client = redis.Redis.from_url(url)
    client.flushall()
    # What tickers remember of the store outlives its data.
    client.function_flush()
    made = OperatedCell(url, Cell(client, PREFIX))
    assert made.run("tenant create Ada").exit_code == 0
    return made
