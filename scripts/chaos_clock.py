"""Scenarios of `scripts/chaos`: the clocks of processes and of the store are wrong."""

import time
from chaos_load import (
    disturb,
    logged_critical,
    operate,
    unready_s,
    wait_ready,
)
from chaos_preload import PreloadCell
from chaos_scenario import Scenario, in_cell
from scheduler_api.core.model import MissedRuns, ScheduleOptions
from tests.system.cell import Cell
from tests.system.outages import REACTION_S
from tests.system.processes import wait_until
from tests.system.report import Report

SKEW_S, STEP_S = 600, 300
MOST_MISSED = 3
STEPPED = "clock has stepped"


def skewed_processes(cell: PreloadCell, *, skew_s: int) -> Report:
    """The clocks of the ticker and of the worker are wrong by ten minutes."""
    cell.start("ticker", **cell.skewed(skew_s))
    cell.start("worker", **cell.skewed(-skew_s))
    return disturb(cell, lambda: time.sleep(3)).report


def clock_step(cell: PreloadCell, *, step_s: int) -> Report:
    """The store's clock steps by five minutes; deliveries wait for an operator."""
    named_s: list[float] = []

    def fault() -> None:
        cell.shift(step_s)
        named_s.append(unready_s(cell, STEPPED))
        cell.shift(0)
        time.sleep(2)
        operate(cell, "accept-clock")
        wait_ready(cell)

    # An event that is due soon is in the past for a clock that went forward.
    report = disturb(cell, fault, refused="in the future").report
    report.figures["named within, s"] = round(named_s[0], 1)
    report.expect(named_s[0] <= REACTION_S, "/readyz names the step within 5 s")
    report.expect(logged_critical(cell), "a critical message is logged")
    return report


def schedule_over_a_step(cell: PreloadCell) -> Report:
    """The store's clock steps forward by five minutes under a schedule."""
    cell.start("ticker", "worker")
    schedule = cell.create_schedule("* * * * *")
    cell.shift(STEP_S)
    time.sleep(8)
    fired = len(cell.receiver.arrivals)
    cell.delete_schedule(schedule)
    cell.shift(0)
    report = Report(cell.tally([]), {"fired": fired})
    report.expect(fired <= 2, "the schedule fires once, not for each missed minute")
    return report


def missed_runs(cell: Cell, *, away_s: int) -> Report:
    """Ticker and worker are away while schedules fire every second."""
    cell.start("ticker", "worker")
    limits = {MissedRuns.SKIP: 0, MissedRuns.LATEST: 1, MissedRuns.ALL: MOST_MISSED}
    schedules = {
        missed: cell.create_schedule(
            "* * * * * *", ScheduleOptions(missed_runs=missed, max_missed=MOST_MISSED)
        )
        for missed in limits
    }
    wait_until(lambda: len(cell.receiver.arrivals) >= 2 * len(limits))
    for name in ("ticker", "worker"):
        cell[name].terminate()
    from_s = cell.events.cell.now_ms() // 1_000 + 1
    time.sleep(away_s)
    cell.start("ticker", "worker")
    until_s = cell.events.cell.now_ms() // 1_000
    time.sleep(4)
    for schedule in schedules.values():
        cell.delete_schedule(schedule)
    cell.wait_drained()
    fired = [arrival.label.rpartition(".") for arrival in list(cell.receiver.arrivals)]
    runs = {
        missed: sum(
            schedule.id == name and from_s <= int(at_s) < until_s
            for name, _, at_s in fired
        )
        for missed, schedule in schedules.items()
    }
    # Fire times within the grace are not missed: all schedules run then.
    made_up = {missed: count - runs[MissedRuns.SKIP] for missed, count in runs.items()}
    report = Report(
        cell.tally([]), {f"made up for, {name}": n for name, n in made_up.items()}
    )
    report.expect(
        all(made_up[missed] <= most for missed, most in limits.items())
        and made_up[MissedRuns.ALL] > made_up[MissedRuns.LATEST],
        f"skip makes up for none, latest for at most one, all for {MOST_MISSED}",
        found=made_up,
    )
    return report


SCENARIOS: dict[str, Scenario] = {
    "skewed-processes": in_cell(
        skewed_processes,
        "R-11",
        lambda _: {"skew_s": SKEW_S},
        cell=PreloadCell,
        needs=("gcc",),
    ),
    "clock-forward": in_cell(
        clock_step,
        "R-31 R-11",
        lambda _: {"step_s": STEP_S},
        cell=PreloadCell,
        needs=("gcc",),
        SCHED_STOP_ON_CLOCK_STEP="true",
    ),
    "clock-back": in_cell(
        clock_step,
        "R-31 R-11",
        lambda _: {"step_s": -STEP_S},
        cell=PreloadCell,
        needs=("gcc",),
        SCHED_STOP_ON_CLOCK_STEP="true",
    ),
    "missed-runs": in_cell(
        missed_runs,
        "R-21",
        lambda n: {"away_s": n["away_s"]},
        SCHED_MISSED_GRACE_MS="1000",
    ),
    "clock-schedule": in_cell(
        schedule_over_a_step, "R-31", cell=PreloadCell, needs=("gcc",)
    ),
}
