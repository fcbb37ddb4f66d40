"""Run the code blocks of a page in one shell, and check their outcomes."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tests.pages import Block
from tests.system.processes import free_port, wait_until
from typing import Self
from uuid import uuid4

BLOCK_WITHIN_S = 60
OUTCOME_WITHIN_S = 20
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
RECEIVER = "receiver.py"
SERVERS = (RECEIVER, "receiver.js")


def plain_environ() -> dict[str, str]:
    """The environment of a new terminal."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


@dataclass(frozen=True)
class Outcome:
    """The expected outcome of a block.

    Attributes:
        prints: a regular expression to find in the output of the block.
        received: a regular expression to find in the receiver's output within 20 s.
        eventually: whether to repeat the block for up to 20 s, until `prints` matches.
        again: whether to run the block a second time and expect the same output.
    """

    prints: str = ""
    received: str = ""
    eventually: bool = False
    again: bool = False


class Shell:
    """A shell that stops at the first command that fails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=plain_environ() | {"PYTHONUNBUFFERED": "1", "PIP_NO_INDEX": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        # Let curl fail if the response is an error.
        self.run('set -eu\ncurl() { command curl --fail-with-body "$@"; }')

    def run(self, commands: str) -> str:
        """Run commands and return their output.

        Raises: AssertionError, if a command fails or if the commands take more than
            60 s together.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        end, output = uuid4().hex, ""
        timer = threading.Timer(BLOCK_WITHIN_S, self.kill)
        timer.start()
        try:
            self._process.stdin.write(f"{commands}\necho {end}\n")
            self._process.stdin.flush()
            for line in self._process.stdout:
                output += line.replace(f"{end}\n", "")
                if end in line:
                    return output
        finally:
            timer.cancel()
        raise AssertionError(f"a command failed:\n{commands}\n{output}")

    def kill(self) -> None:
        """Kill the shell and all processes in its process group."""
        os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.communicate()


class Walk:
    """Runs the blocks of a page.

    Args:
        outcomes: the expected outcomes. The key is a part of the text of a block.
    """

    def __init__(
        self, shell: Shell, *, receiver_log: Path, outcomes: Mapping[str, Outcome]
    ) -> None:
        self._shell = shell
        self._receiver_log = receiver_log
        self._outcomes = dict(outcomes)
        # Each page has a receiver on a different port, so no page affects the next.
        self._port = free_port()

    def run(self, block: Block, replace: Callable[[str], str] = str) -> None:
        """Run a block and check its outcome.

        Raises: AssertionError, if the outcome differs from the expected outcome.
        """
        text = re.sub(r"\b9000\b", str(self._port), replace(block.text))
        assert "…" not in re.sub("#.*", "", text), f"replace the placeholder in {block}"
        found = [part for part in self._outcomes if part in block.text]
        assert len(found) <= 1, block
        outcome = self._outcomes.pop(found[0]) if found else Outcome()
        try:
            if block.language == "sh":
                self._check(outcome, lambda: self._shell.run(text))
            else:
                self._check(outcome, lambda: self._run_program(text))
        except AssertionError as err:
            raise AssertionError(f"{block}\n{err}\n{self._received()}") from err

    def _run_program(self, text: str) -> str:
        """Write a program to its file and run it; run a server in the background."""
        command = text.partition("\n")[0].lstrip("#/ ")
        name = command.split()[-1]
        (self._shell.folder / name).write_text(text)
        if name not in SERVERS:
            return self._shell.run(command)
        self._shell.run(f"{command} >>{self._receiver_log} 2>&1 &")
        wait_until(lambda: is_listening(self._port), within_s=OUTCOME_WITHIN_S)
        return ""

    def _check(self, outcome: Outcome, run: Callable[[], str]) -> None:
        output = run()
        if outcome.eventually:
            deadline_s = time.monotonic() + OUTCOME_WITHIN_S
            while not _matches(outcome.prints, output):
                assert time.monotonic() < deadline_s, output
                time.sleep(0.2)
                output = run()
        assert _matches(outcome.prints, output), output
        assert not outcome.again or run() == output, output
        wait_until(
            lambda: _matches(outcome.received, self._received()),
            within_s=OUTCOME_WITHIN_S,
        )

    def _received(self) -> str:
        return self._receiver_log.read_text() if self._receiver_log.exists() else ""

    def finish(self) -> None:
        """Fail if an expected outcome belongs to none of the blocks that have run."""
        assert self._outcomes == {}


def _matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.MULTILINE) is not None


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
