"""Scenarios: ordinary load, a schedule that fires every second, and a backlog."""

import time
from tests.system.cell import Cell
from tests.system.observer import CREATED_WITHIN_MS, Accepted
from tests.system.processes import wait_until
from tests.system.report import Report

PER_MS = 2  # How many events of a backlog come due per millisecond


def on_time(cell: Cell, *, events: int, over_s: float) -> Report:
    """Events at random times arrive on time if no process is disturbed."""
    cell.start("ticker", "worker")
    accepted = cell.create_many(events, over_s=over_s)
    cell.wait_drained(within_s=over_s + 60)
    return Report(cell.tally(accepted))


def schedule_every_second(cell: Cell, *, seconds: int) -> Report:
    """A schedule fires every second although the ticker and the worker are killed."""
    cell.start("ticker", "worker")
    schedule = cell.create_schedule("* * * * * *")
    arrivals = cell.receiver.arrivals
    for share, name in ((3, "ticker"), (2, "worker")):
        wait_until(lambda n=seconds // share: len(arrivals) >= n, within_s=seconds + 30)
        cell.kill_worker() if name == "worker" else cell[name].kill()
        cell[name].start()
    wait_until(lambda: len(arrivals) >= seconds, within_s=seconds + 60)
    cell.delete_schedule(schedule)
    cell.wait_drained()
    labels = [arrival.label.rpartition(".") for arrival in list(arrivals)]
    fired_s = [int(at_s) for *_, at_s in labels]
    expected = [
        Accepted(f"{schedule.id}.{at_s}", f"{labels[0][0]}.{at_s}", at_s * 1000)
        for at_s in range(min(fired_s), max(fired_s) + 1)
    ]
    return Report(cell.tally(expected), kills=2)


def backlog(cell: Cell, *, events: int) -> Report:
    """A worker starts when many events are overdue."""
    cell.start("ticker")
    start_ms = cell.events.cell.now_ms() + CREATED_WITHIN_MS + events // PER_MS
    accepted = cell.create_at(
        {f"event-{number}": start_ms + number // PER_MS for number in range(events)}
    )
    # Events that came due in the last two seconds may overtake older events. Wait until
    # there are no such events, so that the oldest events come first.
    wait_until(lambda: cell.events.cell.now_ms() > accepted[-1].at_ms + 2_000)
    cell.start("worker")
    idle_mib = cell["worker"].memory_mib()
    started_s = time.monotonic()
    peak_mib = [idle_mib]

    def is_drained() -> bool:
        peak_mib.append(cell["worker"].memory_mib())
        return cell.pending() == 0

    wait_until(is_drained, within_s=120 + events / 200)
    took_s = time.monotonic() - started_s
    tally = cell.tally(accepted)
    by_time = sorted(accepted, key=lambda event: event.at_ms)
    times_ms = cell.receiver.times_ms()
    by_arrival = sorted(accepted, key=lambda event: times_ms[event.label][0])
    rank = {event.label: number for number, event in enumerate(by_time)}
    moved = max(n - rank[event.label] for n, event in enumerate(by_arrival))
    report = Report(
        tally,
        {
            "drained": f"{events / took_s:.0f}/s",
            "worker's memory": f"{idle_mib:.0f} to {max(peak_mib):.0f} MiB",
            "largest delay in order": f"{moved} places",
        },
    )
    report.expect(moved < events / 10, "the oldest events go first")
    report.expect(max(peak_mib) < idle_mib + 64, "the worker's memory stays flat")
    return report
