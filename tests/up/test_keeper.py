"""Tests that keepers restart and stop a process, and never block its output."""

import json
import os
import pytest
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from scheduler_api.up.keeper import (
    MAX_BYTES,
    Keeper,
    Output,
    Role,
    Watchdog,
    pause_s,
)

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
    own = rb"\[up\] \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO up "
    pattern = own + rb"starting\n" + re.escape(diverted) + own + rb"role exited"
    assert re.match(pattern, printed)
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


def flood(end: str) -> subprocess.Popen[str]:
    """Start a process that prints 50,000 lines; its output is not read yet."""
    program = "from scheduler_api.up.keeper import Output\no = Output()\n" + (
        "for _ in range(50_000): o.print_from('role', b'x' * 100)\n"
        "import sys, time; print('done', file=sys.stderr, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program + end],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    assert process.stderr.readline() == "done\n"
    return process


def lost_lines(text: str) -> int:
    return sum(int(count) for count in re.findall(r"(\d+) lines were not", text))


def test_output_that_is_not_read_blocks_no_process_and_lost_lines_are_counted():
    process = flood("o.close()")

    assert process.wait(timeout=10) == 0
    output, errors = process.communicate()
    printed = output.count("[role] " + "x" * 100 + "\n")
    assert printed + lost_lines(errors) == 50_000


def test_lines_that_were_lost_are_counted_in_the_output_as_soon_as_it_is_read():
    process = flood("input(); o.print('later'); o.close()")

    output, errors = process.communicate("go on\n")

    printed = output.count("[role] " + "x" * 100 + "\n")
    printed += output.count(" later\n")
    assert printed + lost_lines(output) == 50_001
    assert not errors


@pytest.mark.parametrize("is_json", [False, True])
def test_no_byte_of_a_process_is_lost(
    is_json: bool,
    capfdbinary: pytest.CaptureFixture[bytes],
    watchdog: Watchdog,
    wait_until: Callable[..., None],
):
    output = Output(is_json=is_json)
    long = b"y" * (MAX_BYTES + 5)
    program = (
        "import os; w = lambda b: os.write(1, b)\n"
        "w(b'caf\\xe9 \\x00\\r\\n\\n'); rest = b'y' * %d + b'\\n'\n"
        "while rest: rest = rest[w(rest):]\n"
        "w(b'{\"a\": 1}\\n[2]\\nthe last line') ; os._exit(0)"
    )
    command = (sys.executable, "-c", program % len(long))
    keeper = Keeper(
        Role("role", "task", command, os.environ, 5), output=output, watchdog=watchdog
    )
    keeper.start()
    wait_until(lambda: keeper.exits)
    keeper.stop_restarting()
    keeper.wait_stopped(threading.Event())
    output.close()

    lines = capfdbinary.readouterr().out.splitlines(keepends=True)
    lines = lines[: lines.index(next(line for line in lines if b"exited" in line))]
    if is_json:
        entries = [json.loads(line) for line in lines]
        assert all(each["process"] == "role" for each in entries)
        assert entries[4]["a"] == 1
        texts = [each.get("message") for each in entries]
        assert texts[0] == "caf\\xe9 \x00\r"
        assert texts[5:] == ["[2]", "the last line"]
    else:
        assert b"".join(lines) == b"".join(
            b"[role] " + text + b"\n"
            for text in (
                b"caf\xe9 \x00\r",
                b"",
                long[:MAX_BYTES],
                long[MAX_BYTES:],
                b'{"a": 1}',
                b"[2]",
                b"the last line",
            )
        )


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
