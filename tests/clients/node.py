"""Runs files of tests/js with node's own runner."""

import os
import subprocess
import tempfile
from pathlib import Path
from tests.clients.system import plain_environ

JS = Path(__file__).parents[1] / "js"


class Run:
    """Files whose names match a pattern, running at the same time from now on."""

    def __init__(self, node: str, pattern: str, environ: dict[str, str]) -> None:
        files = sorted(file.name for file in JS.glob(pattern))
        assert files, f"no file is called {pattern}"
        # A pipe that nobody reads would stop the runner.
        told, name = tempfile.mkstemp()
        self._told = Path(name)
        self._process = subprocess.Popen(
            [
                *(node, "--test", "--test-reporter=spec"),
                *(f"--test-concurrency={len(files)}", *files),
            ],
            cwd=JS,
            env=plain_environ() | environ,
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        os.close(told)

    def succeeds(self) -> None:
        """Waits for the end, and holds that no test failed.

        What the runner tells is printed, so that pytest shows it when one has.
        """
        code = self._process.wait()
        print(self._told.read_text(encoding="utf-8"))
        self._told.unlink()
        assert code == 0, "some of node's tests failed, see its output"

    def end(self) -> None:
        """Ends it, if it still runs."""
        self._process.kill()
        self._process.wait()
        self._told.unlink(missing_ok=True)
