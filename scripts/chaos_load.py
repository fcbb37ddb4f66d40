"""What scenarios of `scripts/chaos` have in common: a fault under a steady load."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from tests.system.cell import Cell
from tests.system.load import Load
from tests.system.observer import Accepted
from tests.system.outages import ROLES, SLOW
from tests.system.processes import ROOT, wait_until
from tests.system.report import Report

PER_S, IN_MS = 30, 1_500
RECOVERY_S = 5.0


@dataclass
class Disturbance:
    """A fault under load, and what the load has seen.

    Attributes:
        report: the tally, with what every fault must allow for.
        load: of requests, which began before the fault and ended after it.
    """

    report: Report
    load: Load


def start_all(cell: Cell) -> None:
    """Start a process of each role that is not running, and wait until all is ready."""
    cell.start(*(role for role in ROLES if role not in cell.processes))
    wait_ready(cell)


def disturb(
    cell: Cell,
    fault: Callable[[], object],
    *,
    query: str = SLOW,
    within_s: float = RECOVERY_S,
    refused: str | None = None,
    tail: Callable[[list[Accepted]], set[str]] = lambda _: set(),
) -> Disturbance:
    """Run a fault under load, and measure how soon deliveries go on after it.

    Args:
        within_s: the largest recovery.
        refused: a part of other refusals that the fault may cause.
        tail: returns the labels of events whose writes the store has lost.
    """
    start_all(cell)
    with Load(cell, per_s=PER_S, in_ms=IN_MS, query=query) as load:
        wait_until(lambda: len(cell.receiver.arrivals) >= PER_S, within_s=30)
        fault()
        recovery_s = wait_delivering(cell, load)
    cell.wait_drained(within_s=90)
    report = Report(
        cell.tally(load.accepted, tail=tail(load.accepted)),
        {
            "responses 503": len(load.retry_after),
            "requests without a response": load.unanswered,
        },
        recovery_s,
    )
    report.expect(
        recovery_s <= within_s, f"new events are delivered within {within_s:.0f} s"
    )
    report.expect(all(load.retry_after), "each 503 has a Retry-After")
    others = [
        text for text in load.unexpected if refused is None or refused not in text
    ]
    report.expect(
        not others, "the web process gives no other responses", found=others[:2]
    )
    return Disturbance(report, load)


def wait_delivering(cell: Cell, load: Load, *, within_s: float = 60) -> float:
    """Wait until a new event is delivered; return the wait beyond its delay, in s."""
    started_s, before = time.monotonic(), len(load.accepted)
    wait_until(lambda: len(load.accepted) > before, within_s=within_s)
    label = load.accepted[before].label
    wait_until(lambda: cell.receiver.count(label), within_s=within_s)
    return max(0.0, time.monotonic() - started_s - IN_MS / 1000)


def wait_ready(cell: Cell, *, within_s: float = 30) -> None:
    """Wait until `/readyz` answers 200; the error says what it answers instead."""
    try:
        wait_until(cell.is_ready, within_s=within_s)
    except AssertionError as err:
        body = cell.request("GET", "/readyz").body
        raise AssertionError(f"not ready: {body.get('missing')}") from err


def wait_accepted(load: Load, count: int) -> None:
    """Wait until so many more events are accepted."""
    enough = len(load.accepted) + count
    wait_until(lambda: len(load.accepted) >= enough, within_s=30)


def unready_s(cell: Cell, text: str, *, within_s: float = 30) -> float:
    """Wait until `/readyz` says this; return how many seconds that took."""

    def says() -> bool:
        return text in str(cell.request("GET", "/readyz").body)

    return wait_until(says, within_s=within_s)


def operate(cell: Cell, *arguments: str) -> str:
    """Run a command of an operator, and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "scheduler_api", *arguments],
        cwd=ROOT,
        env=cell.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def logged_critical(cell: Cell) -> bool:
    """Whether any process has logged a critical message."""
    return any("CRITICAL" in process.output for process in cell.processes.values())
