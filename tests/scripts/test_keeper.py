"""A kept process comes back, ends when asked, and is heard without being waited for."""

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


class Notes(Output):
    """Output that remembers instead of printing."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def pass_on(self, role: str, line: bytes) -> None:
        self.lines.append(f"[{role}] {line.decode()}")


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog()
    yield watchdog
    watchdog.close()


@pytest.fixture
def notes() -> Notes:
    return Notes()


def kept(command: str, *, notes: Notes, watchdog: Watchdog, **limits: float) -> Keeper:
    return kept_words("sh", "-c", command, notes=notes, watchdog=watchdog, **limits)


def kept_words(
    *words: str, notes: Notes, watchdog: Watchdog, **limits: float
) -> Keeper:
    role = Role("role", "does", words, os.environ, **{"stop_within_s": 5, **limits})
    keeper = Keeper(role, output=notes, watchdog=watchdog)
    keeper.start()
    return keeper


def stop(keeper: Keeper) -> None:
    keeper.ask_to_stop()
    keeper.wait_stopped(threading.Event())


def test_pauses_grow_up_to_thirty_seconds():
    assert [pause_s(n) for n in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_process_that_ends_is_started_again_at_once_and_then_after_a_pause(
    notes: Notes, watchdog: Watchdog, wait_until: Callable[..., None]
):
    keeper = kept("echo hello; exit 3", notes=notes, watchdog=watchdog)

    wait_until(lambda: keeper.deaths == 3)
    stop(keeper)

    assert [line for line in notes.lines if line.startswith("[up]")] == [
        "[up] role ended (exit code 3), again at once",
        "[up] role ended (exit code 3), again in 1 s",
        "[up] role ended (exit code 3), again in 2 s",
    ]
    assert notes.lines.count("[role] hello") == 3


def test_a_program_that_is_missing_is_tried_again(
    notes: Notes, watchdog: Watchdog, wait_until: Callable[..., None]
):
    keeper = kept_words("/no/such/program", notes=notes, watchdog=watchdog)

    wait_until(lambda: keeper.deaths >= 1)
    stop(keeper)

    assert "No such file" in notes.lines[0]


def test_a_stopped_process_does_not_come_back(
    notes: Notes, watchdog: Watchdog, wait_until: Callable[..., None]
):
    keeper = kept("echo up; sleep 300", notes=notes, watchdog=watchdog)
    wait_until(lambda: notes.lines)

    stop(keeper)

    assert notes.lines == ["[role] up"]


def test_a_process_that_does_not_end_in_time_is_killed(
    notes: Notes, watchdog: Watchdog, wait_until: Callable[..., None]
):
    keeper = kept(
        f"echo up; {STUBBORN}", notes=notes, watchdog=watchdog, stop_within_s=0.2
    )
    wait_until(lambda: notes.lines)

    stop(keeper)

    assert notes.lines[-1] == "[up] role did not end in time: killed"


def test_ctrl_c_does_not_reach_a_kept_process(
    notes: Notes, watchdog: Watchdog, wait_until: Callable[..., None]
):
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(0.3)"
    keeper = kept_words(sys.executable, "-c", program, notes=notes, watchdog=watchdog)
    wait_until(lambda: notes.lines)

    os.kill(int(notes.lines[0].split()[1]), signal.SIGINT)

    wait_until(lambda: keeper.deaths)
    stop(keeper)
    assert "[up] role ended (exit code 0), again at once" in notes.lines


def test_what_is_put_aside_is_printed_once_a_process_has_ended(
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    watchdog: Watchdog,
    wait_until: Callable[..., None],
):
    output, file = Output(), tmp_path / "start.log"
    output.put_aside(file)
    output.say("starting")
    output.pass_on("other", b"noise")
    role = Role("role", "does", ("sh", "-c", "echo trouble; exit 3"), os.environ, 5)
    keeper = Keeper(role, output=output, watchdog=watchdog)
    keeper.start()
    wait_until(lambda: keeper.deaths)
    output.pass_on("other", b"more")
    stop(keeper)
    output.close()

    aside = b"[other] noise\n[role] trouble\n"
    printed = capfdbinary.readouterr().out
    assert file.read_bytes() == aside
    assert printed.startswith(b"[up] starting\n" + aside + b"[up] role ended")
    assert b"[other] more\n" in printed


def test_what_is_put_aside_stays_aside_if_all_went_well(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
):
    output = Output()
    output.put_aside(tmp_path / "start.log")
    output.pass_on("role", b"noise")
    output.turn_back(show=False)
    output.pass_on("role", b"more")
    output.close()

    assert capfdbinary.readouterr().out == b"[role] more\n"


def test_nobody_waits_for_a_reader_that_does_not_read():
    flood = "from keeper import Output\no = Output()\n" + (
        "for _ in range(50_000): o.pass_on('role', b'x' * 100)\n"
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


def test_a_killed_watchdog_is_replaced_and_knows_whom_to_guard(
    notes: Notes, wait_until: Callable[..., None]
):
    watchdog = Watchdog()
    keeper = kept("sleep 300", notes=notes, watchdog=watchdog)
    first = watchdog.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: watchdog.pid != first)

    watchdog.close()

    wait_until(lambda: keeper.deaths == 1)
    assert "[up] role ended (signal 9), again at once" in notes.lines
    stop(keeper)
