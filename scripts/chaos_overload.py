"""Scenarios of `scripts/chaos`: more work than a system can do at once."""

from chaos_scenario import Scenario, in_cell
from tests.system import workloads
from tests.system.cell import Cell
from tests.system.report import Report

HERD_PER_S = 1_000


def herd(cell: Cell, *, events: int) -> Report:
    """All events are due in the same millisecond."""
    cell.start("ticker", "worker")
    cell.warm_up()
    at_ms = cell.earliest_start_ms(events // 10)
    accepted = cell.create_at({f"event-{n}": at_ms for n in range(events)})
    cell.wait_drained(within_s=60 + events / 200)
    tally = cell.tally(accepted)
    took_s = tally.late_ms[-1] / 1000
    report = Report(tally, {"delivered per s": f"{events / took_s:.0f}"})
    report.expect(
        took_s <= 1 + events / HERD_PER_S,
        f"all are delivered within 1 s + 1 s for each {HERD_PER_S} events",
    )
    return report


SCENARIOS: dict[str, Scenario] = {
    "on-time": in_cell(
        workloads.on_time,
        "R-28",
        lambda n: {"events": n["events"] * 2, "over_s": 10},
    ),
    "herd": in_cell(herd, "R-14", lambda n: {"events": n["backlog"]}),
    "backlog": in_cell(workloads.backlog, "R-24", lambda n: {"events": n["backlog"]}),
}
