"""Scenarios: the store, a ticker or a worker is unavailable for a while."""

import time
from scheduler_api.core.model import AttemptKind, State
from tests.system.blocked_receiver import BlockedReceiver
from tests.system.cell import Cell
from tests.system.load import Load
from tests.system.observer import Accepted
from tests.system.processes import wait_until
from tests.system.report import Report

SLOW = "delay_ms=200"
REACTION_S = 5
ROLES = ("web", "ticker", "worker", "clock")


def store_outage(cell: Cell, *, away_s: float, how: str) -> Report:
    """The store becomes unavailable under load, and returns with its data.

    Args:
        how: `stopped`, `killed` or `frozen`. A frozen store keeps its connections open,
            but does not reply.
    """
    cell.start(*ROLES)
    pids = {role: cell[role].pid for role in ROLES}
    wait_until(cell.is_ready)
    span_s = away_s + 4
    due = cell.create_many(int(50 * span_s), over_s=span_s, query=SLOW)
    in_flight = _create_long(cell, at_ms=min(e.at_ms for e in due), away_s=away_s)
    with Load(cell, per_s=20, in_ms=3_000, query=SLOW) as load:
        wait_until(lambda: load.accepted)
        # `create_many` leaves a millisecond for the creation of each event.
        wait_until(
            lambda: all(cell.receiver.count(e.label) for e in in_flight),
            within_s=20 + len(due) / 1_000,
        )
        unready_s, delivering_s, ready_s = _interrupt_store(
            cell, away_s=away_s, how=how
        )
        before = len(load.accepted)
        wait_until(lambda: len(load.accepted) >= before + 20)
    cell.wait_drained(within_s=away_s + 120)
    report = Report(
        cell.tally([*due, *in_flight, *load.accepted]),
        {
            "unready after": f"{unready_s:.1f} s",
            "ready again after": f"{ready_s:.1f} s",
            "responses 503": len(load.retry_after),
        },
        recovery_s=delivering_s,
    )
    report.expect(unready_s <= REACTION_S, "/readyz turns 503 within 5 s")
    report.expect(delivering_s <= REACTION_S, "deliveries resume within 5 s")
    report.expect(ready_s <= REACTION_S, "/readyz turns 200 within 5 s")
    report.expect(load.retry_after, "the API answers 503 during the outage")
    report.expect(all(load.retry_after), "each 503 has a Retry-After")
    report.expect(
        not load.unexpected,
        "the web process gives no other responses",
        found=load.unexpected,
    )
    for role, pid in pids.items():
        alive = cell[role].is_running() and cell[role].pid == pid
        report.expect(alive, f"{role} keeps running")
    return report


def _create_long(cell: Cell, *, at_ms: int, away_s: float) -> list[Accepted]:
    """Create events whose attempts start before the outage.

    Some attempts end during the outage, some after it.
    """
    return [
        cell.create(
            f"long-{number}",
            at_ms=at_ms,
            query=f"delay_ms={int(away_s * 1000) + 1500 * (number - 3)}",
            deadline_ms=int(away_s * 1000) + 30_000,
        )
        for number in range(6)
    ]


def _interrupt_store(
    cell: Cell, *, away_s: float, how: str
) -> tuple[float, float, float]:
    """Make the store unavailable for `away_s` seconds.

    Returns: three durations in seconds: from the start of the outage until the system
        is not ready, from the end of the outage until the system delivers again, and
        from the end of the outage until the system is ready again.
    """
    stop, restart = {
        "stopped": (cell.store.terminate, cell.start_store),
        "killed": (cell.store.kill, cell.start_store),
        "frozen": (cell.store.freeze, cell.store.thaw),
    }[how]
    stop()
    end_s = time.monotonic() + away_s
    unready_s = wait_until(lambda: not cell.is_ready())
    wait_until(lambda: time.monotonic() > end_s, within_s=away_s + 5)
    restart()
    restarted_s, arrived = time.monotonic(), len(cell.receiver.arrivals)
    delivering_s = wait_until(lambda: len(cell.receiver.arrivals) > arrived)
    wait_until(cell.is_ready)
    return unready_s, delivering_s, time.monotonic() - restarted_s


def frozen_ticker(cell: Cell, *, per_s: int, frozen_s: float) -> Report:
    """One of three tickers freezes for a while and then resumes."""
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
    report.expect(meanwhile >= per_s * frozen_s / 2, "the other tickers carry on")
    return report


def frozen_worker(cell: Cell) -> Report:
    """A worker freezes while it connects; it resumes after the lease has expired."""
    cell.start("ticker", "worker-a")
    with BlockedReceiver() as receiver:
        event = cell.create(
            "frozen",
            at_ms=cell.events.cell.now_ms() + 300,
            url=receiver.url,
            deadline_ms=60_000,
        )
        wait_until(cell.begun)
        first = cell.begun()
        cell["worker-a"].freeze()
        cell.start("worker-b")
        takeover_s = wait_until(lambda: cell.begun() - first, within_s=60)
        receiver.open()
        wait_until(lambda: receiver.requests == 1)
        cell["worker-a"].thaw()
        wait_until(lambda: "attempt.dropped" in cell["worker-a"].output, within_s=60)
        after = cell.create_many(20, over_s=1)
        cell.wait_drained()
        report = Report(cell.tally(after), {"taken over after": f"{takeover_s:.1f} s"})
        report.expect(
            receiver.requests == 1, "the frozen worker never sends its request"
        )
    report.expect(
        cell.event(event).state is State.DELIVERED,
        "the other worker delivers the event",
    )
    return report


def frozen_sending(cell: Cell, *, frozen_s: float) -> Report:
    """A worker freezes for longer than its lease while it sends; it then resumes."""
    lease_s = cell.settings.lease_ms / 1000
    cell.start("ticker", "worker-1", "worker-2")
    accepted = cell.create_many(60, over_s=3, query="delay_ms=800")
    wait_until(lambda: len(cell.receiver.arrivals) >= 20)
    cell["worker-1"].freeze()
    frozen = cell.record_in_flight()
    end_s = time.monotonic() + max(frozen_s, lease_s + 1)
    wait_until(lambda: time.monotonic() > end_s, within_s=lease_s + frozen_s + 5)
    cell["worker-1"].thaw()
    recovery_s = cell.wait_drained(within_s=lease_s + 30)
    failed = [
        event.label
        for event in accepted
        if any(
            attempt.kind is AttemptKind.SETTLED and attempt.error
            for attempt in cell.attempts(event)
        )
    ]
    report = Report(
        cell.tally(accepted), {"in flight at the freeze": len(frozen)}, recovery_s
    )
    report.expect(not failed, "no attempt is settled as failed", found=failed)
    return report
