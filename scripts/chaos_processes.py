"""Scenarios of `scripts/chaos`: processes are killed, frozen, stopped or replaced."""

from chaos_load import wait_accepted
from chaos_scenario import Scenario, Sizes, first_line, in_cell
from collections.abc import Sequence
from pathlib import Path
from signal import SIGKILL
from tests.system import fan_outs, outages, terminations, workloads
from tests.system.cell import SHORT_LEASES, Cell
from tests.system.load import Load
from tests.system.observer import Accepted
from tests.system.processes import wait_until
from tests.system.report import Report
from tests.system.supervised import Supervised
from tests.system.versions import TwoVersions

# These workers are killed at the same moment: all that is in flight then is theirs.
WORKERS = tuple(f"worker-{number}" for number in range(1, 6))
# Processes are killed up to this long after the first of their events is due.
SENDING_MS, BEFORE_START_MS, CLAIMING_MS = 300, 6, 10
LEAD_MS = 300
EVENTS_PER_KILL = 50
# All are in flight at once: fewer than a worker sends to one slow destination.
SUSPECTS = 40


def supervised(folder: Path, sizes: Sizes, seed: str) -> Report:
    """Run the scenario with a system that `scripts/up` supervises."""
    with Supervised(folder) as system:
        system.observer.random.seed(seed)
        return terminations.supervised_kills(system, kills=sizes["kills"] // 14)


def kills_while_sending(cell: Cell, *, kills: int) -> Report:
    """Five workers are killed during requests; every fourth time, the ticker too."""
    cell.start("ticker", *WORKERS)
    accepted, killed, recovery_s = [], 0, 0.0
    for number in range(kills // len(WORKERS)):
        victims = WORKERS if number % 4 else (*WORKERS, "ticker")
        at_ms = cell.events.cell.now_ms() + LEAD_MS
        accepted += _create_due(
            cell, f"event-{number}", at_ms, len(WORKERS), terminations.SLOW
        )
        _kill(cell, victims, at_ms + cell.random.random() * SENDING_MS)
        killed += len(victims)
        recovery_s = max(recovery_s, cell.wait_drained())
    report = Report(cell.tally(accepted), recovery_s=recovery_s, kills=killed)
    _expect_soon(report, cell, "each restart")
    return report


def kills_before_start(cell: Cell, *, kills: int) -> Report:
    """Five workers are killed 0 to 6 ms after events are due: dequeued, not started."""
    report = _kills_when_due(cell, WORKERS, kills // len(WORKERS), BEFORE_START_MS)
    _expect_soon(report, cell, "the last restart")
    return report


def ticker_kills(cell: Cell, *, kills: int) -> Report:
    """The ticker is killed 0 to 10 ms after events are due: while it claims them."""
    report = _kills_when_due(cell, ("ticker",), kills, CLAIMING_MS)
    report.expect(report.tally.duplicates == 0, "nothing is begun twice")
    return report


def _expect_soon(report: Report, cell: Cell, since: str) -> None:
    bound_s = cell.settings.lease_ms / 1000 + terminations.REDELIVERY_SLACK_S
    report.expect(
        (report.recovery_s or 0) <= bound_s,
        f"all events are delivered within lease + 5 s = {bound_s:.0f} s after {since}",
    )


def _kills_when_due(
    cell: Cell, victims: Sequence[str], times: int, within_ms: int
) -> Report:
    """Kill processes again and again when events are due."""
    cell.start("ticker", *WORKERS)
    accepted = []
    for number in range(times):
        at_ms = cell.events.cell.now_ms() + LEAD_MS
        accepted += _create_due(cell, f"event-{number}", at_ms, len(victims))
        _kill(cell, victims, at_ms + cell.random.random() * within_ms)
    recovery_s = cell.wait_drained()
    tally = cell.tally(accepted)
    return Report(tally, recovery_s=recovery_s, kills=times * len(victims))


def _create_due(
    cell: Cell, label: str, at_ms: int, victims: int, query: str = ""
) -> list[Accepted]:
    """Create events for a kill of so many processes, due at once."""
    events = range(victims * EVENTS_PER_KILL)
    return cell.create_at(
        {f"{label}-{n}": at_ms + n // 50 for n in events}, query=query
    )


def _kill(cell: Cell, victims: Sequence[str], at_ms: float) -> None:
    """Kill processes at the same moment, and start them again."""
    wait_until(lambda: cell.events.cell.now_ms() >= at_ms)
    for name in victims:
        cell[name].signal(SIGKILL)
    for name in victims:
        cell[name].wait()
    cell.record_in_flight()
    cell.start(*victims)


def fan_out_kills(cell: Cell) -> Report:
    """Workers are killed while they create and send the events of a URL group."""
    problems = fan_outs.worker_kills(cell, runs=8, endpoints=100, kills=3)
    # The requests of one run have the same label, so they are not tallied by label.
    report = Report(cell.tally([]), {"requests": len(cell.receiver.arrivals)}, kills=3)
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
        kills_while_sending,
        "R-01 R-03 R-12",
        lambda n: {"kills": n["kills"]},
        cell=short_leases,
    ),
    "refusals": in_cell(refusals, "R-12"),
    "interruption": in_cell(
        terminations.interruption, "R-01", lambda _: {"events": 100}
    ),
    "kills-before-start": in_cell(
        kills_before_start,
        "R-02",
        lambda n: {"kills": n["kills"]},
        cell=short_leases,
    ),
    "ticker-kills": in_cell(
        ticker_kills, "R-03", lambda n: {"kills": n["kills"] // 10}, cell=short_leases
    ),
    "supervised": Scenario(
        ("R-01",), first_line(terminations.supervised_kills), supervised
    ),
    "web-kills": in_cell(
        terminations.web_kills, "R-05", lambda n: {"kills": n["kills"] // 20}
    ),
    "frozen-ticker": in_cell(
        outages.frozen_ticker,
        "R-04",
        lambda n: {"per_s": 100, "frozen_s": n["frozen_s"]},
    ),
    "frozen-worker": in_cell(outages.frozen_worker, "R-12", cell=short_leases),
    "frozen-sending": in_cell(
        outages.frozen_sending,
        "R-29 R-12",
        lambda n: {"frozen_s": n["frozen_s"]},
        cell=short_leases,
    ),
    "drain": in_cell(
        terminations.drain,
        "R-19",
        lambda _: {"events": 300, "outlasting": 10},
        SCHED_DRAIN_GRACE_S="5",
    ),
    "rolling": in_cell(terminations.rolling_restart, "R-19"),
    "fan-out-kills": in_cell(fan_out_kills, "R-23", cell=short_leases),
    "two-versions": in_cell(two_versions, "R-27", cell=TwoVersions),
    "poison": in_cell(
        terminations.poison_event,
        "R-13",
        lambda _: {"neighbours": 50},
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
