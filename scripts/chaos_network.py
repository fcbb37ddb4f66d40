"""Scenarios of `scripts/chaos`: the network between several machines fails."""

import time
from chaos_load import disturb, start_all
from chaos_machines import (
    FIRST,
    FRONT,
    OUTSIDE,
    RECEIVERS,
    RECEIVERS_NETWORK,
    SECOND,
    STORE,
    MachinesCell,
)
from chaos_scenario import Scenario, in_cell
from collections.abc import Callable, Sequence
from tests.system.arrivals import Receiver
from tests.system.processes import wait_until
from tests.system.report import Report

NAMES = [f"h{number}.example.test" for number in range(40)]
NO_SERVER = "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n"
LOCAL = "127.0.0.1 localhost\n"
EVENTS, OVER_S = 400, 12.0


def partition(cell: MachinesCell, *, of: str, for_s: int) -> Report:
    """A machine loses its connection to the store in silence; another one stays.

    Args:
        of: the machine.
    """
    start_all(cell)
    cell.start(SECOND)

    def fault() -> None:
        cell.cut(of, STORE)
        cell.record_in_flight()
        time.sleep(for_s)
        cell.join(of, STORE)

    return disturb(cell, fault, within_s=10, refused="").report


def no_route(cell: MachinesCell, *, for_s: int) -> Report:
    """A worker has no route to any receiver; another worker has."""
    return _without_route(cell, for_s, (FIRST, SECOND))


def no_route_at_all(cell: MachinesCell, *, for_s: int) -> Report:
    """The only worker has no route to any receiver."""
    return _without_route(cell, for_s, (FIRST,))


def _without_route(cell: MachinesCell, for_s: int, workers: Sequence[str]) -> Report:
    machine = cell.machines[FIRST]

    def fault() -> None:
        machine.unroute(RECEIVERS_NETWORK)
        time.sleep(for_s)
        machine.route(RECEIVERS_NETWORK)

    return _sick_worker(cell, fault, RECEIVERS, workers)


def no_names(cell: MachinesCell, *, for_s: int) -> Report:
    """A worker cannot resolve names; another worker can."""
    hosts = LOCAL + "".join(f"{OUTSIDE} {name}\n" for name in NAMES)
    for name in (FIRST, SECOND):
        cell.machines[name].replace("/etc/hosts", hosts)
        cell.machines[name].replace("/etc/resolv.conf", NO_SERVER)
    machine = cell.machines[FIRST]

    def fault() -> None:
        machine.replace("/etc/hosts", LOCAL)
        time.sleep(for_s)
        machine.restore("/etc/hosts")

    return _sick_worker(cell, fault, NAMES, (FIRST, SECOND))


def _sick_worker(
    cell: MachinesCell,
    fault: Callable[[], None],
    hosts: Sequence[str],
    workers: Sequence[str],
) -> Report:
    """Create events for many hosts, and let the first worker fail to reach them."""
    cell.receiver.close()
    cell.receiver = Receiver(OUTSIDE, everywhere=True)
    start_all(cell)
    cell.start(*(name for name in workers if name not in cell.processes))
    start_ms = cell.earliest_start_ms(EVENTS)
    accepted = [
        cell.create(
            f"event-{number}",
            at_ms=start_ms + int(number * OVER_S * 1000 / EVENTS),
            url=cell.receiver.url("delay_ms=50", host=hosts[number % len(hosts)]),
        )
        for number in range(EVENTS)
    ]
    wait_until(lambda: len(cell.receiver.arrivals) >= EVENTS // 10)
    fault()
    recovery_s = cell.wait_drained(within_s=OVER_S + 90)
    charged = [
        event.label
        for event in accepted
        if any(attempt.error for attempt in cell.attempts(event))
    ]
    report = Report(
        cell.tally(accepted), {"events with a failed attempt": len(charged)}, recovery_s
    )
    # The first failures are what the worker notices its fault by.
    report.expect(
        len(charged) <= EVENTS // 10, "at most a tenth of the events is charged"
    )
    return report


def scenario(run: Callable[..., Report], rules: str, **arguments: str) -> Scenario:
    """Make a scenario on several machines, which lasts as long as an outage."""
    return in_cell(
        run,
        rules,
        lambda n: {"for_s": n["away_s"], **arguments},
        cell=MachinesCell,
        machines=True,
    )


SCENARIOS: dict[str, Scenario] = {
    "partition-worker": scenario(partition, "R-06 R-12", of=FIRST),
    "partition-web-ticker": scenario(partition, "R-06 R-04", of=FRONT),
    "no-route": scenario(no_route, "R-20"),
    "no-route-at-all": scenario(no_route_at_all, "R-20"),
    "no-names": scenario(no_names, "R-20"),
}
