"""Tests that keepers restart and stop a process, and never block its output."""

import os
import pytest
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from keeper import Keeper, Output, Role, Watchdog, pause_s
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"
STUBBORN = "trap '' TERM; while :; do sleep 300; done"


class RecordingOutput(Output):
    """Output that records lines instead of printing them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def print_from(self, role: str, line: bytes) -> None:
        self.lines.append(f"[{role}] {line.decode()}")


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog()
    yield watchdog
    watchdog.close()


@pytest.fixture
def output() -> RecordingOutput:
    return RecordingOutput()


def keep_shell(
    script: str, *, output: RecordingOutput, watchdog: Watchdog, **limits: float
) -> Keeper:
    return keep("sh", "-c", script, output=output, watchdog=watchdog, **limits)


def keep(
    *command: str, output: RecordingOutput, watchdog: Watchdog, **limits: float
) -> Keeper:
    role = Role("role", "task", command, os.environ, **{"stop_within_s": 5, **limits})
    keeper = Keeper(role, output=output, watchdog=watchdog)
    keeper.start()
    return keeper


def stop(keeper: Keeper) -> None:
    keeper.terminate()
    keeper.wait_stopped(threading.Event())


def test_pauses_grow_up_to_thirty_seconds():
    assert [pause_s(n) for n in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_process_that_exits_is_restarted_first_at_once_then_after_pauses(
    output: RecordingOutput, watchdog: Watchdog, wait_until: Callable[..., None]
):
    keeper = keep_shell("echo hello; exit 3", output=output, watchdog=watchdog)

    wait_until(lambda: keeper.exits == 3)
    stop(keeper)

    assert [line for line in output.lines if line.startswith("[up]")] == [
        "[up] role exited (exit code 3), restart now",
        "[up] role exited (exit code 3), restart in 1 s",
        "[up] role exited (exit code 3), restart in 2 s",
    ]
    assert output.lines.count("[role] hello") == 3


def test_starting_a_missing_program_is_retried(
    output: RecordingOutput, watchdog: Watchdog, wait_until: Callable[..., None]
):
    keeper = keep("/no/such/program", output=output, watchdog=watchdog)

    wait_until(lambda: keeper.exits >= 1)
    stop(keeper)

    assert "No such file" in output.lines[0]


def test_a_stopped_process_is_not_restarted(
    output: RecordingOutput, watchdog: Watchdog, wait_until: Callable[..., None]
):
    keeper = keep_shell("echo up; sleep 300", output=output, watchdog=watchdog)
    wait_until(lambda: output.lines)

    stop(keeper)

    assert output.lines == ["[role] up"]


def test_a_process_that_does_not_exit_in_time_is_killed(
    output: RecordingOutput, watchdog: Watchdog, wait_until: Callable[..., None]
):
    keeper = keep_shell(
        f"echo up; {STUBBORN}", output=output, watchdog=watchdog, stop_within_s=0.2
    )
    wait_until(lambda: output.lines)

    stop(keeper)

    assert output.lines[-1] == "[up] role did not exit in time: killed"


def test_ctrl_c_does_not_reach_a_kept_process(
    output: RecordingOutput, watchdog: Watchdog, wait_until: Callable[..., None]
):
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(0.3)"
    keeper = keep(sys.executable, "-c", program, output=output, watchdog=watchdog)
    wait_until(lambda: output.lines)

    os.kill(int(output.lines[0].split()[1]), signal.SIGINT)

    wait_until(lambda: keeper.exits)
    stop(keeper)
    assert "[up] role exited (exit code 0), restart now" in output.lines


def test_diverted_output_is_printed_when_a_process_has_exited(
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    watchdog: Watchdog,
    wait_until: Callable[..., None],
):
    output, file = Output(), tmp_path / "start.log"
    output.divert(file)
    output.print("starting")
    output.print_from("other", b"noise")
    role = Role("role", "task", ("sh", "-c", "echo error; exit 3"), os.environ, 5)
    keeper = Keeper(role, output=output, watchdog=watchdog)
    keeper.start()
    wait_until(lambda: keeper.exits)
    output.print_from("other", b"more")
    stop(keeper)
    output.close()

    diverted = b"[other] noise\n[role] error\n"
    printed = capfdbinary.readouterr().out
    assert file.read_bytes() == diverted
    assert printed.startswith(b"[up] starting\n" + diverted + b"[up] role exited")
    assert b"[other] more\n" in printed


def test_diverted_output_of_a_successful_start_is_not_printed(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
):
    output = Output()
    output.divert(tmp_path / "start.log")
    output.print_from("role", b"noise")
    output.end_diversion(show=False)
    output.print_from("role", b"more")
    output.close()

    assert capfdbinary.readouterr().out == b"[role] more\n"


def test_output_that_is_not_read_blocks_no_process():
    flood = "from keeper import Output\no = Output()\n" + (
        "for _ in range(50_000): o.print_from('role', b'x' * 100)\n"
        "import sys; print('done', file=sys.stderr)\no.close()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", flood],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    assert process.stderr
    assert process.stderr.readline() == "done\n"
    assert process.wait(timeout=10) == 0
    process.communicate()


def test_a_killed_watchdog_is_replaced_and_guards_the_same_processes(
    output: RecordingOutput, wait_until: Callable[..., None]
):
    watchdog = Watchdog()
    keeper = keep_shell("sleep 300", output=output, watchdog=watchdog)
    first = watchdog.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: watchdog.pid != first)

    watchdog.close()

    wait_until(lambda: keeper.exits == 1)
    assert "[up] role exited (signal 9), restart now" in output.lines
    stop(keeper)
