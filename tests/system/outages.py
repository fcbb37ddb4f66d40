"""Scenarios: the store, a ticker or a worker is away for a while, and returns."""

import time
from scheduler_api.core.model import State
from tests.system.blocked_receiver import BlockedReceiver
from tests.system.cell import Cell
from tests.system.load import Load
from tests.system.observer import Accepted
from tests.system.processes import wait_until
from tests.system.report import Report

SLOW = "delay_ms=200"
OUTAGE_SLACK_S = 5
ROLES = ("web", "ticker", "worker", "clock")


def store_outage(cell: Cell, *, away_s: float, how: str) -> Report:
    """The store goes away under load and returns with its data; that is all.

    It is `stopped`, `killed`, or `frozen`: connections stay, answers do not come.
    """
    cell.start(*ROLES)
    pids = {role: cell[role].pid for role in ROLES}
    wait_until(cell.is_ready)
    span_s = away_s + 4
    due = cell.create_many(int(50 * span_s), over_s=span_s, query=SLOW)
    under_way = _outlasting(cell, at_ms=min(e.at_ms for e in due), away_s=away_s)
    with Load(cell, per_s=20, in_ms=3_000, query=SLOW) as load:
        wait_until(lambda: load.accepted)
        wait_until(lambda: all(cell.receiver.count(e.label) for e in under_way))
        unready_s, delivering_s, ready_s = _take_away(cell, away_s=away_s, how=how)
        taken = len(load.accepted)
        wait_until(lambda: len(load.accepted) >= taken + 20)
    cell.wait_drained(within_s=away_s + 120)
    report = Report(
        cell.tally([*due, *under_way, *load.accepted]),
        {
            "unready after": f"{unready_s:.1f} s",
            "delivering again after": f"{delivering_s:.1f} s",
            "ready again after": f"{ready_s:.1f} s",
            "answers 503": len(load.retry_after),
        },
    )
    report.expect(unready_s <= OUTAGE_SLACK_S, "/readyz turns 503 within 5 s")
    report.expect(delivering_s <= OUTAGE_SLACK_S, "deliveries go on within 5 s")
    report.expect(ready_s <= OUTAGE_SLACK_S, "/readyz turns 200 within 5 s")
    report.expect(load.retry_after, "the API answers 503 meanwhile")
    report.expect(all(load.retry_after), "each 503 has a Retry-After")
    report.expect(not load.unexpected, f"nothing else is answered: {load.unexpected}")
    for role, pid in pids.items():
        alive = cell[role].is_running() and cell[role].pid == pid
        report.expect(alive, f"{role} outlives the outage")
    return report


def _outlasting(cell: Cell, *, at_ms: int, away_s: float) -> list[Accepted]:
    """Under way when the store goes; some end while it is away, some afterwards."""
    return [
        cell.create(
            f"under-way-{number}",
            at_ms=at_ms,
            query=f"delay_ms={int(away_s * 1000) + 1500 * (number - 3)}",
            deadline_ms=int(away_s * 1000) + 30_000,
        )
        for number in range(6)
    ]


def _take_away(cell: Cell, *, away_s: float, how: str) -> tuple[float, float, float]:
    """Seconds until unready; from the return until deliveries, and until ready."""
    leave, return_ = {
        "stopped": (cell.store.terminate, cell.start_store),
        "killed": (cell.store.kill, cell.start_store),
        "frozen": (cell.store.freeze, cell.store.thaw),
    }[how]
    leave()
    end_s = time.monotonic() + away_s
    unready_s = wait_until(lambda: not cell.is_ready())
    wait_until(lambda: time.monotonic() > end_s, within_s=away_s + 5)
    return_()
    returned_s, arrived = time.monotonic(), len(cell.receiver.arrivals)
    delivering_s = wait_until(lambda: len(cell.receiver.arrivals) > arrived)
    wait_until(cell.is_ready)
    return unready_s, delivering_s, time.monotonic() - returned_s


def frozen_ticker(cell: Cell, *, per_s: int, frozen_s: float) -> Report:
    """Three tickers at once; one is frozen, and later goes on with what it held."""
    cell.start("ticker-1", "ticker-2", "ticker-3", "worker")
    over_s = frozen_s + 3
    accepted = cell.create_many(int(per_s * over_s), over_s=over_s)
    wait_until(lambda: len(cell.receiver.arrivals) >= per_s)
    cell["ticker-1"].freeze()
    arrived, end_s = len(cell.receiver.arrivals), time.monotonic() + frozen_s
    wait_until(lambda: time.monotonic() > end_s, within_s=frozen_s + 5)
    meanwhile = len(cell.receiver.arrivals) - arrived
    cell["ticker-1"].thaw()
    cell.wait_drained(within_s=60)
    report = Report(cell.tally(accepted), {"delivered meanwhile": meanwhile})
    report.expect(meanwhile >= per_s * frozen_s / 2, "the others go on")
    return report


def frozen_worker(cell: Cell) -> Report:
    """A worker freezes while it connects, beyond its lease, and then goes on."""
    cell.start("ticker", "worker-a")
    with BlockedReceiver() as plug:
        event = cell.create(
            "frozen",
            at_ms=cell.events.cell.now_ms() + 300,
            url=plug.url,
            deadline_ms=60_000,
        )
        wait_until(cell.begun)
        first = cell.begun()
        cell["worker-a"].freeze()
        cell.start("worker-b")
        taken_s = wait_until(lambda: cell.begun() - first, within_s=60)
        plug.open()
        wait_until(lambda: plug.requests == 1)
        cell["worker-a"].thaw()
        wait_until(lambda: "attempt.dropped" in cell["worker-a"].printed, within_s=60)
        after = cell.create_many(20, over_s=1)
        cell.wait_drained()
        report = Report(cell.tally(after), {"taken over after": f"{taken_s:.1f} s"})
        report.expect(plug.requests == 1, "what was not yet written is never written")
    report.expect(cell.event(event).state is State.DELIVERED, "the other delivers it")
    return report
