"""Scenarios of `scripts/chaos`: processes are killed, frozen, stopped or replaced."""

from chaos_load import wait_accepted
from chaos_scenario import Scenario, Sizes, first_line, in_cell
from pathlib import Path
from tests.system import fan_outs, outages, terminations, workloads
from tests.system.cell import SHORT_LEASES, Cell
from tests.system.load import Load
from tests.system.observer import Accepted
from tests.system.processes import wait_until
from tests.system.report import Report
from tests.system.supervised import Supervised
from tests.system.versions import TwoVersions

# A process is killed up to this long after the first of its events is due.
BEFORE_START_MS, CLAIMING_MS = 6, 10
LEAD_MS = 300
EVENTS_PER_KILL = 50
# All are in flight at once: fewer than a worker sends to one slow destination.
SUSPECTS = 40


def supervised(folder: Path, sizes: Sizes, seed: str) -> Report:
    """Run the scenario with a system that `scripts/up` supervises."""
    with Supervised(folder) as system:
        system.observer.random.seed(seed)
        return terminations.supervised_kills(system, kills=sizes["kills"])


def kills_before_start(cell: Cell, *, kills: int) -> Report:
    """A worker is killed 0 to 6 ms after an event is due: between dequeue and start."""
    report, recovery_s = _kills_when_due(cell, "worker", kills, BEFORE_START_MS)
    report.expect(
        recovery_s <= cell.settings.lease_ms / 1000 + terminations.REDELIVERY_SLACK_S,
        "all events are delivered within lease + 5 s after the last kill",
    )
    return report


def ticker_kills(cell: Cell, *, kills: int) -> Report:
    """The ticker is killed 0 to 10 ms after events are due: while it claims them."""
    report, _ = _kills_when_due(cell, "ticker", kills, CLAIMING_MS)
    report.expect(report.tally.duplicates == 0, "nothing is begun twice")
    return report


def _kills_when_due(
    cell: Cell, name: str, kills: int, within_ms: int
) -> tuple[Report, float]:
    """Kill a process repeatedly when events are due; return the recovery too, in s."""
    cell.start("ticker", "worker")
    accepted = []
    for number in range(kills):
        accepted += _kill_when_due(cell, name, f"event-{number}", within_ms)
    recovery_s = cell.wait_drained()
    return Report(cell.tally(accepted), {"kills": kills}, recovery_s), recovery_s


def _kill_when_due(cell: Cell, name: str, label: str, within_ms: int) -> list[Accepted]:
    """Kill a process when events are due, and start it again; return the events."""
    at_ms = cell.events.cell.now_ms() + LEAD_MS
    labels = {f"{label}-{n}": at_ms + n // 10 for n in range(EVENTS_PER_KILL)}
    accepted = cell.create_at(labels)
    killed_ms = at_ms + cell.random.random() * within_ms
    wait_until(lambda: cell.events.cell.now_ms() >= killed_ms)
    cell[name].kill()
    cell.record_in_flight()
    cell.start(name)
    return accepted


def fan_out_kills(cell: Cell) -> Report:
    """Workers are killed while they create and send the events of a URL group."""
    problems = fan_outs.worker_kills(cell, runs=8, endpoints=100, kills=3)
    # The requests of one run have the same label, so they are not tallied by label.
    report = Report(cell.tally([]), {"requests": len(cell.receiver.arrivals)})
    report.expect(
        not problems, "each endpoint gets each run, repeats marked", found=problems[:2]
    )
    return report


def two_versions(cell: TwoVersions) -> Report:
    """Each process is replaced by one of another version, and back, under load."""
    codes: dict[str, int] = {}
    cell.start_other("web-old", "ticker-old", "worker-old")
    with Load(cell, per_s=50, in_ms=1_500, query=terminations.SLOW) as load:
        for role in ("worker", "ticker", "web"):
            wait_accepted(load, 30)
            codes[role] = cell[f"{role}-old"].terminate()
            cell.start(role)
        cell.start_other("worker-again")
        codes["worker again"] = cell["worker"].terminate()
        wait_accepted(load, 60)
    cell.wait_drained()
    report = Report(cell.tally(load.accepted))
    report.expect(not any(codes.values()), "each process exits with 0", found=codes)
    report.expect(not load.unexpected, "the web process gives no other responses")
    return report


def refusals(cell: Cell) -> Report:
    """Processes start with leases that would expire too early."""
    lease_ms = cell.settings.lease_ms
    unsafe = {
        "SCHED_RENEW_INTERVAL_MS": lease_ms // 4 + 1,
        "SCHED_QUIET_MS": lease_ms - 1,
    }
    started = []
    for variable, value in unsafe.items():
        for role in outages.ROLES:
            name = f"{role}-{variable}"
            cell.launch(name, **{variable: str(value)})
            code = cell[name].wait(within_s=20)
            if code == 0 or variable not in cell[name].output:
                started.append(f"{name}: {code}")
    report = Report(cell.tally([]))
    report.expect(
        not started, "each process refuses to start, by name", found=started[:2]
    )
    return report


def short_leases(folder: Path, **settings: str) -> Cell:
    """Make a system whose leases end within seconds."""
    return Cell(folder, receiver_host="127.0.0.1", **SHORT_LEASES, **settings)


SCENARIOS: dict[str, Scenario] = {
    "kills": in_cell(
        terminations.worker_and_ticker_kills,
        "R-01 R-03 R-12",
        lambda n: {
            "events": n["events"],
            "over_s": n["kills"],
            "workers": n["kills"],
            "tickers": n["kills"] // 2,
        },
    ),
    "refusals": in_cell(refusals, "R-12"),
    "interruption": in_cell(
        terminations.interruption, "R-01", lambda _: {"events": 100}
    ),
    "kills-before-start": in_cell(
        kills_before_start, "R-02", lambda n: {"kills": n["kills"]}
    ),
    "ticker-kills": in_cell(ticker_kills, "R-03", lambda n: {"kills": n["kills"]}),
    "supervised": Scenario(
        ("R-01",), first_line(terminations.supervised_kills), supervised
    ),
    "web-kills": in_cell(
        terminations.web_kills, "R-05", lambda n: {"kills": n["kills"]}
    ),
    "frozen-ticker": in_cell(
        outages.frozen_ticker,
        "R-04",
        lambda n: {"per_s": 100, "frozen_s": n["frozen_s"]},
    ),
    "frozen-worker": in_cell(outages.frozen_worker, "R-12"),
    "frozen-sending": in_cell(
        outages.frozen_sending, "R-29 R-12", lambda n: {"frozen_s": n["frozen_s"]}
    ),
    "drain": in_cell(
        terminations.drain,
        "R-19",
        lambda _: {"events": 500, "outlasting": 10},
        SCHED_DRAIN_GRACE_S="5",
    ),
    "rolling": in_cell(terminations.rolling_restart, "R-19"),
    "fan-out-kills": in_cell(fan_out_kills, "R-23", cell=short_leases),
    "two-versions": in_cell(two_versions, "R-27", cell=TwoVersions),
    "poison": in_cell(
        terminations.poison_event,
        "R-13",
        lambda _: {"neighbours": 100},
        SCHED_LEASE_MS="1000",
        SCHED_RENEW_INTERVAL_MS="250",
        SCHED_QUIET_MS="1000",
    ),
    "isolated-events": in_cell(
        terminations.isolated_events,
        "R-13",
        lambda n: {"suspects": SUSPECTS, "others": n["events"]},
        cell=short_leases,
    ),
    "per-second": in_cell(
        workloads.schedule_every_second,
        "R-01 R-03",
        lambda n: {"seconds": n["seconds"]},
    ),
}
