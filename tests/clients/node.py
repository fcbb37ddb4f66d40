"""Run test files of `tests/js` with node's test runner."""

import os
import subprocess
import tempfile
from pathlib import Path
from tests.clients.system import plain_environ

JS = Path(__file__).parents[1] / "js"


class Run:
    """Runs all test files that match a pattern, in parallel and in the background."""

    def __init__(self, node: str, pattern: str, environ: dict[str, str]) -> None:
        files = sorted(file.name for file in JS.glob(pattern))
        assert files, f"no file matches {pattern}"
        # Node writes to a file, because node would block on a full pipe.
        output, name = tempfile.mkstemp()
        self._output = Path(name)
        self._process = subprocess.Popen(
            [
                *(node, "--test", "--test-reporter=spec"),
                *(f"--test-concurrency={len(files)}", *files),
            ],
            cwd=JS,
            env=plain_environ() | environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        os.close(output)

    def check(self) -> None:
        """Wait for the run, print its output, and assert that no test failed."""
        code = self._process.wait()
        print(self._output.read_text(encoding="utf-8"))
        self._output.unlink()
        assert code == 0, "some of node's tests failed, see its output"

    def stop(self) -> None:
        """Kill the run if it has not ended."""
        self._process.kill()
        self._process.wait()
        self._output.unlink(missing_ok=True)
